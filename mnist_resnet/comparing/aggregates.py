"""Aggregates over tasks and seeds that a few odd runs can't turn, after rliable (Agarwal et al. 2021)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_resnet.comparing.statistics import CONFIDENCE

DRAWS = 2000
"""Bootstrap samples; the ends of an interval then move by about a hundredth of its width from one seed to another."""

Scores = Sequence[NDArray[np.float64]]
"""The runs of one method: an array float64 [runs] for each task."""


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval by the stratified bootstrap; an interval of nan where no task has two runs."""

    value: float
    low: float
    high: float


def interquartile_mean(scores: Scores) -> float:
    """Return the mean of the middle half of all runs of all tasks (Agarwal et al., NeurIPS 2021, section 4.2)."""
    runs = np.sort(np.concatenate(scores))
    cut = len(runs) // 4
    return float(runs[cut : len(runs) - cut].mean())


def probability_of_improvement(first: Scores, second: Scores) -> float:
    """Return the chance that a run of `second` is above one of `first` on the same task, averaged over the tasks.

    Ties count half: the Mann-Whitney statistic over the number of pairs (Agarwal et al., section 4.3).
    """
    pairs = zip(first, second, strict=True)
    return float(np.mean([np.mean((np.sign(b[:, None] - a[None, :]) + 1) / 2) for a, b in pairs]))


def performance_profile(scores: Scores, thresholds: Sequence[float]) -> NDArray[np.float64]:
    """Return the share of runs above each threshold, every task counting alike (Agarwal et al., section 4.1)."""
    return np.array([np.mean([np.mean(task > threshold) for task in scores]) for threshold in thresholds])


def bootstrap(statistic: Callable[..., float], *methods: Scores, draws: int = DRAWS, seed: int = 0) -> Estimate:
    """Return a statistic of one or more methods with its interval.

    Each draw resamples the runs of every task of every method on its own (stratified bootstrap, percentile interval).
    The random numbers are the same in every call, so that a table is the same each time it is written.
    """
    value = statistic(*methods)
    if all(len(task) < 2 for scores in methods for task in scores):
        return Estimate(value, float("nan"), float("nan"))
    random = np.random.default_rng(seed)
    drawn = [
        statistic(*([random.choice(task, len(task)) for task in scores] for scores in methods)) for _ in range(draws)
    ]
    low, high = np.quantile(drawn, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return Estimate(value, float(low), float(high))
