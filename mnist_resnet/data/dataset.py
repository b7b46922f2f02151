"""`DataSet`, the return type of every data source.

A data source is a callable that a config names as `data._target_`, built in or the user's own. It is called with the
keys of the `data` node that the schema does not declare (for `mnist`: `root` and `verify`) and returns a `DataSet`.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from mnist_resnet.errors import UsageError


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images and their class labels.

    Attributes:
        pixels: uint8 [n, channels, height, width], 0 to 255.
        labels: int64 [n], classes counted from 0.

    Raises:
        UsageError: A tensor has the wrong dtype or shape, the lengths differ, there is no image, or a label is
            negative.
    """

    pixels: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        _require(self.pixels, "pixels", torch.uint8, "uint8 [n, channels, height, width]", dimensions=4)
        _require(self.labels, "labels", torch.int64, "int64 [n]", dimensions=1)
        if len(self.pixels) != len(self.labels):
            raise UsageError(
                f"data set: {len(self.pixels)} images and {len(self.labels)} labels; the numbers must be equal"
            )
        if not self.pixels.numel():
            raise UsageError(f"data set: pixels are {list(self.pixels.shape)}; there must be at least one image")
        if int(self.labels.min()) < 0:
            raise UsageError(f"data set: a label is {int(self.labels.min())}; labels count from 0")

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: str) -> "LabelledImages":
        """Return the same images on `device`, such as `cpu` or `cuda:0`."""
        return LabelledImages(self.pixels.to(device), self.labels.to(device))


@dataclass(frozen=True, eq=False)
class DataSet:
    """The training and test images that a data source returns, always in the same order.

    Attributes:
        train: images for training; validation images are held out of these.
        test: test images, with the same channels, height and width.
        is_published: whether the source has checked that these are images that everybody has, wherever they are
            stored. Of all other images a job records a hash, by which two jobs are told apart.

    Raises:
        UsageError: A part is not a `LabelledImages`, or training and test images differ in shape.
    """

    train: LabelledImages
    test: LabelledImages
    is_published: bool = False

    def __post_init__(self) -> None:
        for name, part in (("train", self.train), ("test", self.test)):
            if not isinstance(part, LabelledImages):
                raise UsageError(f"data set: {name} must be LabelledImages, not {type(part).__name__}")
        train, test = list(self.train.pixels.shape[1:]), list(self.test.pixels.shape[1:])
        if train != test:
            raise UsageError(f"data set: training images are {train}, test images {test}; they must be the same")

    def to(self, device: str) -> "DataSet":
        """Return the same images on `device`, such as `cpu` or `cuda:0`."""
        return DataSet(self.train.to(device), self.test.to(device), self.is_published)


def _require(tensor: Tensor, name: str, dtype: torch.dtype, expected: str, dimensions: int) -> None:
    if not isinstance(tensor, Tensor):
        raise UsageError(f"data set: {name} must be a tensor, {expected}, not {type(tensor).__name__}")
    if tensor.dtype != dtype or tensor.ndim != dimensions:
        actual = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
        raise UsageError(f"data set: {name} must be {expected}, not {actual}")
