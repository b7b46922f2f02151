"""Compares two jobs, or two groups of jobs, image by image with McNemar's test."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.contingency_tables import mcnemar

from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.levels import level_text
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import PREDICTIONS, UnreadableFolder


@dataclass(frozen=True)
class McNemarResult:
    """Counts of test images by whether each side classifies them correctly, and McNemar's test.

    Attributes:
        images: number of test images.
        both_right, both_wrong: images that both sides classify correctly, or both incorrectly.
        only_first, only_second: images that only one side classifies correctly.
        p: two-sided p value of McNemar's exact (binomial) test of equal error rates.
    """

    images: int
    both_right: int
    both_wrong: int
    only_first: int
    only_second: int
    p: float


def compare_predictions(first: Sequence[Job], second: Sequence[Job]) -> McNemarResult:
    """Compare the predictions of two jobs or two groups of jobs.

    A group classifies an image correctly if more than half of its jobs do.

    Raises:
        UsageError: the two sides have different test sets, or one has no job.
        UnreadableFolder: a job's predictions are missing or broken.
    """
    if not first or not second:
        raise UsageError("image by image: each side needs at least one job with predictions")
    by_job = {job.folder: correct_predictions(job) for job in (*first, *second)}
    if len({test_set for test_set, _ in by_job.values()}) > 1:
        raise UsageError("image by image: the jobs were tested on different images and can't be compared")
    right_first, right_second = (_majority([by_job[job.folder][1] for job in side]) for side in (first, second))
    counts = [
        [np.sum(right_first & right_second), np.sum(right_first & ~right_second)],
        [np.sum(~right_first & right_second), np.sum(~right_first & ~right_second)],
    ]
    return McNemarResult(
        images=len(right_first),
        both_right=int(counts[0][0]),
        both_wrong=int(counts[1][1]),
        only_first=int(counts[0][1]),
        only_second=int(counts[1][0]),
        p=float(mcnemar(counts, exact=True).pvalue),
    )


def select_jobs(jobs: Sequence[Job], selector: str) -> list[Job]:
    """Return the completed jobs that `selector` names: a job's name, or levels such as `model=stem3x3,seed=1`.

    Raises:
        UsageError: no completed job matches.
    """
    completed = [job for job in jobs if job.completed]
    named = [job for job in completed if selector in (job.name, job.folder.name)]
    if named:
        return named
    frame = jobs_frame(completed)
    levels = {key: _as_level(text) for key, _, text in (part.partition("=") for part in selector.split(","))}
    if frame.empty or not all(key in frame for key in levels):
        raise UsageError(f"{selector}: no completed job has this name; or give levels such as model=stem3x3")
    texts = {key: frame[key].map(level_text) for key in levels}
    selected = [job for n, job in enumerate(completed) if all(texts[key][n] == level for key, level in levels.items())]
    if not selected:
        known = "; ".join(f"{key} is one of {', '.join(texts[key].unique())}" for key in levels)
        raise UsageError(f"{selector}: no completed job has these levels; {known}")
    return selected


def _as_level(text: str) -> str:
    try:
        return level_text(float(text))
    except ValueError:
        return text


def correct_predictions(job: Job) -> tuple[str, NDArray[np.bool_]]:
    """Return the hash of a job's test set, and for each image whether it is classified correctly, bool [n].

    Raises:
        UnreadableFolder: the predictions are missing or broken.
    """
    path = job.folder / PREDICTIONS
    try:
        # numpy refuses pickled arrays by default; keep it so, since the folder may be untrusted
        with np.load(path) as content:
            test_set = str(content["test_set_sha256"])
            return test_set, np.asarray(content["label"] == content["predicted"], dtype=bool)
    except FileNotFoundError:
        raise UnreadableFolder(f"{job.folder}: no {PREDICTIONS} in it") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableFolder(f"{path}: can't be read ({error})") from None


def _majority(correct: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    majority: NDArray[np.bool_] = 2 * np.sum(correct, axis=0) > len(correct)
    return majority
