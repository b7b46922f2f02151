"""A convolution's gradients as PyTorch computes them, which have gradients themselves."""

import torch
from torch import Tensor


def are_asked_for(gradient: Tensor) -> bool:
    """Whether a backward pass must compute PyTorch's own gradients, as those of a form would fail or be wrong.

    It must where they are differentiated, where `torch.autograd` computes those of several outputs at once
    (`is_grads_batched`), and within an autocast that the forward pass was not in.

    Args:
        gradient: of the output.
    """
    is_cast = gradient.dtype == torch.float32 and torch.is_autocast_enabled("cpu")
    is_batched = not torch.compiler.is_compiling() and torch._C._functorch.is_legacy_batchedtensor(gradient)
    return torch.is_grad_enabled() or is_cast or is_batched


def differentiable_gradients(
    gradient: Tensor, images: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Return a convolution's gradients for images and weights, for backward passes that ask for PyTorch's.

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
