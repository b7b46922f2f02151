"""Writes `predictions.npz`: a trained network's prediction for each test image."""

import hashlib
import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnist_resnet.job_folder import PREDICTIONS, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

MISREAD_KEPT = 200
"""Misread images kept as pixels, the first in the test set's order: enough to look at, and 160 kB at most for MNIST."""


def test_set_sha256(pixels: "Tensor", labels: "Tensor") -> str:
    """Hash a test set: the same images and labels in the same order give the same hash, on every device.

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


def _half(values: NDArray[np.float32]) -> NDArray[np.float16]:
    with np.errstate(over="ignore"):
        return values.astype(np.float16)
