"""The contract that every data source meets, ours or a user's own.

A data source is a callable that a config's `data._target_` names. It is called with those keys of the `data` node that
are its own (for `mnist`: `root` and `verify`) and returns a `DataSet`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mnist_resnet.errors import UsageError


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images with the class of each.

    Attributes:
        pixels: uint8 [n, channels, height, width], 0 to 255.
        labels: int64 [n], classes counted from 0.

    Raises:
        UsageError: a tensor has another type or shape, the lengths differ, there is no image, or a label is negative.
    """

    pixels: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        _require(self.pixels, "pixels", torch.uint8, "uint8 [n, channels, height, width]", dimensions=4)
        _require(self.labels, "labels", torch.int64, "int64 [n]", dimensions=1)
        if len(self.pixels) != len(self.labels):
            raise UsageError(
                f"data set: {len(self.pixels)} images and {len(self.labels)} labels; there must be as many"
            )
        if not self.pixels.numel():
            raise UsageError(f"data set: pixels are {list(self.pixels.shape)}; there must be an image at least")
        if int(self.labels.min()) < 0:
            raise UsageError(f"data set: a label is {int(self.labels.min())}; labels count from 0")

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: str) -> "LabelledImages":
        """The same images on `device`."""
        return LabelledImages(self.pixels.to(device), self.labels.to(device))


@dataclass(frozen=True, eq=False)
class DataSet:
    """What a data source returns: all training and all test images, in an order that is always the same.

    Attributes:
        train: to train on, and to hold validation images out of.
        test: of the same channels, height and width.

    Raises:
        UsageError: a part is no `LabelledImages`, or the images of the two differ in shape.
    """

    train: LabelledImages
    test: LabelledImages

    def __post_init__(self) -> None:
        for name, part in (("train", self.train), ("test", self.test)):
            if not isinstance(part, LabelledImages):
                raise UsageError(f"data set: {name} must be LabelledImages, and is {type(part).__name__}")
        train, test = list(self.train.pixels.shape[1:]), list(self.test.pixels.shape[1:])
        if train != test:
            raise UsageError(f"data set: training images are {train}, test images {test}; they must be the same")

    def to(self, device: str) -> "DataSet":
        """The same data set on `device`."""
        return DataSet(self.train.to(device), self.test.to(device))


def _require(tensor: Tensor, name: str, dtype: torch.dtype, wanted: str, dimensions: int) -> None:
    if not isinstance(tensor, Tensor):
        raise UsageError(f"data set: {name} must be a tensor, {wanted}, and is {type(tensor).__name__}")
    if tensor.dtype != dtype or tensor.ndim != dimensions:
        is_now = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
        raise UsageError(f"data set: {name} must be {wanted}, and is {is_now}")
