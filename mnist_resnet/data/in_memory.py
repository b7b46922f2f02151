"""Reads any map-style PyTorch `Dataset`, such as torchvision's or the user's own, once into tensors."""

import os

import torch
from torch import Tensor

from mnist_resnet.data.dataset import DataSet, LabelledImages
from mnist_resnet.data.map_style import MapStyle, difference, item_tensors
from mnist_resnet.errors import UsageError, wording


def in_memory(train: MapStyle, test: MapStyle) -> DataSet:
    """Read two data sets whose items are pairs of an input and a target (see `map_style.item_tensors`).

    Each item is read once: what a transform draws at random stays as it was drawn, so augment by `augmentation`.

    Args:
        train: inputs of one shape, targets of one shape.
        test: likewise.

    Raises:
        UsageError: An item can't be read, items differ in shape, or don't fit into memory.
    """
    return DataSet(_read("train", train), _read("test", test))


def _read(name: str, source: MapStyle) -> LabelledImages:
    if not len(source):
        raise UsageError(f"data.{name}: has no items")
    first, first_label = _item(name, source, 0)
    _check_memory(name, len(source), first)
    pixels = torch.empty((len(source), *first.shape), dtype=first.dtype)
    labels = torch.empty((len(source), *first_label.shape), dtype=first_label.dtype)
    for index in range(len(source)):
        image, label = _item(name, source, index)
        if problem := difference((image, label), (first, first_label)):
            raise UsageError(f"data.{name}: item {index} {problem}")
        pixels[index], labels[index] = image, label
    return LabelledImages(pixels, labels)


def _item(name: str, source: MapStyle, index: int) -> tuple[Tensor, Tensor]:
    try:
        item = source[index]
    except Exception as error:
        raise UsageError(f"data.{name}: item {index} can't be read: {wording(error)}") from error
    return item_tensors(item)


def _check_memory(name: str, count: int, item: Tensor) -> None:
    needed, there = count * item.nbytes, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there / 2:
        raise UsageError(
            f"data.{name}: {count} items of {item.nbytes:,} bytes are {needed / 1e9:.1f} GB, more than half of this "
            f"machine's memory; stream them with data._target_=mnist_resnet.data.stream.streamed, or take smaller "
            f"images or a torch.utils.data.Subset"
        )
