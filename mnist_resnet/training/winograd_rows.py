"""Winograd's form along rows alone, for 3 × 3 convolutions of small square maps on a CPU in float32.

In two dimensions (`winograd.py`), a map of 4 × 4 pixels takes 36 products of small matrices. Along rows alone it takes
6, each of which sums over the three taps of a row of the kernel, too: twice the multiplications, but of matrices so
large that oneDNN nears its limit, with transforms a third as large and half the error.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx

from mnist_resnet.training.convolution_gradients import are_asked_for, differentiable_gradients
from mnist_resnet.training.linear import product, products
from mnist_resnet.training.winograd import SIZES, along_one_axis


def convolution(images: Tensor, weight: Tensor) -> Tensor:
    """Compute a 3 × 3 convolution with stride 1 and padding 1.

    Args:
        images: float32 [batch, in, size, size], `size` in `SIZES`.
        weight: float32 [out, in, 3, 3].

    Returns:
        float32 [batch, out, size, size], channels last.
    """
    maps: Tensor = _Convolution.apply(images, weight)
    return maps


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, images: Tensor, weight: Tensor) -> Tensor:
        batch, channels_in, size = images.shape[:3]
        channels_out = weight.shape[0]
        output, filters, inputs = TRANSFORMS[size]
        rows = (inputs @ _by_rows(images)).view(-1, batch, size, channels_in)
        left = _neighbours(rows).view(len(rows), batch * size, 3 * channels_in)
        right = (filters @ _by_rows(weight)).view(len(rows), channels_out, 3 * channels_in)
        ctx.save_for_backward(images, weight, left, right)
        maps = output @ products(left, right).view(len(rows), -1)
        maps = _from_rows(maps.view(size, batch, size, channels_out))
        return maps.data  # `data` is no view, which in-place operations would refuse

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None]:
        images, weight, left, right = ctx.saved_tensors
        if are_asked_for(gradients[0]):
            return differentiable_gradients(gradients[0], images, weight, (1, 1), (1, 1))
        elements, channels_out, channels_in = len(right), right.shape[1], right.shape[2] // 3
        batch, _, size, _ = gradients[0].shape
        output, filters, inputs = TRANSFORMS[size]
        gradient = (output.t() @ _by_rows(gradients[0])).view(elements, batch * size, channels_out)
        image_gradient = None
        if ctx.needs_input_grad[0]:
            rows = left.new_empty(elements, batch, size, channels_in)
            for row, *matrices in zip(rows, gradient, right.transpose(1, 2), strict=True):
                _sum_neighbours(product(*matrices).view(batch, size, 3, channels_in), row)
            image_gradient = _from_rows((inputs.t() @ rows.view(elements, -1)).view(size, batch, size, channels_in))
        weight_gradient = None
        if ctx.needs_input_grad[1]:
            of_right = products(gradient.transpose(1, 2), left.transpose(1, 2)).view(elements, -1)
            weight_gradient = _from_rows((filters.t() @ of_right).view(3, channels_out, 3, channels_in))
        return image_gradient, weight_gradient


def _by_rows(maps: Tensor) -> Tensor:
    """Convert [first, channels, rows, columns] to [rows, first · columns · channels]."""
    return maps.permute(2, 0, 3, 1).reshape(maps.shape[2], -1)


def _from_rows(maps: Tensor) -> Tensor:
    """Convert [rows, first, columns, channels] to [first, channels, rows, columns], channels last."""
    return maps.permute(1, 3, 0, 2).contiguous(memory_format=torch.channels_last)


def _neighbours(rows: Tensor) -> Tensor:
    """Set each pixel between its neighbours to the left and right, which beyond the border are zero.

    Args:
        rows: [elements, batch, size, channels].

    Returns:
        [elements, batch, size, 3, channels].
    """
    neighbours = rows.new_empty(*rows.shape[:3], 3, rows.shape[3])
    neighbours[:, :, 0, 0] = neighbours[:, :, -1, 2] = 0
    neighbours[:, :, 1:, 0] = rows[:, :, :-1]
    neighbours[:, :, :, 1] = rows
    neighbours[:, :, :-1, 2] = rows[:, :, 1:]
    return neighbours


def _sum_neighbours(neighbours: Tensor, row: Tensor) -> None:
    """Write the transpose of `_neighbours`, for one element, to `row`."""
    row.copy_(neighbours[:, :, 1])
    row[:, :-1] += neighbours[:, 1:, 0]
    row[:, 1:] += neighbours[:, :-1, 2]


def _transforms(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return A, G and B: float32 [size, elements], [elements, 3], [elements, size]."""
    output, filters, inputs = (matrix.float() for matrix in along_one_axis(size))
    return output, filters, inputs


TRANSFORMS = {size: _transforms(size) for size in SIZES}
"""A, G and B by size; computed here, because compiled steps can't use a cache."""
