"""Splits and batches of images on the device.

Images are decoded once per process and kept on the device as bytes, unless they are streamed. Batches are sliced and
normalised there.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy
import torch
from hydra.errors import InstantiationException
from torch import Tensor

from mnist_resnet.config.build import build
from mnist_resnet.config.classifier_schema import Data
from mnist_resnet.data.dataset import DataSet, LabelledImages
from mnist_resnet.data.split import AnySplit, Split, StreamedSplit
from mnist_resnet.data.stream import StreamedDataSet, StreamedItems
from mnist_resnet.data.targets import Kind, check_targets, kind_of
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import from_json, to_json

SPLIT = 2**31
"""Stands for an epoch where images are shuffled before they are split, so that no epoch has the same order."""

AnyDataSet = DataSet | StreamedDataSet


@dataclass(frozen=True)
class DataSplits:
    """The training, validation and test splits of a job.

    Attributes:
        train: training images.
        val: validation images; None if `data.val_size` is 0.
        test: test images.
    """

    train: AnySplit
    val: AnySplit | None
    test: AnySplit


def epoch_order(count: int, seed: int, epoch: int, weights: Tensor | None, shuffle: bool) -> Tensor:
    """Return the order of the training images in an epoch, int64 [count], on the CPU; see `shuffled`.

    Without shuffling, it is the data set's own order in every epoch.
    """
    return shuffled(count, seed, epoch, weights) if shuffle else torch.arange(count)


def shuffled(count: int, seed: int, epoch: int, weights: Tensor | None = None) -> Tensor:
    """Return a new order of the training images for an epoch: a permutation, int64 [count], on the CPU.

    With weights, float64 [count], so many images are drawn by them, with replacement. The order depends on `seed` and
    `epoch` only, not on any global random state.
    """
    generator = torch.Generator().manual_seed(epoch_seed(seed, epoch))
    if weights is not None:
        return torch.multinomial(weights, count, replacement=True, generator=generator)
    return torch.randperm(count, generator=generator)


def epoch_seed(seed: int, epoch: int) -> int:
    """Return the seed of all that is drawn on the CPU in an epoch, below 2**32."""
    # PyTorch's CPU generator keeps only 32 bits of a seed, so hash the pair instead of concatenating it.
    return int(numpy.random.SeedSequence((seed, epoch)).generate_state(1)[0])


def load(data: Data, device: str, split_seed: int | None = None) -> DataSplits:
    """Return the splits that the config `data` describes, on `device`.

    Training takes the first images, validation the last ones, in the published order or, with a seed, in the shuffled
    one. All jobs of this process share the decoded images.

    Raises:
        UsageError: The source fails, or it has too few images, other channels or more classes than `data` declares.
    """
    decode(data)
    data_set = _on_device(_source_node(data), device)
    available = len(data_set.train)
    train_size = available - data.val_size if data.train_size is None else data.train_size
    mean, std = (_constant(data, key, data_set, device) for key in ("mean", "std"))
    train = data_set.train if split_seed is None else _reordered(data_set.train, shuffled(available, split_seed, SPLIT))

    def split(part: LabelledImages | StreamedItems, begin: int, end: int | None) -> AnySplit:
        kind = kind_of(part.example[1], data.classes)
        if isinstance(part, StreamedItems):
            return StreamedSplit(part, part.order[begin:end], mean, std, data.classes, kind)
        return Split(part.pixels[begin:end], part.labels[begin:end], mean, std, kind)

    return DataSplits(
        train=split(train, 0, train_size),
        val=split(train, available - data.val_size, None) if data.val_size else None,
        test=split(data_set.test, 0, data.test_size),
    )


def _reordered(part: LabelledImages | StreamedItems, order: Tensor) -> LabelledImages | StreamedItems:
    if isinstance(part, StreamedItems):
        return replace(part, order=order.tolist())
    order = order.to(part.labels.device)
    return LabelledImages(part.pixels[order], part.labels[order])


def _constant(data: Data, key: str, data_set: AnyDataSet, device: str) -> Tensor | None:
    """Return the mean or standard deviation, shaped for the inputs; None for floats of which the config has none."""
    example, _ = data_set.train.example
    if example.dtype != torch.uint8 and key not in data.model_fields_set:
        return None
    return torch.tensor(getattr(data, key), device=device).reshape(-1, *[1] * (example.ndim - 1))


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
    available = len(_decoded(_source_node(data)).train)
    if not data.val_size and (data.train_size or available) == available:
        raise UsageError(
            f"seeds.split={split_seed}: has no effect, all {available} images are trained on; set data.val_size or "
            f"data.train_size"
        )


def target_kind(data: Data) -> Kind:
    """Return the kind of the targets that the config `data` describes.

    Raises:
        UsageError: As in `load`.
    """
    return kind_of(_decoded(_source_node(data)).train.example[1], data.classes)


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
def _on_device(source_node: str, device: str) -> AnyDataSet:
    return _decoded(source_node).to(device)


@lru_cache(maxsize=4)
def _decoded(source_node: str) -> AnyDataSet:
    try:
        loaded: Any = build(from_json(source_node))
    except InstantiationException as error:
        if isinstance(error.__cause__, UsageError):
            raise error.__cause__ from None
        raise
    if not isinstance(loaded, AnyDataSet):
        target = from_json(source_node)["_target_"]
        raise UsageError(f"data._target_={target}: must return a DataSet, returned a {type(loaded).__name__}")
    return loaded


def _check_fits(data: Data, data_set: AnyDataSet) -> None:
    train, test = len(data_set.train), len(data_set.test)
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
    example, _ = data_set.train.example
    channels = example.shape[0]
    if example.ndim == 3 and channels != data.channels:
        raise UsageError(f"data.channels={data.channels}: the images have {channels}")
    for key, value in (("mean", data.mean), ("std", data.std)):
        if isinstance(value, list) and len(value) != channels:
            raise UsageError(f"data.{key}={value}: give one number, or one for each of the {channels} channels")
    _check_labels(data, data_set)


def _check_labels(data: Data, data_set: AnyDataSet) -> None:
    for part in (data_set.train, data_set.test):
        check_targets(part.example[1].unsqueeze(0) if isinstance(part, StreamedItems) else part.labels, data.classes)
    if data.balanced and isinstance(data_set.train, StreamedItems):
        raise UsageError("data.balanced=true: labels of streamed data are not known before; weight the loss instead")
    label = data_set.train.example[1]
    if data.balanced and (label.ndim or kind_of(label, data.classes) != "classes"):
        raise UsageError("data.balanced=true: is for data with one class each; weight the loss instead")
