"""A convolution's gradients as PyTorch computes them, which have gradients themselves."""

import torch
from torch import Tensor


def differentiable_gradients(
    gradient: Tensor, images: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return a convolution's gradients for images and weights, for backward passes with `create_graph`.

    What other forms save, such as transformed images, are constants to autograd: second derivatives by way of it would
    lack terms without a word.

    Args:
        gradient: of the output, [batch, out, …].
        images: [batch, in, height, width].
        weight: [out, in, rows, columns].
        stride: the convolution's stride.
        padding: the convolution's padding.

    Returns:
        The gradients, computed in the output's dtype, in the shapes and dtypes of images and weights.
    """
    of_images, of_weight, _ = torch.ops.aten.convolution_backward(
        *(gradient, images.to(gradient.dtype), weight.to(gradient.dtype), None, stride, padding, (1, 1)),
        *(False, (0, 0), 1, (True, True, False)),
    )
    return of_images.to(images.dtype), of_weight.to(weight.dtype)
