"""Convolutions of small square maps on a CPU by Winograd's minimal filtering: fewer multiplications, the same sums.

A 3 × 3 convolution with stride 1 and padding 1 of `size` × `size` pixels is, along each axis, y = A ((G w) ⊙ (B x)) for
constant matrices A, G, B, where ⊙ multiplies element by element (Winograd 1980, "Arithmetic Complexity of
Computations"). In two dimensions each matrix is its Kronecker product with itself, and over all channels ⊙ becomes one
matrix product for each of its elements (Lavin and Gray 2016, "Fast Algorithms for Convolutional Neural Networks").
Where the padding is known to be zero, B has no columns for it. Forward pass and both gradients share the transformed
images, weights and gradients.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.nn.functional import pad

from mnist_resnet.training.convolution_gradients import are_asked_for, differentiable_gradients
from mnist_resnet.training.linear import products as linear_products

POINTS = {3: (0, 1, -1, 0.5), 4: (0, 1, -1, 0.5, -2)}
"""Where polynomials are evaluated, besides infinity, by the number of outputs of a tile.

Those for 4 have the smallest error of all small fractions (Barabasz et al. 2020, "Error Analysis and Improving the
Accuracy of Winograd Convolution for Deep Neural Networks").
"""
TILES = {3: (3,), 4: (4,), 7: (4, 3), 8: (4, 4)}
"""Outputs of each tile along one axis, by size."""
SIZES = (1, 2, *TILES)
"""Heights and widths of the maps that have such a form."""


def convolution(images: Tensor, weight: Tensor, by_linear: bool = False) -> Tensor:
    """Compute a 3 × 3 convolution with stride 1 and padding 1.

    Args:
        images: float32 [batch, in, size, size], `size` in `SIZES`.
        weight: float32 [out, in, 3, 3].
        by_linear: whether oneDNN computes the matrix products (`linear.py`), not MKL.

    Returns:
        float32 [batch, out, size, size], channels last.
    """
    maps: Tensor = _Convolution.apply(images, weight, by_linear)
    return maps


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx: FunctionCtx, images: Tensor, weight: Tensor, by_linear: bool) -> Tensor:
        batch, channels_in, size = images.shape[:3]
        channels_out = weight.shape[0]
        output, filters, inputs = TRANSFORMS[size]
        pixels = images.permute(0, 2, 3, 1).reshape(batch, size**2, channels_in)
        taps = weight.permute(0, 2, 3, 1).reshape(channels_out, 9, channels_in)
        # [elements, batch, in] and [elements, out, in], without a copy
        left = torch.bmm(inputs.expand(batch, -1, -1), pixels).transpose(0, 1)
        right = torch.bmm(filters.expand(channels_out, -1, -1), taps).transpose(0, 1)
        if by_linear:
            left, right = left.contiguous(), right.contiguous()
        products = _products(left, right, by_linear)
        ctx.save_for_backward(images, weight, left, right)
        ctx.by_linear = by_linear  # type: ignore[attr-defined]
        maps = torch.bmm(output.expand(batch, -1, -1), products.transpose(0, 1))
        return _maps(maps, size).data  # `data` is no view, which in-place operations would refuse

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (images, weight, left, right), by_linear = ctx.saved_tensors, ctx.by_linear
        if are_asked_for(gradients[0]):
            return *differentiable_gradients(gradients[0], images, weight, (1, 1), (1, 1)), None
        gradient = gradients[0].permute(0, 2, 3, 1)
        batch, size, _, channels_out = gradient.shape
        output, filters, inputs = TRANSFORMS[size]
        gradient = gradient.reshape(batch, size**2, channels_out)
        products = torch.bmm(output.t().expand(batch, -1, -1), gradient).transpose(0, 1)
        if by_linear:
            products = products.contiguous()
        image_gradient = None
        if ctx.needs_input_grad[0]:
            of_left = _products(products, right.transpose(1, 2), by_linear).transpose(0, 1)
            image_gradient = _maps(torch.bmm(inputs.t().expand(batch, -1, -1), of_left), size)
        weight_gradient = None
        if ctx.needs_input_grad[1]:
            of_right = _products(products.transpose(1, 2), left.transpose(1, 2), by_linear).transpose(0, 1)
            weight_gradient = _maps(torch.bmm(filters.t().expand(channels_out, -1, -1), of_right), 3)
        return image_gradient, weight_gradient, None


def _products(left: Tensor, right: Tensor, by_linear: bool) -> Tensor:
    """Multiply each matrix of `left` by the transpose of that of `right`."""
    return linear_products(left, right) if by_linear else torch.bmm(left, right.transpose(1, 2))


def _maps(pixels: Tensor, size: int) -> Tensor:
    """Convert [first, size ** 2, channels] to [first, channels, size, size], channels last, without a copy."""
    return pixels.view(len(pixels), size, size, -1).permute(0, 3, 1, 2)


def _transforms(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return A, G and B for two dimensions: float32 [size², elements], [elements, 9], [elements, size²]."""
    output, filters, inputs = (torch.kron(matrix, matrix).float() for matrix in along_one_axis(size))
    return output, filters, inputs


def along_one_axis(size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return A, G and B for one axis: float64 [size, elements], [elements, 3], [elements, size]."""
    if size == 1:
        return _matrix([[1]]), _matrix([[0, 1, 0]]), _matrix([[1]])
    if size == 2:  # three products, w₁(x₀ + x₁), (w₂ − w₁) x₁ and (w₀ − w₁) x₀, in place of four
        filters = _matrix([[0, 1, 0], [0, -1, 1], [1, -1, 0]])
        return _matrix([[1, 1, 0], [1, 0, 1]]), filters, _matrix([[1, 1], [0, 1], [1, 0]])
    tiles = [_tile(outputs) for outputs in TILES[size]]
    starts = [sum(TILES[size][:number]) for number in range(len(tiles))]
    inputs = torch.zeros(0, size + 2, dtype=torch.float64)
    for start, (_, _, of_tile) in zip(starts, tiles, strict=True):
        inputs = torch.cat([inputs, pad(of_tile, (start, size + 2 - start - of_tile.shape[1]))])
    # The first and the last pixel are padding, which is zero.
    outputs: Tensor = torch.block_diag(*(tile[0] for tile in tiles))  # type: ignore[no-untyped-call]
    return outputs, torch.cat([tile[1] for tile in tiles]), inputs[:, 1:-1]


def _tile(outputs: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return A, G and B for neighbouring outputs of a 3-tap filter, by the transpose of Toom and Cook's algorithm.

    G and Aᵀ evaluate polynomials of degree 2 and `outputs` − 1 at the points and at infinity; Bᵀ interpolates one of
    degree `outputs` + 1.
    """
    points = torch.tensor(POINTS[outputs], dtype=torch.float64)

    def evaluation(terms: int) -> Tensor:
        at_infinity = [[0] * (terms - 1) + [1]]
        return torch.cat([torch.linalg.vander(points, N=terms), _matrix(at_infinity)])

    return evaluation(outputs).t(), evaluation(3), torch.linalg.inv(evaluation(outputs + 2)).t()


def _matrix(rows: Sequence[Sequence[int]]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


TRANSFORMS = {size: _transforms(size) for size in SIZES}
"""A, G and B by size; computed here, because compiled steps can't use a cache."""
