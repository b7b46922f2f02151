"""MNIST as torchvision's own class wants it: the four files unpacked, which the project's data folder need not be."""

import struct
from pathlib import Path

from torch import Tensor

from mnist_resnet.data.dataset import DataSet


def write_for_torchvision(whole: DataSet, root: Path) -> None:
    """Write `whole`, of images with one channel, so that `torchvision.datasets.MNIST(root)` reads it.

    The format: https://yann.lecun.com/exdb/mnist, "the IDX file format".
    """
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, images in (("train", whole.train), ("t10k", whole.test)):
        _write(raw / f"{part}-images-idx3-ubyte", images.pixels.squeeze(1))
        _write(raw / f"{part}-labels-idx1-ubyte", images.labels.byte())


def _write(path: Path, array: Tensor) -> None:
    head = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(head + array.numpy().tobytes())
