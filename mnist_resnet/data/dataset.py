"""`DataSet`, the return type of every data source.

A data source is a callable that a config names as `data._target_`, built in or the user's own. It is called with the
keys of the `data` node that the schema does not declare (for `mnist`: `root` and `verify`) and returns a `DataSet`.
"""

from dataclasses import dataclass
from typing import NoReturn

import torch
from torch import Tensor

from mnist_resnet.data.map_style import infinite
from mnist_resnet.errors import UsageError


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images, or other inputs, and their labels.

    Attributes:
        pixels: uint8 [n, channels, height, width], 0 to 255; or inputs of any other kind, such as floats [n, features]
            or tokens, int64 [n, tokens].
        labels: int64 [n] or [n, tokens], classes counted from 0; or float32 [n, labels], yes-or-no labels as 1 or
            0; or float32 [n, numbers], numbers to predict. float32 [n] is stored as [n, 1].

    Raises:
        UsageError: A tensor has the wrong dtype or shape, the lengths differ, there is no image, or a label is
            negative.
    """

    pixels: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        _require_tensor(self.pixels, "pixels", "uint8 [n, channels, height, width], or other inputs [n, …]")
        _require_tensor(self.labels, "labels", "int64 [n]")
        if self.pixels.dtype == torch.uint8 and self.pixels.ndim != 4:
            _refuse(self.pixels, "pixels", "uint8 [n, channels, height, width]; other inputs are floats or int64")
        if self.pixels.ndim < 2:
            _refuse(self.pixels, "pixels", "[n, …] with at least two dimensions")
        if self.labels.dtype == torch.float32 and self.labels.ndim == 1:
            object.__setattr__(self, "labels", self.labels.unsqueeze(1))
        if self.labels.is_floating_point():
            if self.labels.dtype != torch.float32 or self.labels.ndim != 2:
                _refuse(self.labels, "labels", "int64 [n], or float32 [n, labels]")
        elif self.labels.dtype != torch.int64 or self.labels.ndim < 1:
            _refuse(self.labels, "labels", "int64 [n]")
        if len(self.pixels) != len(self.labels):
            raise UsageError(
                f"data set: {len(self.pixels)} images and {len(self.labels)} labels; the numbers must be equal"
            )
        if not self.pixels.numel():
            raise UsageError(f"data set: pixels are {list(self.pixels.shape)}; there must be at least one image")
        if not self.labels.is_floating_point() and int(self.labels.min()) < 0:
            raise UsageError(f"data set: a label is {int(self.labels.min())}; labels count from 0")

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def example(self) -> tuple[Tensor, Tensor]:
        """The first input, and its label or labels."""
        return self.pixels[0], self.labels[0]

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
        UsageError: A part is not a `LabelledImages`, an input or a label is not finite, or training and test images
            differ in shape.
    """

    train: LabelledImages
    test: LabelledImages
    is_published: bool = False

    def __post_init__(self) -> None:
        for name, part in (("train", self.train), ("test", self.test)):
            if not isinstance(part, LabelledImages):
                raise UsageError(f"data set: {name} must be LabelledImages, not {type(part).__name__}")
            _require_finite(name, part)
        train, test = list(self.train.pixels.shape[1:]), list(self.test.pixels.shape[1:])
        if train != test:
            raise UsageError(f"data set: training images are {train}, test images {test}; they must be the same")

    def to(self, device: str) -> "DataSet":
        """Return the same images on `device`, such as `cpu` or `cuda:0`."""
        return DataSet(self.train.to(device), self.test.to(device), self.is_published)


def _require_tensor(tensor: Tensor, name: str, expected: str) -> None:
    if not isinstance(tensor, Tensor):
        raise UsageError(f"data set: {name} must be a tensor, {expected}, not {type(tensor).__name__}")


def _require_finite(name: str, part: LabelledImages) -> None:
    if all(map(_is_finite, (part.pixels, part.labels))):
        return
    items = zip(part.pixels, part.labels, strict=True)
    index, problem = next((index, problem) for index, item in enumerate(items) if (problem := infinite(item)))
    raise UsageError(f"data.{name}: item {index} {problem}")


def _is_finite(tensor: Tensor) -> bool:
    """Return whether all values are finite as float32, without a copy of them."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return bool(torch.stack(tensor.aminmax()).to(torch.float32).isfinite().all())


def _refuse(tensor: Tensor, name: str, expected: str) -> NoReturn:
    actual = f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
    raise UsageError(f"data set: {name} must be {expected}, not {actual}")
