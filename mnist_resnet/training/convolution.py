"""Convolutions of small feature maps on a CPU in bf16, computed as matrix products where those are faster.

PyTorch computes convolutions with oneDNN. Its gradient for the weights reaches 130 to 280 GFLOP/s for feature maps of
2 × 2 to 4 × 4 pixels; matrix products reach 490 (AMD EPYC with AVX-512 BF16, one thread, batch 64;
`benchmarks/NOTES.md`). The products also skip multiplications by the zeros of the padding: of a 3 × 3 kernel's
multiplications five ninths on 2 × 2 pixels, three tenths on 4 × 4 pixels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from mnist_resnet.training.convolution_gradients import are_asked_for, differentiable_gradients
from mnist_resnet.training.convolution_mode import ConvolutionMode
from mnist_resnet.training.unfolded import overlap

MAX_PIXELS = 16
"""Largest output, in pixels, for which the weights' gradient is a matrix product; at 7 × 7 it is no longer faster."""
MIN_CHANNELS = 128
"""Fewest input and output channels; with fewer, the overhead of Python exceeds the gain."""

Pair = tuple[int, int]
"""A value for rows and one for columns."""


class SmallMaps(ConvolutionMode):
    """A context in which `conv2d` uses the faster computation, in any network. It is meant for training in bf16.

    It only changes the order of summation, so that results agree up to bf16 rounding. Unsupported cases (groups,
    dilation, other devices and dtypes, large feature maps) are computed by PyTorch.
    """

    def convolution(
        self,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: int | Sequence[int] = 1,
        padding: str | int | Sequence[int] = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
    ) -> Tensor | None:
        """Compute a 2D convolution in bf16, or return None to leave it to PyTorch."""
        strides, dilations = _pair(stride), _pair(dilation)
        is_plain = images.device.type == "cpu" and images.dim() == 4 and (*dilations, groups) == (1, 1, 1)
        if not is_plain or isinstance(padding, str) or min(weight.shape[:2]) < MIN_CHANNELS:
            return None
        if not _is_in_bf16(images, weight):
            return None
        paddings, shape = _pair(padding), tuple(images.shape[2:])
        rows, columns = (
            (shape[axis] + 2 * paddings[axis] - weight.shape[2 + axis]) // strides[axis] + 1 for axis in range(2)
        )
        if shape == (2, 2) and (tuple(weight.shape[2:]), strides, paddings) == ((3, 3), (1, 1), (1, 1)):
            maps: Tensor = _FourPixels.apply(_rounded(images), weight)
        elif rows * columns <= MAX_PIXELS:
            maps = _SmallMaps.apply(_rounded(images), weight, strides, paddings)
        else:
            return None
        return maps if bias is None else maps + bias.to(maps.dtype)[:, None, None]


def _is_in_bf16(*tensors: Tensor) -> bool:
    """Whether PyTorch would compute a convolution of these in bf16: autocast may be off for a layer."""
    is_cast = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    return is_cast and all(tensor.dtype in (torch.float32, torch.bfloat16) for tensor in tensors)


