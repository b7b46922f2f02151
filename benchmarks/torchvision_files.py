"""Writes a data set as uncompressed MNIST files, which torchvision's `MNIST` class needs."""

from pathlib import Path

import numpy

from mnist_resnet.data import idx
from mnist_resnet.data.dataset import DataSet


def write_for_torchvision(data_set: DataSet, root: Path) -> None:
    """Write `data_set` so that `torchvision.datasets.MNIST(root)` reads it.

    Args:
        data_set: a data set with one channel: pixels uint8 [n, 1, height, width], labels int64 [n].
        root: folder to write to; it must not contain `MNIST/raw` yet.
    """
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, images in (("train", data_set.train), ("t10k", data_set.test)):
        labels = images.labels.numpy().astype(numpy.uint8)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(idx.encode(images.pixels.squeeze(1).numpy()))
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(idx.encode(labels))
