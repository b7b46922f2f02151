"""Compares two jobs image by image with McNemar's test, and two groups of jobs with their seeds as clusters."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_resnet.comparing.distributions import t_tail
from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.predictions import read_arrays
from mnist_resnet.comparing.statistics import all_equal
from mnist_resnet.config.levels import level_text
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import PREDICTIONS, UnreadableFolder


@dataclass(frozen=True)
class McNemarResult:
    """Counts of test images by whether each of two networks classifies them correctly, and McNemar's test.

    Attributes:
        images: number of test images.
        both_right, both_wrong: images that both networks classify correctly, or both incorrectly.
        only_first, only_second: images that only one of them classifies correctly.
        p: two-sided mid-p value of McNemar's test of equal error rates.
    """

    images: int
    both_right: int
    both_wrong: int
    only_first: int
    only_second: int
    p: float


@dataclass(frozen=True)
class GroupsResult:
    """Shares of runs that classify each test image correctly, and a test with the runs as clusters.

    Attributes:
        images: number of test images.
        runs: number of runs on each side.
        first_more, second_more: images that a larger share of one side's runs classifies correctly.
        first_share, second_share: mean over images of that share, which is the side's mean accuracy.
        p: two-sided p value for equal mean shares; nan if there is too little to judge by.
    """

    images: int
    runs: tuple[int, int]
    first_more: int
    second_more: int
    first_share: float
    second_share: float
    p: float


def compare_predictions(first: Sequence[Job], second: Sequence[Job]) -> McNemarResult | GroupsResult:
    """Compare the predictions of two jobs, or of two groups of jobs.

    Raises:
        UsageError: the two sides have different test sets or a common job, or one has no job.
        UnreadableFolder: a job's predictions are missing or broken.
    """
    if not first or not second:
        raise UsageError("image by image: each side needs at least one job with predictions")
    if common := {job.folder for job in first} & {job.folder for job in second}:
        both = f"the job {min(common).name} is" if len(common) == 1 else f"{len(common)} jobs are"
        raise UsageError(f"image by image: {both} on both sides; give two sides without a job in common")
    by_job = {job.folder: correct_predictions(job) for job in (*first, *second)}
    if len({(test_set, len(right)) for test_set, right in by_job.values()}) > 1:
        raise UsageError("image by image: the jobs were tested on different images and can't be compared")
    sides = [np.array([by_job[job.folder][1] for job in side]) for side in (first, second)]
    if len(first) == len(second) == 1:
        return _compare_networks(sides[0][0], sides[1][0])
    return _compare_groups(*sides)


def _compare_networks(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemarResult:
    only_first, only_second = int(np.sum(first & ~second)), int(np.sum(~first & second))
    return McNemarResult(
        images=len(first),
        both_right=int(np.sum(first & second)),
        both_wrong=int(np.sum(~first & ~second)),
        only_first=only_first,
        only_second=only_second,
        p=mcnemar_mid_p(only_first, only_second),
    )


def mcnemar_mid_p(only_first: int, only_second: int) -> float:
    """Return the two-sided mid-p value of McNemar's test from the counts of images that one side alone has right.

    The exact test's p value less the probability of the counts seen; the exact test itself is needlessly conservative
    (Fagerland, Lydersen and Laake, BMC Medical Research Methodology 13 (2013) 91).
    """
    fewer, discordant = min(only_first, only_second), only_first + only_second
    if only_first == only_second:
        return 1.0
    from scipy.stats import binom

    coins = binom(discordant, 0.5)
    return float(2 * coins.cdf(fewer) - coins.pmf(fewer))


def _compare_groups(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> GroupsResult:
    shares = first.mean(axis=0), second.mean(axis=0)
    return GroupsResult(
        images=first.shape[1],
        runs=(len(first), len(second)),
        first_more=int(np.sum(shares[0] > shares[1])),
        second_more=int(np.sum(shares[0] < shares[1])),
        first_share=float(shares[0].mean()),
        second_share=float(shares[1].mean()),
        p=_clusters_p(first.mean(axis=1), second.mean(axis=1)),
    )


def _clusters_p(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    """Return the p value for equal means of two sides' runs.

    A run's mistakes belong together, so a run and not an image is one observation: Welch's t test (Biometrika 34 (1947)
    28) on the runs' mean shares. A side of a single run is tested as one further run of the other side.
    """
    if all_equal(first) and all_equal(second):
        return float("nan")
    if min(len(first), len(second)) == 1:
        many, (one,) = (first, second) if len(first) > 1 else (second, first)
        distance = abs(one - many.mean()) / (many.std(ddof=1) * np.sqrt(1 + 1 / len(many)))
        return float(2 * t_tail(distance, len(many) - 1))
    from scipy.stats import ttest_ind

    return float(ttest_ind(first, second, equal_var=False).pvalue)


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
        content = read_arrays(path, ("label", "predicted", "test_set_sha256"))
    except FileNotFoundError:
        raise UnreadableFolder(f"{job.folder}: no {PREDICTIONS} in it") from None
    label, predicted = content["label"], content["predicted"]
    if label.ndim != 1 or label.shape != predicted.shape or not len(label):
        raise UnreadableFolder(f"{path}: not a file of this program (labels {list(label.shape)})")
    return str(content["test_set_sha256"]), np.asarray(label == predicted, dtype=bool)
