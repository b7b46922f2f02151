"""Writes `predictions.npz`: a trained network's prediction for each test image."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mnist_resnet.job_folder import PREDICTIONS, write_atomically

if TYPE_CHECKING:
    from torch import Tensor

MAX_MISREAD_IMAGES = 200
"""Maximum number of misclassified images whose pixels are stored: the first ones in the test set's order.

That is enough for a look at them, and takes at most 160 kB for MNIST.
"""


def test_set_sha256(pixels: "Tensor", labels: "Tensor") -> str:
    """Hash a test set: the same images and labels in the same order give the same hash, on every device.

    Args:
        pixels: uint8 [n, channels, height, width].
        labels: integers [n].

    Returns:
        SHA-256 in hexadecimal.
    """
    images = pixels.cpu().contiguous().numpy()
    digest = hashlib.sha256(repr(images.shape).encode())
    digest.update(images.tobytes())
    digest.update(labels.cpu().numpy().astype("<i8").tobytes())
    return digest.hexdigest()


test_set_sha256.__test__ = False  # type: ignore[attr-defined]  # pytest collects what is named test_* in a test file


def write_predictions(
    folder: Path,
    labels: "Tensor",
    log_probabilities: "Tensor",
    pixels: "Tensor",
    test_set_sha256: str,
    write: Callable[[Path, bytes], None] = write_atomically,
) -> None:
    """Write `predictions.npz` into the job folder, atomically; `comparing.predictions` describes its content.

    Args:
        folder: the job folder.
        labels: integers [n].
        log_probabilities: floating point [n, classes], natural logarithms.
        pixels: uint8 [n, channels, height, width], the test images.
        test_set_sha256: the test set's hash, from `test_set_sha256`.
        write: writes a file atomically.
    """
    label = labels.cpu().numpy().astype(np.int64)
    scores = log_probabilities.float().cpu().numpy()
    predicted = scores.argmax(axis=1)
    image = np.arange(len(label))
    classes = np.min_scalar_type(scores.shape[1] - 1)
    misread = np.flatnonzero(predicted != label)[:MAX_MISREAD_IMAGES]
    content: dict[str, Any] = {
        "label": label.astype(classes),
        "predicted": predicted.astype(classes),
        "label_log_probability": _half(scores[image, label]),
        "predicted_log_probability": _half(scores[image, predicted]),
        "test_set_sha256": np.array(test_set_sha256),
        "misread_index": misread.astype(np.int32),
        "misread_pixels": pixels.cpu().numpy()[misread],
    }
    file = io.BytesIO()
    np.savez_compressed(file, **content)
    write(folder / PREDICTIONS, file.getvalue())


def _half(values: NDArray[np.float32]) -> NDArray[np.float16]:
    """Convert to float16; values below its range become minus infinity without a warning."""
    with np.errstate(over="ignore"):
        return values.astype(np.float16)
