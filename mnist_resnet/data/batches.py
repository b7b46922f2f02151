"""The images on the device: decoded once in a process, kept as bytes, cut into batches and normalised there."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy
import torch
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from torch import Tensor

from mnist_resnet.config.schema import Data
from mnist_resnet.data.dataset import DataSet
from mnist_resnet.errors import UsageError


@dataclass(frozen=True)
class Split:
    """Some images of a data set, on the device.

    Attributes:
        pixels: uint8 [n, channels, height, width].
        labels: int64 [n].
        mean: float32 [channels, 1, 1], of pixels as fractions of 255.
        std: float32 [channels, 1, 1], likewise.
    """

    pixels: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def batch(self, places: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Those at `places`, int64 [batch]: normalised, float32 [batch, channels, height, width], and their labels."""
        return self.normalise(self.pixels[places]), self.labels[places]

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """All images as they come, in batches as `batch` gives them; the last one may be smaller."""
        for begin in range(0, len(self), batch_size):
            yield self.batch(slice(begin, begin + batch_size))

    def normalise(self, pixels: Tensor) -> Tensor:
        """As torchvision's ToTensor and Normalize do it, operation by operation, so that the bits agree."""
        return pixels.to(torch.float32).div_(255).sub_(self.mean).div_(self.std)


@dataclass(frozen=True)
class DataSplits:
    """What a job trains, validates (if images are held out) and tests on."""

    train: Split
    val: Split | None
    test: Split


def shuffled(count: int, seed: int, epoch: int) -> Tensor:
    """The order of `count` images in an epoch, int64 [count], drawn from (seed, epoch) alone."""
    # PyTorch's CPU generator drops all but 32 bits of a seed, so the pair is hashed and not put side by side.
    mixed = int(numpy.random.SeedSequence((seed, epoch)).generate_state(1)[0])
    return torch.randperm(count, generator=torch.Generator().manual_seed(mixed))


def load(data: Data, device: str) -> DataSplits:
    """The splits that `data` describes, on `device`; the decoded images are shared by all jobs of this process.

    Raises:
        UsageError: the source can't be had, or has fewer images, other channels or more classes than `data` says.
    """
    decode(data)
    whole = _on_device(_source(data), device)
    available = len(whole.train.labels)
    train_size = available - data.val_size if data.train_size is None else data.train_size
    mean, std = (torch.tensor(value, device=device).reshape(-1, 1, 1) for value in (data.mean, data.std))
    train, test = whole.train, whole.test
    return DataSplits(
        train=Split(train.pixels[:train_size], train.labels[:train_size], mean, std),
        val=Split(train.pixels[available - data.val_size :], train.labels[available - data.val_size :], mean, std)
        if data.val_size
        else None,
        test=Split(test.pixels[: data.test_size], test.labels[: data.test_size], mean, std),
    )


def decode(data: Data) -> None:
    """Get and decode the images that `data` names, once in a process; errors as those of `load`."""
    _check_fits(data, _decoded(_source(data)))


def _source(data: Data) -> str:
    """What is handed to the source: the keys that `Data` does not declare."""
    own = {key: value for key, value in data.model_dump(by_alias=True).items() if key not in Data.model_fields}
    return json.dumps({"_target_": data.target, **own})


@lru_cache(maxsize=4)
def _on_device(source: str, device: str) -> DataSet:
    return _decoded(source).to(device)


@lru_cache(maxsize=4)
def _decoded(source: str) -> DataSet:
    try:
        loaded: Any = instantiate(json.loads(source), _convert_="all")
    except InstantiationException as error:
        if isinstance(error.__cause__, UsageError):
            raise error.__cause__ from None
        raise
    if not isinstance(loaded, DataSet):
        raise UsageError(f"data._target_={json.loads(source)['_target_']}: gave a {type(loaded).__name__}, no DataSet")
    return loaded


def _check_fits(data: Data, whole: DataSet) -> None:
    train, test = len(whole.train.labels), len(whole.test.labels)
    wanted = (data.train_size or 1) + data.val_size
    if wanted > train:
        asked = "data." if data.train_size is None else f"data.train_size={data.train_size}, "
        raise UsageError(f"{asked}val_size={data.val_size}: there are {train} images")
    if (data.test_size or 1) > test:
        raise UsageError(f"data.test_size={data.test_size}: there are {test} test images")
    if data.train_size is None and (train - data.val_size) % data.batch_size == 1:
        raise UsageError(
            f"data.batch_size={data.batch_size}: leaves a last batch of one of {train - data.val_size} training "
            f"images, on which batch norm can't train; take another, or a data.train_size"
        )
    channels = whole.train.pixels.shape[1]
    if channels != data.channels:
        raise UsageError(f"data.channels={data.channels}: the images have {channels}")
    for key, value in (("mean", data.mean), ("std", data.std)):
        if isinstance(value, list) and len(value) != channels:
            raise UsageError(f"data.{key}={value}: give one number, or one for each of the {channels} channels")
    most = int(max(whole.train.labels.max(), whole.test.labels.max()))
    if most >= data.classes:
        raise UsageError(f"data.classes={data.classes}: there is a label {most}; labels count from 0")
