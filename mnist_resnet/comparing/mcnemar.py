"""Two jobs, or two groups of jobs, told apart image by image."""

import zipfile
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.contingency_tables import mcnemar

from mnist_resnet.comparing.frame import Job, jobs_frame, level_text
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import PREDICTIONS, UnreadableFolder


@dataclass(frozen=True)
class ImageByImage:
    """How often one side reads a test image right and the other wrong.

    Attributes:
        images: in the test set.
        both_right, both_wrong: images on which the sides agree.
        only_first, only_second: images that one side alone reads right.
        p: two-sided p value of McNemar's exact (binomial) test that both sides err equally often.
    """

    images: int
    both_right: int
    both_wrong: int
    only_first: int
    only_second: int
    p: float


def image_by_image(first: Sequence[Job], second: Sequence[Job]) -> ImageByImage:
    """Compare two jobs (each alone in its sequence) or two groups by their predictions.

    A group reads an image right if more than half of its jobs do.

    Raises:
        UsageError: the two sides were tested on different images, or one has no job.
        UnreadableFolder: a job has no predictions, or broken ones.
    """
    if not first or not second:
        raise UsageError("image by image: each side needs at least one job with predictions")
    answers = {job.folder: right_answers(job) for job in (*first, *second)}
    if len({test_set for test_set, _ in answers.values()}) > 1:
        raise UsageError("image by image: the jobs were tested on different images, and only the same can be compared")
    right_first, right_second = (_majority([answers[job.folder][1] for job in side]) for side in (first, second))
    counts = [
        [np.sum(right_first & right_second), np.sum(right_first & ~right_second)],
        [np.sum(~right_first & right_second), np.sum(~right_first & ~right_second)],
    ]
    return ImageByImage(
        images=len(right_first),
        both_right=int(counts[0][0]),
        both_wrong=int(counts[1][1]),
        only_first=int(counts[0][1]),
        only_second=int(counts[1][0]),
        p=float(mcnemar(counts, exact=True).pvalue),
    )


def side(jobs: Sequence[Job], words: str) -> list[Job]:
    """The completed jobs that `words` names: one by its name, or a group by levels such as `model=stem3x3,seed=1`.

    Raises:
        UsageError: there is none.
    """
    completed = [job for job in jobs if job.completed]
    named = [job for job in completed if words in (job.name, job.folder.name)]
    if named:
        return named
    frame = jobs_frame(completed)
    levels = {key: _as_level(text) for key, _, text in (part.partition("=") for part in words.split(","))}
    if frame.empty or not all(key in frame for key in levels):
        raise UsageError(f"{words}: no completed job of that name, and no group such as model=stem3x3")
    texts = {key: frame[key].map(level_text) for key in levels}
    found = [job for n, job in enumerate(completed) if all(texts[key][n] == level for key, level in levels.items())]
    if not found:
        known = "; ".join(f"{key} is one of {', '.join(texts[key].unique())}" for key in levels)
        raise UsageError(f"{words}: no completed job has these levels; {known}")
    return found


def _as_level(text: str) -> str:
    try:
        return level_text(float(text))
    except ValueError:
        return text


def right_answers(job: Job) -> tuple[str, NDArray[np.bool_]]:
    """The hash of a job's test set, and for each image whether the job read it right, bool [n].

    Raises:
        UnreadableFolder: there are no predictions, or broken ones.
    """
    path = job.folder / PREDICTIONS
    try:
        # pickled arrays stay refused (numpy's default): the folder may come from elsewhere
        with np.load(path) as content:
            test_set = str(content["test_set_sha256"])
            return test_set, np.asarray(content["label"] == content["predicted"], dtype=bool)
    except FileNotFoundError:
        raise UnreadableFolder(f"{job.folder}: no {PREDICTIONS} in it") from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise UnreadableFolder(f"{path}: can't be read ({error})") from None


def _majority(answers: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    majority: NDArray[np.bool_] = 2 * np.sum(answers, axis=0) > len(answers)
    return majority
