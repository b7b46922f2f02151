"""Splits and batches of images on the device.

Images are decoded once per process and kept on the device as bytes. Batches are sliced and normalised there.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy
import torch
from hydra.errors import InstantiationException
from torch import Tensor

from mnist_resnet.config.build import build
from mnist_resnet.config.classifier_schema import Data
from mnist_resnet.data.dataset import DataSet, LabelledImages
from mnist_resnet.data.targets import is_classes
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import from_json, to_json

SPLIT = 2**31
"""Stands for an epoch where images are shuffled before they are split, so that no epoch has the same order."""


@dataclass(frozen=True)
class Split:
    """A split of a data set (training, validation or test), on the device.

    Attributes:
        pixels: uint8 [n, channels, height, width], 0 to 255; or other inputs, see `LabelledImages`.
        labels: int64 [n], 0 to classes - 1; or others, see `LabelledImages`.
        mean: float32 [1 or channels, 1, 1], mean of the pixels scaled to 0…1, or of floats; None leaves floats alone.
        std: float32 [1 or channels, 1, 1], their standard deviation; None as for `mean`.
    """

    pixels: Tensor
    labels: Tensor
    mean: Tensor | None
    std: Tensor | None

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, indices: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return the normalised images and the labels at `indices`.

        Args:
            indices: int64 [batch], or a slice.

        Returns:
            Images, float32 [batch, channels, height, width], and labels, int64 [batch].
        """
        return self.normalise(self.pixels[indices]), self.labels[indices]

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all images in order, as `batch` returns them; the last batch may be smaller."""
        for begin in range(0, len(self), batch_size):
            yield self.batch(slice(begin, begin + batch_size))

    def normalise(self, pixels: Tensor) -> Tensor:
        """Normalise uint8 [batch, channels, height, width] to float32 of the same shape.

        The operations and their order are those of torchvision's ToTensor and Normalize, so the results are bitwise
        equal. Floats become float32 and are normalised if the config gives `mean` and `std`; integers stay as they are.
        """
        if pixels.dtype == torch.uint8:
            assert self.mean is not None
            assert self.std is not None
            return pixels.to(torch.float32).div_(255).sub_(self.mean).div_(self.std)
        if not pixels.is_floating_point():
            return pixels
        floats = pixels.to(torch.float32)
        return floats if self.mean is None or self.std is None else (floats - self.mean) / self.std


@dataclass(frozen=True)
class DataSplits:
    """The training, validation and test splits of a job.

    Attributes:
        train: training images.
        val: validation images; None if `data.val_size` is 0.
        test: test images.
    """

    train: Split
    val: Split | None
    test: Split


def shuffled(count: int, seed: int, epoch: int, weights: Tensor | None = None) -> Tensor:
    """Return the order of the training images in an epoch: a permutation, int64 [count], on the CPU.

    With weights, float64 [count], so many images are drawn by them, with replacement. The order depends on `seed` and
    `epoch` only, not on any global random state.
    """
    # PyTorch's CPU generator keeps only 32 bits of a seed, so hash the pair instead of concatenating it.
    epoch_seed = int(numpy.random.SeedSequence((seed, epoch)).generate_state(1)[0])
    generator = torch.Generator().manual_seed(epoch_seed)
    if weights is not None:
        return torch.multinomial(weights, count, replacement=True, generator=generator)
    return torch.randperm(count, generator=generator)


def load(data: Data, device: str, split_seed: int | None = None) -> DataSplits:
    """Return the splits that the config `data` describes, on `device`.

    Training takes the first images, validation the last ones, in the published order or, with a seed, in the shuffled
    one. All jobs of this process share the decoded images.

    Raises:
        UsageError: The source fails, or it has too few images, other channels or more classes than `data` declares.
    """
    decode(data)
    data_set = _on_device(_source_node(data), device)
    available = len(data_set.train.labels)
    train_size = available - data.val_size if data.train_size is None else data.train_size
    mean, std = (_constant(data, key, data_set, device) for key in ("mean", "std"))
    train, test = data_set.train, data_set.test
    if split_seed is not None:
        order = shuffled(available, split_seed, SPLIT).to(device)
        train = LabelledImages(train.pixels[order], train.labels[order])
    return DataSplits(
        train=Split(train.pixels[:train_size], train.labels[:train_size], mean, std),
        val=Split(train.pixels[available - data.val_size :], train.labels[available - data.val_size :], mean, std)
        if data.val_size
        else None,
        test=Split(test.pixels[: data.test_size], test.labels[: data.test_size], mean, std),
    )


def _constant(data: Data, key: str, data_set: DataSet, device: str) -> Tensor | None:
    """Return the mean or standard deviation, shaped for the inputs; None for floats of which the config has none."""
    pixels = data_set.train.pixels
    if pixels.dtype != torch.uint8 and key not in data.model_fields_set:
        return None
    return torch.tensor(getattr(data, key), device=device).reshape(-1, *[1] * (pixels.ndim - 2))


def decode(data: Data) -> None:
    """Fetch, decode and check the images of the config `data`, once per process.

    Raises:
        UsageError: As in `load`.
    """
    _check_fits(data, _decoded(_source_node(data)))


def check_split(data: Data, split_seed: int | None) -> None:
    """Check that a seed of the split has an effect.

    Raises:
        UsageError: All images are trained on; or as in `load`.
    """
    if split_seed is None:
        return
    available = len(_decoded(_source_node(data)).train.labels)
    if not data.val_size and (data.train_size or available) == available:
        raise UsageError(
            f"seeds.split={split_seed}: has no effect, all {available} images are trained on; set data.val_size or "
            f"data.train_size"
        )


def is_published(data: Data) -> bool:
    """Return whether the source of the config `data` vouches for its content.

    Raises:
        UsageError: As in `load`.
    """
    return _decoded(_source_node(data)).is_published


def _source_node(data: Data) -> str:
    """Return the source's config node as JSON: its `_target_` and the keys that `Data` does not declare."""
    return to_json(data.node())


