"""Matrix products in float32 by oneDNN on a CPU, where PyTorch's own take MKL.

MKL has no AVX-512 kernels for AMD's processors: on family 26, oneDNN multiplies two to two and a half times as fast
(`benchmarks/NOTES.md`, "Small maps in fp32: products by oneDNN").
"""

from collections.abc import Callable

import torch
from torch import Tensor

_linear: Callable[..., Tensor] | None = getattr(torch.ops.mkldnn, "_linear_pointwise", None)


def product(left: Tensor, right: Tensor) -> Tensor:
    """Return `left` times the transpose of `right`: float [rows, columns] for [rows, inner] and [columns, inner].

    Args:
        left: in any layout.
        right: contiguous, or the transpose of a contiguous matrix; with gaps in memory it takes seconds.
    """
    if _linear is None or torch.compiler.is_compiling():  # the compiler takes it for constant weights only
        return left @ right.t()
    return _linear(left, right, None, "none", [], "")


def products(left: Tensor, right: Tensor) -> Tensor:
    """Return `product` for each pair of matrices: [count, rows, columns]."""
    return torch.stack([product(*pair) for pair in zip(left.unbind(), right.unbind(), strict=True)])
