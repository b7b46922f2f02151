"""What a trained network said of each test image: `predictions.npz`, written once and read without trusting it."""

import hashlib
import io
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnist_resnet.job_folder import PREDICTIONS, UnreadableFolder, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

MISREAD_KEPT = 200
"""Misread images kept as pixels, the first in the test set's order: enough to look at, and 160 kB at most for MNIST."""

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


@dataclass(frozen=True)
class Predictions:
    """The content of `predictions.npz` for a test set of n images, in the test set's order.

    Attributes:
        label: uint8 [n], the true class.
        predicted: uint8 [n], the class of the greatest log-probability.
        label_log_probability: float16 [n], natural logarithm, of the true class.
        predicted_log_probability: float16 [n], of the predicted class.
        test_set_sha256: what `test_set_sha256` gives for the test set.
        misread_index: int32 [m], which images the first m ≤ 200 misread ones are.
        misread_pixels: uint8 [m, channels, height, width].
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
        """Share of the images read right, a fraction of one."""
        return float(np.mean(self.label == self.predicted))


def test_set_sha256(pixels: "Tensor", labels: "Tensor") -> str:
    """A name for a test set: the same images and labels in the same order have the same one, on every device.

    Args:
        pixels: uint8 [n, channels, height, width].
        labels: integers [n].
    """
    images = pixels.cpu().contiguous().numpy()
    digest = hashlib.sha256(repr(images.shape).encode())
    digest.update(images.tobytes())
    digest.update(labels.cpu().numpy().astype("<i8").tobytes())
    return digest.hexdigest()


test_set_sha256.__test__ = False  # type: ignore[attr-defined]  # pytest collects what is named test_* in a test file


def write_predictions(
    folder: Path, labels: "Tensor", log_probabilities: "Tensor", pixels: "Tensor", test_set_sha256: str
) -> None:
    """Write `predictions.npz` into the job folder, atomically.

    Args:
        folder: the job folder.
        labels: integers [n], at most 255.
        log_probabilities: floating point [n, classes], natural logarithms.
        pixels: uint8 [n, channels, height, width], the test images.
        test_set_sha256: what `test_set_sha256` gives for `pixels` and `labels`.
    """
    label = labels.cpu().numpy().astype(np.int64)
    given = log_probabilities.float().cpu().numpy()
    predicted = given.argmax(axis=1)
    every = np.arange(len(label))
    misread = np.flatnonzero(predicted != label)[:MISREAD_KEPT]
    content: dict[str, Any] = {
        "label": label.astype(np.uint8),
        "predicted": predicted.astype(np.uint8),
        "label_log_probability": _half(given[every, label]),
        "predicted_log_probability": _half(given[every, predicted]),
        "test_set_sha256": np.array(test_set_sha256),
        "misread_index": misread.astype(np.int32),
        "misread_pixels": pixels.cpu().numpy()[misread],
    }
    file = io.BytesIO()
    np.savez_compressed(file, **content)
    write_atomically(folder / PREDICTIONS, file.getvalue())


def read_predictions(folder: Path) -> Predictions:
    """The predictions that a job folder holds.

    Raises:
        UnreadableFolder: there are none, or the file is damaged or holds something else. Nothing in it is unpickled.
    """
    path = folder / PREDICTIONS
    try:
        with np.load(path, allow_pickle=False) as archive:
            content = {name: archive[name] for name in archive.files}
    except FileNotFoundError:
        raise UnreadableFolder(f"{folder}: no {PREDICTIONS} in it") from None
    except _DAMAGE as error:
        raise UnreadableFolder(f"{path}: can't be read ({error or type(error).__name__})") from None
    if problem := _misfit(content):
        raise UnreadableFolder(f"{path}: not a file of this program ({problem})")
    return Predictions(**{**content, "test_set_sha256": str(content["test_set_sha256"])})


def _half(values: NDArray[np.float32]) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):
        return values.astype(np.float16)


def _misfit(content: dict[str, NDArray[Any]]) -> str | None:
    kinds = {
        "label": ("uint8", 1),
        "predicted": ("uint8", 1),
        "label_log_probability": ("float16", 1),
        "predicted_log_probability": ("float16", 1),
        "misread_index": ("int32", 1),
        "misread_pixels": ("uint8", 4),
    }
    if set(content) != {*kinds, "test_set_sha256"}:
        return "it holds other arrays"
    for name, (dtype, dimensions) in kinds.items():
        if str(content[name].dtype) != dtype or content[name].ndim != dimensions:
            return f"{name} is {content[name].dtype} {list(content[name].shape)}"
    per_image = {len(content[name]) for name in list(kinds)[:4]}
    if len(per_image) != 1 or len(content["misread_index"]) != len(content["misread_pixels"]):
        return "its arrays differ in length"
    return None
