"""Misclassified ("misread") test images of each job and of all jobs together."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.predictions import Predictions, read_predictions
from mnist_resnet.job_folder import PREDICTIONS, UnreadableFolder

MAX_OFTEN = 60
"""Number of the most often misread images to show."""

MAX_LISTED = 20_000
"""Largest number of misread images listed for all jobs together; a large sweep lists fewer per job."""

LISTED_PER_JOB = (12, 200)
"""Smallest and largest number listed per job; the most confident mistakes come first."""

MAX_PICTURES = 3_000
"""Largest number of pictures on the page per test set."""

PICTURES_PER_ROW = 50
"""Pictures in a row of the sprite sheet."""


@dataclass(eq=False)
class Misread:
    """One job's misread images.

    Attributes:
        job: the job's number.
        index: index in the test set, int64 [n].
        label: true class, uint8 [n].
        predicted: predicted class, uint8 [n].
        confidence: probability of the predicted class, float64 [n].
        label_probability: probability of the true class, float64 [n].
    """

    job: int
    index: NDArray[np.int64]
    label: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    confidence: NDArray[np.float64]
    label_probability: NDArray[np.float64]


@dataclass(eq=False)
class TestSet:
    """The jobs with the same test set, and the pictures that they saved of misread images.

    Attributes:
        images: number of test images.
        jobs: each job's misread images.
        pictures: pixels by index in the test set, uint8 [C, H, W] each.
        sheet: position in the sprite sheet, by index in the test set.
    """

    images: int
    jobs: list[Misread] = field(default_factory=list)
    pictures: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    sheet: dict[int, int] = field(default_factory=dict)

    def place(self, image: int) -> int:
        """Return the image's position in the sprite sheet; -1 if no job saved it, or if the sheet is full."""
        if image in self.sheet:
            return self.sheet[image]
        if image not in self.pictures or len(self.sheet) >= MAX_PICTURES:
            return -1
        self.sheet[image] = len(self.sheet)
        return self.sheet[image]


