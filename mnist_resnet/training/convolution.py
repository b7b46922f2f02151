"""Convolutions of small feature maps on a CPU in bf16, as products of matrices where those are faster.

PyTorch hands convolutions to oneDNN. On an AMD EPYC with AVX-512 BF16, one thread, batch 64, its gradient for weights
reaches 130 to 280 GFLOP/s where a feature map has 2 × 2 to 4 × 4 pixels, and matrix products reach 490
(`benchmarks/NOTES.md`). Products also leave out what is multiplied by the zeros of a padding: of 3 × 3 taps
on 2 × 2 pixels five ninths, on 4 × 4 pixels three tenths.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.overrides import TorchFunctionMode

LARGEST_MAP = 16
"""Pixels of the largest output for which the weights' gradient is a matrix product: at 7 × 7 it pays no more."""
FEWEST_CHANNELS = 128
"""In and out: below, what it costs to go through Python is more than what is gained."""

Pair = tuple[int, int]


class SmallMaps(TorchFunctionMode):
    """The context in which `conv2d`, from whatever network, takes the faster way; meant for training steps in bf16.

    All that it changes is the order of summation, within what bf16 rounds to. What it does not know (groups, dilation,
    other devices, large maps) is left to PyTorch.
    """

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Take over `conv2d` alone."""
        if func is torch.conv2d:
            return convolution(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))


def convolution(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: int | Sequence[int] = 1,
    padding: str | int | Sequence[int] = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> Tensor:
    """As `torch.conv2d`, whose arguments these are; gives bf16 where it takes over."""
    strides, dilations = _pair(stride), _pair(dilation)
    is_plain = images.device.type == "cpu" and images.dim() == 4 and (*dilations, groups) == (1, 1, 1)
    if not is_plain or isinstance(padding, str) or min(weight.shape[:2]) < FEWEST_CHANNELS:
        return torch.conv2d(images, weight, bias, stride, padding, dilation, groups)
    paddings, shape = _pair(padding), tuple(images.shape[2:])
    rows, columns = (
        (shape[axis] + 2 * paddings[axis] - weight.shape[2 + axis]) // strides[axis] + 1 for axis in range(2)
    )
    if shape == (2, 2) and (tuple(weight.shape[2:]), strides, paddings) == ((3, 3), (1, 1), (1, 1)):
        maps: Tensor = _OfFourPixels.apply(images, weight)
    elif rows * columns <= LARGEST_MAP:
        maps = _OfSmallMaps.apply(images, weight, strides, paddings)
    else:
        return torch.conv2d(images, weight, bias, stride, padding, dilation, groups)
    return maps if bias is None else maps + bias.to(maps.dtype)[:, None, None]


class _OfFourPixels(torch.autograd.Function):
    """3 × 3, padded by 1, of 2 × 2 pixels: each output takes each input by one weight, which is one whole matrix."""

    @staticmethod
    def forward(ctx: FunctionCtx, images: Tensor, weight: Tensor) -> Tensor:
        """Images [batch, in, 2, 2] and weights [out, in, 3, 3] give bf16 [batch, out, 2, 2]."""
        batch, channels_in = images.shape[:2]
        channels_out = weight.shape[0]
        pixels = _channels_last(images).reshape(batch, 4 * channels_in)
        taps = _channels_last(weight)
        matrix = taps.new_empty(2, 2, channels_out, 2, 2, channels_in)
        for row in range(2):
            for column in range(2):
                matrix[row, column] = taps[:, 1 - row : 3 - row, 1 - column : 3 - column]
        matrix = matrix.view(4 * channels_out, 4 * channels_in)
        ctx.save_for_backward(pixels, matrix)
        ctx.dtypes = images.dtype, weight.dtype  # type: ignore[attr-defined]
        return (pixels @ matrix.t()).view(batch, 2, 2, channels_out).permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor]:
        """The gradients for images and weights, in their dtypes."""
        pixels, matrix = ctx.saved_tensors
        batch, channels_out, channels_in = len(pixels), matrix.shape[0] // 4, matrix.shape[1] // 4
        after, before = _channels_last(gradients[0]), pixels.view(batch, 2, 2, channels_in)
        of_images = (after.reshape(batch, 4 * channels_out) @ matrix).view(batch, 2, 2, channels_in)
        of_weight = _of_weight(before, after, (3, 3), (1, 1), (1, 1), ctx.dtypes[1])
        return of_images.permute(0, 3, 1, 2).to(ctx.dtypes[0]), of_weight


class _OfSmallMaps(torch.autograd.Function):
    """The weights' gradient by products of matrices, the rest as PyTorch does it."""

    @staticmethod
    def forward(ctx: FunctionCtx, images: Tensor, weight: Tensor, stride: Pair, padding: Pair) -> Tensor:
        """Images [batch, in, height, width] and weights [out, in, rows, columns] give bf16 [batch, out, …]."""
        rounded, taps = _channels_last(images).permute(0, 3, 1, 2), _channels_last(weight).permute(0, 3, 1, 2)
        ctx.save_for_backward(rounded, taps)
        ctx.places = stride, padding  # type: ignore[attr-defined]
        ctx.dtypes = images.dtype, weight.dtype  # type: ignore[attr-defined]
        maps: Tensor = torch.ops.aten.convolution(rounded, taps, None, stride, padding, (1, 1), False, (0, 0), 1)
        return maps

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        """The gradients for images and weights, in their dtypes."""
        (images, taps), (stride, padding) = ctx.saved_tensors, ctx.places
        after = _channels_last(gradients[0])
        of_images = None
        if ctx.needs_input_grad[0]:
            of_images, _, _ = torch.ops.aten.convolution_backward(
                *(after.permute(0, 3, 1, 2), images, taps, None, stride, padding, (1, 1), False, (0, 0), 1),
                (True, False, False),
            )
            of_images = of_images.to(ctx.dtypes[0])
        before, kernel = images.permute(0, 2, 3, 1), (taps.shape[2], taps.shape[3])
        return of_images, _of_weight(before, after, kernel, stride, padding, ctx.dtypes[1]), None, None


