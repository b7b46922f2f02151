"""A data set of the user's own."""

import torch

from mnist_resnet.data.dataset import DataSet, LabelledImages


def stripes(count: int, root: str | None = None) -> DataSet:
    """Images of three channels with a bright stripe, whose place tells the class."""
    return DataSet(train=_striped(count, seed=1), test=_striped(count // 2, seed=2))


def _striped(count: int, seed: int) -> LabelledImages:
    pixels = torch.randint(0, 100, (count, 3, 28, 28), generator=torch.Generator().manual_seed(seed), dtype=torch.uint8)
    labels = torch.arange(count) % 4
    for image, label in zip(pixels, labels, strict=True):
        image[:, :, 7 * label : 7 * label + 5] = 255
    return LabelledImages(pixels, labels)
