"""Reads any map-style PyTorch `Dataset`, such as torchvision's or the user's own, once into tensors."""

import os
from typing import Any, Protocol

import numpy
import torch
from torch import Tensor

from mnist_resnet.data.dataset import DataSet, LabelledImages
from mnist_resnet.errors import UsageError


class MapStyle(Protocol):
    """What a map-style data set offers."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Any: ...


def in_memory(train: MapStyle, test: MapStyle) -> DataSet:
    """Read two data sets whose items are pairs of an input and a label.

    Each item is read once: what a transform draws at random stays as it was drawn, so augment by `augmentation`.

    Args:
        train: inputs as PIL images (which become uint8 [channels, height, width]), tensors, arrays or numbers, all of
            one shape; labels as whole numbers or tensors.
        test: likewise.

    Raises:
        UsageError: Items differ in shape, or don't fit into memory.
    """
    return DataSet(_read("train", train), _read("test", test))


def _read(name: str, source: MapStyle) -> LabelledImages:
    if not len(source):
        raise UsageError(f"data.{name}: has no items")
    first, first_label = map(_tensor, source[0])
    _check_memory(name, len(source), first)
    pixels = torch.empty((len(source), *first.shape), dtype=first.dtype)
    labels = torch.empty((len(source), *first_label.shape), dtype=first_label.dtype)
    for index in range(len(source)):
        image, label = map(_tensor, source[index])
        if (image.shape, label.shape) != (first.shape, first_label.shape):
            raise UsageError(
                f"data.{name}: item {index} is {list(image.shape)} with label {list(label.shape)}, item 0 "
                f"{list(first.shape)} with {list(first_label.shape)}; add a transform that makes them one size"
            )
        pixels[index], labels[index] = image, label
    return LabelledImages(pixels, labels)


def _tensor(value: Any) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if hasattr(value, "getbands"):  # a PIL image
        array = numpy.array(value)
        return torch.from_numpy(array[None] if array.ndim == 2 else array.transpose(2, 0, 1))
    return torch.as_tensor(numpy.asarray(value))


def _check_memory(name: str, count: int, item: Tensor) -> None:
    needed, there = count * item.nbytes, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there / 2:
        raise UsageError(
            f"data.{name}: {count} items of {item.nbytes:,} bytes are {needed / 1e9:.1f} GB, more than half of this "
            f"machine's memory; take smaller images or a torch.utils.data.Subset, or stream them in a training "
            f"function of your own (task._target_)"
        )
