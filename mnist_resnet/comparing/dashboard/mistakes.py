"""The misread test images: of each job, and of the jobs together."""

import base64
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mnist_resnet.comparing.frame import Job
from mnist_resnet.job_folder import PREDICTIONS, UnreadableFolder
from mnist_resnet.training.predictions import Predictions, read_predictions

MOST_OFTEN = 60
"""How many of the images that most jobs misread are shown."""

LISTED = 20_000
"""Misread images listed on the page, all jobs together: a large sweep lists fewer of each job."""

LISTED_OF_JOB = (12, 200)
"""The fewest and the most listed of one job; what it was surest of comes first."""

PICTURES = 3_000
"""Pictures on the page, for each test set."""

ACROSS = 50
"""Pictures in a row of the sheet."""


@dataclass(eq=False)
class Misread:
    """One job's misread images: index in the test set, label, predicted class, and how probable it took each for."""

    job: int
    index: NDArray[np.int64]
    label: NDArray[np.uint8]
    predicted: NDArray[np.uint8]
    sure: NDArray[np.float64]
    of_label: NDArray[np.float64]


@dataclass(eq=False)
class TestSet:
    """The jobs that were tested on the same images, and the pictures that they left of those they misread."""

    images: int
    jobs: list[Misread] = field(default_factory=list)
    pictures: dict[int, NDArray[np.uint8]] = field(default_factory=dict)
    sheet: dict[int, int] = field(default_factory=dict)

    def place(self, image: int) -> int:
        """The image's place in the sheet of pictures, -1 where it has none: no job left it, or the sheet is full."""
        if image in self.sheet:
            return self.sheet[image]
        if image not in self.pictures or len(self.sheet) >= PICTURES:
            return -1
        self.sheet[image] = len(self.sheet)
        return self.sheet[image]


def mistakes(jobs: Sequence[Job]) -> tuple[dict[str, Any], list[str]]:
    """What `predictions.npz` of each job says, and a line for each that can't be read.

    Returns:
        `confusion` by job (counts, label by label, predicted classes fastest; None without predictions), `misread` by
        job, `set` by job (a number in `sets`), and `sets` with pictures and the images that most jobs misread.
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
    fewest, most = LISTED_OF_JOB
    share = min(most, max(fewest, LISTED // max(1, len(jobs))))
    for test_set in sets.values():
        for misread in test_set.jobs:
            listed[misread.job] = _surest(misread, test_set, share)
    described = [_describe(*item, shown) for item, shown in zip(sets.items(), often, strict=True)]
    return {"confusion": confusion, "misread": listed, "set": set_of, "sets": described}, remarks


def _add(number: int, said: Predictions, sets: dict[str, TestSet]) -> tuple[int, list[int]]:
    """Take up one job's predictions; its test set's number in `sets`, and its confusion matrix."""
    wrong = np.flatnonzero(said.label != said.predicted)
    sure = np.exp(said.predicted_log_probability[wrong].astype(np.float64))
    of_label = np.exp(said.label_log_probability[wrong].astype(np.float64))
    classes = int(max(said.label.max(initial=0), said.predicted.max(initial=0))) + 1
    # by its size as well: a hash copied into another file must not mix two test sets
    test_set = sets.setdefault(f"{said.test_set_sha256} {len(said.label)}", TestSet(len(said.label)))
    test_set.jobs.append(Misread(number, wrong, said.label[wrong], said.predicted[wrong], sure, of_label))
    shape = next(iter(test_set.pictures.values())).shape if test_set.pictures else said.misread_pixels.shape[1:]
    if said.misread_pixels.shape[1:] == shape:
        for image, picture in zip(said.misread_index.tolist(), said.misread_pixels, strict=True):
            test_set.pictures.setdefault(image, picture)
    pairs = said.label.astype(np.int64) * classes + said.predicted
    return list(sets.values()).index(test_set), np.bincount(pairs, minlength=classes * classes).tolist()


def _often(test_set: TestSet) -> list[dict[str, Any]]:
    """The images that most of the jobs misread, with what they were taken for by how many and how surely."""
    counts = np.zeros(test_set.images, dtype=np.int64)
    for misread in test_set.jobs:
        counts[misread.index] += 1
    order = np.argsort(-counts, kind="stable")[:MOST_OFTEN]
    images: dict[int, dict[str, Any]] = {}
    for image in order[counts[order] > 0].tolist():
        images[image] = {"index": image, "place": test_set.place(image), "jobs": int(counts[image]), "taken": {}}
    for misread in test_set.jobs:
        for at in np.flatnonzero(np.isin(misread.index, list(images))).tolist():
            entry = images[int(misread.index[at])]
            entry["label"] = int(misread.label[at])
            entry["taken"].setdefault(int(misread.predicted[at]), []).append(float(misread.sure[at]))
    for entry in images.values():
        taken = sorted(entry["taken"].items(), key=lambda item: -len(item[1]))
        entry["taken"] = [[predicted, len(sure), round(sum(sure) / len(sure), 4)] for predicted, sure in taken]
    return list(images.values())


def _surest(misread: Misread, test_set: TestSet, most: int) -> list[list[float]]:
    """Up to `most` entries (place in the sheet, index, label, predicted, probability of each), the surest first."""
    return [
        [
            test_set.place(int(misread.index[at])),
            int(misread.index[at]),
            int(misread.label[at]),
            int(misread.predicted[at]),
            round(float(misread.sure[at]), 4),
            round(float(misread.of_label[at]), 4),
        ]
        for at in np.argsort(-misread.sure, kind="stable")[:most].tolist()
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
        "across": ACROSS,
        "down": math.ceil(len(pictures) / ACROSS),
        "sheet": _sheet(pictures, channels, height, width) if pictures else None,
    }


def _sheet(pictures: list[NDArray[np.uint8]], channels: int, height: int, width: int) -> str:
    """All pictures, uint8 [C, H, W] each, as one PNG in a data URI."""
    down = math.ceil(len(pictures) / ACROSS)
    sheet = np.zeros((down * height, ACROSS * width, channels), dtype=np.uint8)
    for place, picture in enumerate(pictures):
        top, left = place // ACROSS * height, place % ACROSS * width
        sheet[top : top + height, left : left + width] = picture.transpose(1, 2, 0)
    image = Image.fromarray(sheet[:, :, 0] if channels != 3 else sheet)
    content = io.BytesIO()
    image.save(content, format="PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