@lru_cache(maxsize=4)
def _on_device(source_node: str, device: str) -> DataSet:
    return _decoded(source_node).to(device)


@lru_cache(maxsize=4)
def _decoded(source_node: str) -> DataSet:
    try:
        loaded: Any = build(from_json(source_node))
    except InstantiationException as error:
        if isinstance(error.__cause__, UsageError):
            raise error.__cause__ from None
        raise
    if not isinstance(loaded, DataSet):
        target = from_json(source_node)["_target_"]
        raise UsageError(f"data._target_={target}: must return a DataSet, returned a {type(loaded).__name__}")
    return loaded


def _check_fits(data: Data, data_set: DataSet) -> None:
    train, test = len(data_set.train.labels), len(data_set.test.labels)
    if (data.train_size or 1) + data.val_size > train:
        prefix = "data." if data.train_size is None else f"data.train_size={data.train_size}, "
        raise UsageError(f"{prefix}val_size={data.val_size}: there are {train} images")
    if (data.test_size or 1) > test:
        raise UsageError(f"data.test_size={data.test_size}: there are {test} test images")
    if data.train_size is None and (train - data.val_size) % data.batch_size == 1:
        raise UsageError(
            f"data.batch_size={data.batch_size}: leaves a last batch of one of {train - data.val_size} training "
            f"images, on which batch norm can't train; choose another batch size, or set data.train_size"
        )
    pixels = data_set.train.pixels
    channels = pixels.shape[1]
    if pixels.ndim == 4 and channels != data.channels:
        raise UsageError(f"data.channels={data.channels}: the images have {channels}")
    for key, value in (("mean", data.mean), ("std", data.std)):
        if isinstance(value, list) and len(value) != channels:
            raise UsageError(f"data.{key}={value}: give one number, or one for each of the {channels} channels")
    _check_labels(data, data_set)


def _check_labels(data: Data, data_set: DataSet) -> None:
    labels = data_set.train.labels
    if data.balanced and labels.ndim > 1:
        raise UsageError("data.balanced=true: is for data with one class each; weight the loss instead")
    if not is_classes(labels):
        if labels.shape[1] != data.classes:
            raise UsageError(f"data.classes={data.classes}: there are {labels.shape[1]} yes-or-no labels")
        return
    largest = int(max(data_set.train.labels.max(), data_set.test.labels.max()))
    if largest >= data.classes:
        raise UsageError(f"data.classes={data.classes}: there is a label {largest}; labels count from 0")
