"""Small idx data sets in torchvision's layout, written without the code under test."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Arrays = dict[str, NDArray[np.uint8]]


def write_idx_files(
    root: Path, train: int = 64, test: int = 32, compressed: bool = False, data_set: str = "MNIST", seed: int = 0
) -> Arrays:
    """Write ROOT/MNIST/raw/ with so many images, to be read as `data=mnist data.root=ROOT data.verify=false`.

    Each image is noise with a bright bar whose place tells its class, so that a network can learn them. The classes go
    round: 0, 1, …, 9, 0, …

    Returns:
        By file name, what is in it: images uint8 [n, 28, 28] and labels uint8 [n].
    """
    arrays = make_arrays(train, test, seed)
    raw = root / data_set / "raw"
    raw.mkdir(parents=True, exist_ok=True)
    for name, array in arrays.items():
        content = idx_bytes(array)
        if compressed:
            (raw / f"{name}.gz").write_bytes(gzip.compress(content))
        else:
            (raw / name).write_bytes(content)
    return arrays


def make_arrays(train: int = 64, test: int = 32, seed: int = 0) -> Arrays:
    """What `write_idx_files` writes."""
    generator = np.random.default_rng(seed)
    arrays: Arrays = {}
    for part, count in (("train", train), ("t10k", test)):
        labels = (np.arange(count) % 10).astype(np.uint8)
        images = generator.integers(0, 80, (count, 28, 28), dtype=np.uint8)
        for image, label in zip(images, labels, strict=True):
            image[4:24, 2 * label + 4 : 2 * label + 7] = 255
        arrays[f"{part}-images-idx3-ubyte"] = images
        arrays[f"{part}-labels-idx1-ubyte"] = labels
    return arrays


def idx_bytes(array: NDArray[np.uint8]) -> bytes:
    """The idx file of `array`."""
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def sha256(arrays: Arrays) -> dict[str, str]:
    """The sum of each unpacked file."""
    return {name: hashlib.sha256(idx_bytes(array)).hexdigest() for name, array in arrays.items()}
