"""Reads `predictions.npz`, a trained network's prediction for each test image, without trusting the file."""

import io
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_resnet.job_folder import PREDICTIONS, UnreadableFolder, patiently
from mnist_resnet.stored_file import MAX_ARRAYS, check_archive, read_stored

_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    RuntimeError,
    MemoryError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
)


CLASSES = ("uint8", "uint16", "uint32")
"""Types that classes are stored in, the smallest one that holds all of them."""


@dataclass(frozen=True)
class Predictions:
    """The content of `predictions.npz` for a test set of n images, in the test set's order.

    Attributes:
        label: uint8 [n], true class; uint16 or uint32 if there are more than 256.
        predicted: likewise, class with the largest log-probability.
        label_log_probability: float16 [n], natural log-probability of the true class.
        predicted_log_probability: float16 [n], natural log-probability of the predicted class.
        test_set_sha256: hash of the test set; see `training.predictions.test_set_sha256`.
        misread_index: int32 [m], indices of the first m ≤ 200 misclassified images.
        misread_pixels: uint8 [m, channels, height, width], their pixels.
    """

    label: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    label_log_probability: NDArray[np.float16]
    predicted_log_probability: NDArray[np.float16]
    test_set_sha256: str
    misread_index: NDArray[np.int32]
    misread_pixels: NDArray[np.uint8]

    @property
    def accuracy(self) -> float:
        """Share of correctly classified images, a fraction of one."""
        return float(np.mean(self.label == self.predicted))


def read_predictions(folder: Path) -> Predictions:
    """Read the predictions in a job folder, without unpickling anything.

    Raises:
        UnreadableFolder: the file is missing, damaged, or not a predictions file.
    """
    path = folder / PREDICTIONS
    try:
        content: dict[str, Any] = read_arrays(path)
    except FileNotFoundError:
        raise UnreadableFolder(f"{folder}: no {PREDICTIONS} in it") from None
    if problem := _misfit(content):
        raise UnreadableFolder(f"{path}: not a file of this program ({problem})")
    return Predictions(**{**content, "test_set_sha256": str(content["test_set_sha256"])})


def read_arrays(path: Path, names: Sequence[str] = ()) -> dict[str, NDArray[Any]]:
    """Read the arrays with these names, or all, from a `.npz` archive, without unpickling anything.

    Raises:
        FileNotFoundError: there is no such file.
        UnreadableFolder: it is damaged, lacks an array, or unpacks to more than `MAX_ARRAYS`.
    """
    try:
        content = io.BytesIO(patiently(lambda: read_stored(path, MAX_ARRAYS)))
        with zipfile.ZipFile(content) as records:
            check_archive(records, MAX_ARRAYS)
        with np.load(content, allow_pickle=False) as archive:
            return {name: archive[name] for name in names or archive.files}
    except FileNotFoundError:
        raise
    except _DAMAGE as error:
        raise UnreadableFolder(f"{path}: can't be read ({error or type(error).__name__})") from None


def _misfit(content: dict[str, NDArray[Any]]) -> str | None:
    """Return what is wrong with the arrays' names, types or lengths; None if nothing is."""
    kinds = {
        "label": (CLASSES, 1),
        "predicted": (CLASSES, 1),
        "label_log_probability": (("float16",), 1),
        "predicted_log_probability": (("float16",), 1),
        "misread_index": (("int32",), 1),
        "misread_pixels": (("uint8",), 4),
    }
    if set(content) != {*kinds, "test_set_sha256"}:
        return "it holds other arrays"
    for name, (types, dimensions) in kinds.items():
        if str(content[name].dtype) not in types or content[name].ndim != dimensions:
            return f"{name} is {content[name].dtype} {list(content[name].shape)}"
    per_image = {len(content[name]) for name in list(kinds)[:4]}
    if len(per_image) != 1 or len(content["misread_index"]) != len(content["misread_pixels"]):
        return "its arrays differ in length"
    return None