class _FourPixels(torch.autograd.Function):
    """A 3 × 3 convolution of 2 × 2 pixels with padding 1.

    Each output pixel depends on each input pixel by exactly one tap of the kernel, so the whole convolution is one
    matrix product.
    """

    @staticmethod
    def forward(ctx: FunctionCtx, images: Tensor, weight: Tensor) -> Tensor:
        """Return bf16 [batch, out, 2, 2] for bf16 images [batch, in, 2, 2] and weights [out, in, 3, 3]."""
        batch, channels_in = images.shape[:2]
        channels_out = weight.shape[0]
        pixels = _channels_last(images).reshape(batch, 4 * channels_in)
        taps = _channels_last(weight)
        matrix = taps.new_empty(2, 2, channels_out, 2, 2, channels_in)
        for row in range(2):
            for column in range(2):
                matrix[row, column] = taps[:, 1 - row : 3 - row, 1 - column : 3 - column]
        matrix = matrix.view(4 * channels_out, 4 * channels_in)
        ctx.save_for_backward(images, weight, pixels, matrix)
        maps = (pixels @ matrix.t()).view(batch, 2, 2, channels_out).permute(0, 3, 1, 2)
        return maps.data  # `data` is no view, which in-place operations would refuse

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return the gradients for images and weights, in their shapes and dtypes."""
        images, weight, pixels, matrix = ctx.saved_tensors
        if are_asked_for(gradients[0]):
            return differentiable_gradients(gradients[0], images, weight, (1, 1), (1, 1))
        batch, (channels_out, channels_in) = len(images), weight.shape[:2]
        gradient, inputs = _channels_last(gradients[0]), pixels.view(batch, 2, 2, channels_in)
        image_gradient = (gradient.reshape(batch, 4 * channels_out) @ matrix).view(batch, 2, 2, channels_in)
        weight_gradient = None
        if ctx.needs_input_grad[1]:
            weight_gradient = _weight_gradient(inputs, gradient, (3, 3), (1, 1), (1, 1), weight.dtype)
        return image_gradient.permute(0, 3, 1, 2), weight_gradient


class _SmallMaps(torch.autograd.Function):
    """A convolution whose weights' gradient is computed by matrix products, and the rest by PyTorch."""

    @staticmethod
    def forward(ctx: FunctionCtx, images: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        """Return bf16 [batch, out, …] for bf16 [batch, in, height, width] and weights [out, in, rows, columns]."""
        taps = _rounded(weight)
        ctx.save_for_backward(images, weight, taps)
        ctx.geometry = stride, padding  # type: ignore[attr-defined]
        maps: Tensor = torch.ops.aten.convolution(images, taps, None, stride, padding, (1, 1), False, (0, 0), 1)
        return maps

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None, None]:
        """Return the gradients for images and weights, in their shapes and dtypes."""
        (images, weight, taps), (stride, padding) = ctx.saved_tensors, ctx.geometry
        if are_asked_for(gradients[0]):
            return *differentiable_gradients(gradients[0], images, weight, stride, padding), None, None
        gradient = _channels_last(gradients[0])
        image_gradient = None
        if ctx.needs_input_grad[0]:
            image_gradient, _, _ = torch.ops.aten.convolution_backward(
                *(gradient.permute(0, 3, 1, 2), images, taps, None, stride, padding, (1, 1), False, (0, 0), 1),
                (True, False, False),
            )
        weight_gradient = None
        if ctx.needs_input_grad[1]:
            inputs, kernel = images.permute(0, 2, 3, 1), (weight.shape[2], weight.shape[3])
            weight_gradient = _weight_gradient(inputs, gradient, kernel, stride, padding, weight.dtype)
        return image_gradient, weight_gradient, None, None


def _weight_gradient(
    images: Tensor, gradient: Tensor, kernel: Pair, stride: Pair, padding: Pair, dtype: torch.dtype
) -> Tensor:
    """Return the weights' gradient, computed by one matrix product for each tap of the kernel, without the padding.

    Args:
        images: bf16 [batch, height, width, in].
        gradient: of the output, bf16 [batch, height, width, out].
        kernel: rows and columns of the weights.
        stride: the convolution's stride.
        padding: the convolution's padding.
        dtype: dtype of the result.

    Returns:
        [out, in, rows, columns].
    """
    weight_gradient = torch.empty(gradient.shape[3], *kernel, images.shape[3], dtype=dtype)
    rows = [overlap(tap, images.shape[1], gradient.shape[1], stride[0], padding[0]) for tap in range(kernel[0])]
    columns = [overlap(tap, images.shape[2], gradient.shape[2], stride[1], padding[1]) for tap in range(kernel[1])]
    for row, (output_rows, input_rows) in enumerate(rows):
        for column, (output_columns, input_columns) in enumerate(columns):
            outputs = gradient[:, output_rows, output_columns].flatten(0, 2)
            weight_gradient[:, row, column] = outputs.t() @ images[:, input_rows, input_columns].flatten(0, 2)
    return weight_gradient.permute(0, 3, 1, 2)


def _rounded(tensor: Tensor) -> Tensor:
    """Convert to bf16, channels last; what is saved is the copy, as PyTorch's autocast saves one."""
    return tensor.to(torch.bfloat16, memory_format=torch.channels_last)


def _channels_last(tensor: Tensor) -> Tensor:
    """Convert [first, channels, height, width] to contiguous bf16 [first, height, width, channels]."""
    return _rounded(tensor).permute(0, 2, 3, 1)


def _pair(value: int | Sequence[int]) -> Pair:
    if isinstance(value, Sequence):
        return value[0], value[-1]
    return int(value), int(value)
