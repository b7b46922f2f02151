"""Convolutions in float32 on a CPU as products of unfolded images, for strides: oneDNN's own are slow there."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from mnist_resnet.training.convolution_gradients import are_asked_for, differentiable_gradients
from mnist_resnet.training.linear import product


def convolution(images: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Compute a convolution with padding at which a stride of 1 would keep the size.

    Args:
        images: float32 [batch, in, height, width].
        weight: float32 [out, in, kernel, kernel], `kernel` odd.
        stride: for rows and columns.

    Returns:
        float32 [batch, out, rows, columns], channels last.
    """
    maps: Tensor = _Convolution.apply(images, weight, stride)
    return maps


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, images: Tensor, weight: Tensor, stride: int) -> Tensor:
        batch, channels_in, *size = images.shape
        channels_out, kernel = len(weight), weight.shape[2]
        rows, columns = ((pixels - 1) // stride + 1 for pixels in size)
        unfolded = images.new_zeros(batch, rows, columns, kernel, kernel, channels_in)
        _for_each_tap(unfolded, images, stride, lambda patch, pixels: patch.copy_(pixels))
        left = unfolded.view(batch * rows * columns, -1)
        right = weight.permute(0, 2, 3, 1).reshape(channels_out, -1)
        ctx.save_for_backward(images, weight, left, right)
        ctx.shape = unfolded.shape  # type: ignore[attr-defined]
        ctx.stride = stride  # type: ignore[attr-defined]
        maps = product(left, right).view(batch, rows, columns, channels_out).permute(0, 3, 1, 2)
        return maps.data  # `data` is no view, which in-place operations would refuse

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (images, weight, left, right), unfolded, stride = ctx.saved_tensors, ctx.shape, ctx.stride
        channels_out, channels_in, kernel = weight.shape[:3]
        if are_asked_for(gradients[0]):
            padding = kernel // 2, kernel // 2
            return *differentiable_gradients(gradients[0], images, weight, (stride, stride), padding), None
        gradient = gradients[0].permute(0, 2, 3, 1).reshape(len(left), channels_out).contiguous()
        image_gradient = None
        if ctx.needs_input_grad[0]:
            image_gradient = left.new_zeros(images.shape).contiguous(memory_format=torch.channels_last)
            of_left = product(gradient, right.t()).view(unfolded)
            _for_each_tap(of_left, image_gradient, stride, lambda patch, pixels: pixels.add_(patch))
        weight_gradient = None
        if ctx.needs_input_grad[1]:
            of_right = product(gradient.t(), left.t()).view(channels_out, kernel, kernel, channels_in)
            weight_gradient = of_right.permute(0, 3, 1, 2)
        return image_gradient, weight_gradient, None


def _for_each_tap(unfolded: Tensor, images: Tensor, stride: int, do: Callable[[Tensor, Tensor], Any]) -> None:
    """Call `do` for each tap of the kernel, with what it reads of the images in both layouts.

    Args:
        unfolded: [batch, rows, columns, kernel, kernel, channels].
        images: [batch, channels, height, width].
        stride: the convolution's stride.
        do: takes two views, [batch, rows, columns, channels].
    """
    pixels, kernel = images.permute(0, 2, 3, 1), unfolded.shape[3]
    rows = [overlap(tap, pixels.shape[1], unfolded.shape[1], stride, kernel // 2) for tap in range(kernel)]
    columns = [overlap(tap, pixels.shape[2], unfolded.shape[2], stride, kernel // 2) for tap in range(kernel)]
    for row, (output_rows, input_rows) in enumerate(rows):
        for column, (output_columns, input_columns) in enumerate(columns):
            do(unfolded[:, output_rows, output_columns, row, column], pixels[:, input_rows, input_columns])


def overlap(tap: int, size: int, outputs: int, stride: int, padding: int) -> tuple[slice, slice]:
    """Return, along one axis, the outputs that a tap contributes to and the input pixels that it reads for them.

    Args:
        tap: the tap's position in the kernel, from 0.
        size: number of input pixels.
        outputs: number of output pixels.
        stride: the convolution's stride.
        padding: the convolution's padding.
    """
    first = max(0, -((tap - padding) // stride))
    end = min(outputs, (size - 1 + padding - tap) // stride + 1)
    if end <= first:
        return slice(0, 0), slice(0, 0)
    start = first * stride + tap - padding
    return slice(first, end), slice(start, start + (end - first - 1) * stride + 1, stride)