def _of_weight(
    images: Tensor, gradient: Tensor, kernel: Pair, stride: Pair, padding: Pair, dtype: torch.dtype
) -> Tensor:
    """The weights' gradient, [out, in, rows, columns], a product for each tap: padding's zeros are not multiplied.

    Args:
        images: bf16 [batch, height, width, in].
        gradient: of the maps, bf16 [batch, height, width, out].
        kernel: rows and columns of the weights.
        stride: of the convolution.
        padding: of the convolution.
        dtype: of the result.
    """
    of_weight = torch.empty(gradient.shape[3], *kernel, images.shape[3], dtype=dtype)
    rows = [_reach(tap, images.shape[1], gradient.shape[1], stride[0], padding[0]) for tap in range(kernel[0])]
    columns = [_reach(tap, images.shape[2], gradient.shape[2], stride[1], padding[1]) for tap in range(kernel[1])]
    for row, (reached_rows, taken_rows) in enumerate(rows):
        for column, (reached, taken) in enumerate(columns):
            outputs = gradient[:, reached_rows, reached].flatten(0, 2)
            of_weight[:, row, column] = outputs.t() @ images[:, taken_rows, taken].flatten(0, 2)
    return of_weight.permute(0, 3, 1, 2)


def _reach(tap: int, size: int, outputs: int, stride: int, padding: int) -> tuple[slice, slice]:
    """Along one axis: the outputs that a tap gives something to, and the pixels that it takes for them."""
    first = max(0, -((tap - padding) // stride))
    end = min(outputs, (size - 1 + padding - tap) // stride + 1)
    if end <= first:
        return slice(0, 0), slice(0, 0)
    start = first * stride + tap - padding
    return slice(first, end), slice(start, start + (end - first - 1) * stride + 1, stride)


def _channels_last(tensor: Tensor) -> Tensor:
    """Any [first, channels, height, width] as bf16 [first, height, width, channels], contiguous as such."""
    return tensor.to(torch.bfloat16, memory_format=torch.channels_last).permute(0, 2, 3, 1)


def _pair(value: int | Sequence[int]) -> Pair:
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])
