"""Map-style PyTorch data sets, such as torchvision's or the user's own, and their items as tensors."""

from typing import Any, Protocol

import numpy
import torch
from torch import Tensor

from mnist_resnet.errors import UsageError


class MapStyle(Protocol):
    """What a map-style data set offers."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


def item_tensors(item: Any) -> tuple[Tensor, Tensor]:
    """Convert an item, a pair of an input and its target, to tensors.

    Args:
        item: the input is a PIL image (which becomes uint8 [channels, height, width]), a tensor, an array or a number;
            the target a number, a tensor or an array.

    Returns:
        The input as it is, and the target as int64, or as float32 [numbers].

    Raises:
        UsageError: The item is no pair, or a part of it is no number.
    """
    if not isinstance(item, tuple | list) or len(item) != 2:
        what = f"{len(item)} values" if isinstance(item, tuple | list) else f"a {type(item).__name__}"
        raise UsageError(
            f"data: an item is {what}, not a pair of an input and a target; wrap the data set in one that returns pairs"
        )
    inputs, target = map(_tensor, item)
    if target.is_floating_point():
        return inputs, target.to(torch.float32).reshape(-1) if target.ndim == 0 else target.to(torch.float32)
    return inputs, target.to(torch.int64)


def difference(item: tuple[Tensor, Tensor], first: tuple[Tensor, Tensor]) -> str | None:
    """Say how an item differs in shape or dtype from the first one; None if it can be stacked with it."""
    if all(one.shape == other.shape and one.dtype == other.dtype for one, other in zip(item, first, strict=True)):
        return None
    return f"is {_form(item)}, item 0 {_form(first)}; add a transform that makes them one size and type"


def infinite(item: tuple[Tensor, Tensor]) -> str | None:
    """Say which part of an item holds a float that is not finite; None if none does."""
    for name, part in zip(("input", "target"), item, strict=True):
        if part.is_floating_point() and not bool(part.to(torch.float32).isfinite().all()):
            return f"has a NaN or an infinity in its {name}, as float32; replace it there, or leave the item out"
    return None


def _form(item: tuple[Tensor, Tensor]) -> str:
    inputs, target = (f"{str(part.dtype).removeprefix('torch.')} {list(part.shape)}" for part in item)
    return f"{inputs} with target {target}"


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if hasattr(value, "getbands"):  # a PIL image
        array = numpy.array(value)
        return torch.from_numpy(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))
    try:
        return torch.as_tensor(numpy.asarray(value))
    except (TypeError, ValueError):
        raise UsageError(
            f"data: a part of an item is a {type(value).__name__}, neither a tensor nor an array, number or image; "
            f"convert it in the data set"
        ) from None
