"""What a search of fewer trials would have found: the expected best value by the number of trials."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import gammaln

from mnist_resnet.comparing.statistics import CONFIDENCE


@dataclass(frozen=True)
class ExpectedBest:
    """The best value of n trials drawn from those that were run.

    Attributes:
        trials: n.
        mean: expected best value.
        low, high: range that holds the best value of such a search in 95 % of draws.
    """

    trials: int
    mean: float
    low: float
    high: float


def expected_best(values: Sequence[float], minimize: bool = False) -> list[ExpectedBest]:
    """Return the expected best value for each number of trials from 1 to all of them.

    Expected validation performance (Dodge et al., Show Your Work, EMNLP 2019, section 3), averaged over all subsets of
    n trials instead of draws with replacement, which are biased (Tang et al., Showing Your Work Doesn't Always Work,
    ACL 2020). It describes searches that draw each trial independently, as a random search does: the trials of a
    sampler that learns are not exchangeable, the later ones being better.
    """
    ordered = np.sort(np.asarray(values, dtype=float))
    if minimize:
        ordered = -ordered[::-1]
    found = []
    for trials in range(1, len(ordered) + 1):
        below = _chance_within_first(len(ordered), trials)
        mean = float(np.diff(below, prepend=0.0) @ ordered)
        shares = np.array([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        ends = ordered[np.searchsorted(below, shares - 1e-12)].tolist()
        low, high = sorted(-end for end in ends) if minimize else ends
        found.append(ExpectedBest(trials, -mean if minimize else mean, low, high))
    return found


def _chance_within_first(total: int, drawn: int) -> NDArray[np.float64]:
    """Return the chance that all of `drawn` of `total` items lie within the first i, for i = 1 … total."""
    first = np.arange(1, total + 1)
    inside = first >= drawn
    log_choices = np.full(total, -np.inf)
    log_choices[inside] = gammaln(first[inside] + 1) - gammaln(first[inside] - drawn + 1)
    chance: NDArray[np.float64] = np.exp(log_choices - log_choices[-1])
    return chance