def mistakes(jobs: Sequence[Job]) -> tuple[dict[str, Any], list[str]]:
    """Return the mistakes in each job's `predictions.npz`, and a remark for each file that can't be read.

    Returns:
        `confusion` by job (counts in row-major order, rows are labels, columns predicted classes; None without
        predictions), `misread` by job, `set` by job (an index into `sets`), and `sets` with pictures and the most often
        misread images.
    """
    sets: dict[str, TestSet] = {}
    confusion: list[list[int] | None] = [None] * len(jobs)
    listed: list[list[list[float]]] = [[] for _ in jobs]
    set_of: list[int | None] = [None] * len(jobs)
    remarks = []
    for number, job in enumerate(jobs):
        if not (job.folder / PREDICTIONS).exists():
            continue
        try:
            set_of[number], confusion[number] = _add(number, read_predictions(job.folder), sets)
        except UnreadableFolder as error:
            remarks.append(str(error))
    often = [_often(test_set) for test_set in sets.values()]
    smallest, largest = LISTED_PER_JOB
    share = min(largest, max(smallest, MAX_LISTED // max(1, len(jobs))))
    for test_set in sets.values():
        for misread in test_set.jobs:
            listed[misread.job] = _most_confident(misread, test_set, share)
    described = [_describe(*item, shown) for item, shown in zip(sets.items(), often, strict=True)]
    return {"confusion": confusion, "misread": listed, "set": set_of, "sets": described}, remarks


def _add(number: int, predictions: Predictions, sets: dict[str, TestSet]) -> tuple[int, list[int]]:
    """Add one job's predictions to `sets`; return its test set's index in `sets` and its confusion matrix."""
    wrong = np.flatnonzero(predictions.label != predictions.predicted)
    confidence = np.exp(predictions.predicted_log_probability[wrong].astype(np.float64))
    label_probability = np.exp(predictions.label_log_probability[wrong].astype(np.float64))
    classes = int(max(predictions.label.max(initial=0), predictions.predicted.max(initial=0))) + 1
    # the key includes the size, so that a copied hash does not mix test sets of different sizes
    images = len(predictions.label)
    test_set = sets.setdefault(f"{predictions.test_set_sha256} {images}", TestSet(images))
    test_set.jobs.append(
        Misread(number, wrong, predictions.label[wrong], predictions.predicted[wrong], confidence, label_probability)
    )
    shape = next(iter(test_set.pictures.values())).shape if test_set.pictures else predictions.misread_pixels.shape[1:]
    if predictions.misread_pixels.shape[1:] == shape:
        for image, picture in zip(predictions.misread_index.tolist(), predictions.misread_pixels, strict=True):
            test_set.pictures.setdefault(image, picture)
    pairs = predictions.label.astype(np.int64) * classes + predictions.predicted
    return list(sets.values()).index(test_set), np.bincount(pairs, minlength=classes * classes).tolist()


def _often(test_set: TestSet) -> list[dict[str, Any]]:
    """Return the most often misread images, each with the classes taken for its own: by which jobs, how sure."""
    counts = np.zeros(test_set.images, dtype=np.int64)
    for misread in test_set.jobs:
        counts[misread.index] += 1
    order = np.argsort(-counts, kind="stable")[:MAX_OFTEN]
    images: dict[int, dict[str, Any]] = {}
    for image in order[counts[order] > 0].tolist():
        images[image] = {"index": image, "place": test_set.place(image), "jobs": int(counts[image]), "taken": {}}
    wanted = np.zeros(test_set.images, dtype=bool)
    wanted[list(images)] = True
    for misread in test_set.jobs:
        for position in np.flatnonzero(wanted[misread.index]).tolist():
            entry = images[int(misread.index[position])]
            entry["label"] = int(misread.label[position])
            run = (misread.job, float(misread.confidence[position]))
            entry["taken"].setdefault(int(misread.predicted[position]), []).append(run)
    for entry in images.values():
        taken = sorted(entry["taken"].items(), key=lambda item: -len(item[1]))
        entry["taken"] = [
            [predicted, [job for job, _ in runs], round(sum(confidence for _, confidence in runs) / len(runs), 4)]
            for predicted, runs in taken
        ]
    return list(images.values())


def _most_confident(misread: Misread, test_set: TestSet, limit: int) -> list[list[float]]:
    """Return up to `limit` mistakes, most confident first.

    Each is [position in the sheet, index, label, predicted, confidence, label probability].
    """
    return [
        [
            test_set.place(int(misread.index[position])),
            int(misread.index[position]),
            int(misread.label[position]),
            int(misread.predicted[position]),
            round(float(misread.confidence[position]), 4),
            round(float(misread.label_probability[position]), 4),
        ]
        for position in np.argsort(-misread.confidence, kind="stable")[:limit].tolist()
    ]


def _describe(sha256: str, test_set: TestSet, often: list[dict[str, Any]]) -> dict[str, Any]:
    pictures = [test_set.pictures[image] for image in test_set.sheet]
    channels, height, width = pictures[0].shape if pictures else (1, 1, 1)
    return {
        "sha256": sha256.split()[0][:12],
        "images": test_set.images,
        "jobs": len(test_set.jobs),
        "often": often,
        "width": width,
        "height": height,
        "across": PICTURES_PER_ROW,
        "down": math.ceil(len(pictures) / PICTURES_PER_ROW),
        "sheet": _sheet(pictures, channels, height, width) if pictures else None,
    }


def _sheet(pictures: list[NDArray[np.uint8]], channels: int, height: int, width: int) -> str:
    """Return all pictures, uint8 [C, H, W] each, as one PNG in a data URI."""
    rows = math.ceil(len(pictures) / PICTURES_PER_ROW)
    sheet = np.zeros((rows * height, PICTURES_PER_ROW * width, channels), dtype=np.uint8)
    for position, picture in enumerate(pictures):
        top, left = position // PICTURES_PER_ROW * height, position % PICTURES_PER_ROW * width
        sheet[top : top + height, left : left + width] = picture.transpose(1, 2, 0)
    image = Image.fromarray(sheet[:, :, 0] if channels != 3 else sheet)
    content = io.BytesIO()
    image.save(content, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
