"""Convolutions of small feature maps on a CPU in bf16, as products of matrices where those are faster.

PyTorch hands convolutions to oneDNN. On an AMD EPYC with AVX-512 BF16, one thread, batch 64, its gradient for weights
reaches 130 to 280 GFLOP/s where a feature map has 2 × 2 to 4 × 4 pixels, and matrix products reach 490
(`benchmarks/NOTES.md`). It is also spared two thirds of the multiplications there are in a 3 × 3 convolution of 2 × 2
pixels, which are by zeros of the padding.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn.functional import pad
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
        maps = _Unfolded.apply(images, weight, strides, paddings)
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
        of_weight = torch.empty(channels_out, 3, 3, channels_in, dtype=ctx.dtypes[1])
        for row in range(3):
            for column in range(3):
                reached = after[:, max(0, 1 - row) : 3 - row, max(0, 1 - column) : 3 - column]
                taken = before[:, max(0, row - 1) : row + 1, max(0, column - 1) : column + 1]
                of_weight[:, row, column] = reached.reshape(-1, channels_out).t() @ taken.reshape(-1, channels_in)
        return of_images.permute(0, 3, 1, 2).to(ctx.dtypes[0]), of_weight.permute(0, 3, 1, 2)


class _Unfolded(torch.autograd.Function):
    """The weights' gradient as a product of the output's with the images unfolded, the rest as PyTorch does it."""

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
        channels_out, channels_in, rows, columns = taps.shape
        padded = pad(images, (padding[1], padding[1], padding[0], padding[0])).permute(0, 2, 3, 1)
        windows = padded.unfold(1, rows, stride[0]).unfold(2, columns, stride[1]).permute(0, 1, 2, 4, 5, 3)
        of_weight = after.reshape(-1, channels_out).t() @ windows.reshape(-1, rows * columns * channels_in)
        of_weight = of_weight.view(channels_out, rows, columns, channels_in).permute(0, 3, 1, 2)
        return of_images, of_weight.to(ctx.dtypes[1]), None, None


def _channels_last(tensor: Tensor) -> Tensor:
    """Any [first, channels, height, width] as bf16 [first, height, width, channels], contiguous as such."""
    return tensor.to(torch.bfloat16, memory_format=torch.channels_last).permute(0, 2, 3, 1)


def _pair(value: int | Sequence[int]) -> Pair:
    if isinstance(value, int):
        return value, value
    return (value[0], value[0]) if len(value) == 1 else (value[0], value[1])
