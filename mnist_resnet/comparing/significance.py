"""Words for a difference: shown, equivalent or undecided, corrected for the number of looks."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_resnet.comparing.distributions import f_tail, t_quantile, t_tail
from mnist_resnet.comparing.statistics import CONFIDENCE, ROUNDING, all_equal

LEVEL = 1 - CONFIDENCE
"""Level of significance: the share of wrong "shown" in a whole family of tests."""

POWER = 0.8
"""Chance of finding a difference of the smallest size of interest, on which the number of seeds needed rests."""

MAX_SEEDS = 1000
"""Largest number of seeds to name; more is out of reach anyway."""


@dataclass(frozen=True)
class MeanTest:
    """What paired differences say about their mean.

    Attributes:
        low, high: 95 % confidence interval (Student's t).
        p: two-sided p value for a mean of zero.
        equivalence_p: p value for a mean at least `margin` away from zero, on either side (two one-sided tests).
        sd: standard deviation of the differences.
    """

    low: float = float("nan")
    high: float = float("nan")
    p: float = float("nan")
    equivalence_p: float = float("nan")
    sd: float = float("nan")


def mean_test(differences: NDArray[np.float64], margin: float) -> MeanTest:
    """Test the mean of paired differences against zero and against a smallest difference of interest.

    A one-sample t test, and two one-sided t tests (Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987) 657). All nan for
    fewer than two differences, and if all are equal: they leave nothing to judge by.
    """
    n = len(differences)
    if n < 2 or all_equal(differences):
        return MeanTest()
    mean, sd = float(differences.mean()), float(differences.std(ddof=1))
    error = sd / np.sqrt(n)
    half = error * t_quantile((1 + CONFIDENCE) / 2, n - 1)
    return MeanTest(
        low=mean - half,
        high=mean + half,
        p=float(2 * t_tail(abs(mean) / error, n - 1)),
        equivalence_p=float(t_tail((margin - abs(mean)) / error, n - 1)),
        sd=sd,
    )


def seeds_needed(sd: float, difference: float, level: float = LEVEL) -> int | None:
    """Return the number of pairs with which a two-sided paired t test finds a difference with 80 % power.

    From the noncentral t distribution (Cohen, Statistical Power Analysis, 1988, section 2.2). None beyond `MAX_SEEDS`.

    Args:
        sd: standard deviation of the differences.
        difference: the mean to be found.
        level: level of significance; of one of m tests that Holm's method corrects, `LEVEL` / m at its strictest step.
    """
    if not difference > 0:
        return None
    from scipy.stats import nct

    def finds_it(count: int) -> bool:
        critical = t_quantile(1 - level / 2, count - 1)
        return bool(nct.sf(critical, count - 1, np.sqrt(count) * difference / sd) >= POWER)

    # power grows with the number
    found = bisect_left(range(2, MAX_SEEDS + 1), True, key=finds_it) + 2
    return found if found <= MAX_SEEDS else None


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p values corrected for their number (Holm, Scandinavian Journal of Statistics 6 (1979) 65).

    Values that are nan were not tested, and do not count.
    """
    adjusted = [float("nan")] * len(p_values)
    tested = sorted((p, index) for index, p in enumerate(p_values) if p == p)
    largest = 0.0
    for rank, (p, index) in enumerate(tested):
        largest = max(largest, min(1.0, p * (len(tested) - rank)))
        adjusted[index] = largest
    return adjusted


def heterogeneity_p(differences: NDArray[np.float64]) -> float:
    """Return the p value for equal means of the columns, each row being one seed.

    It is nan for a single column or seed, and where all seeds show exactly the same difference between columns: a
    spread of zero is nothing to judge by.

    Repeated-measures analysis of variance with Greenhouse and Geisser's correction (Psychometrika 24 (1959) 95), which
    holds when columns differ in spread. For two columns it is the paired t test of their difference.
    """
    seeds, cells = differences.shape
    if seeds < 2 or cells < 2:
        return float("nan")
    between, within = _mean_squares(differences)
    if within <= _negligible(differences):
        return float("nan")
    share = sphericity(differences)
    return float(f_tail(between / within, share * (cells - 1), share * (cells - 1) * (seeds - 1)))


def differs_without_spread(differences: NDArray[np.float64]) -> bool:
    """Return whether columns differ by exactly as much in each of several seeds: no test says if that is chance."""
    seeds, cells = differences.shape
    if seeds < 2 or cells < 2:
        return False
    between, within = _mean_squares(differences)
    return within <= _negligible(differences) < between


def _mean_squares(differences: NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean squares between columns and of what is left within them."""
    seeds, cells = differences.shape
    mean, by_cell, by_seed = differences.mean(), differences.mean(axis=0), differences.mean(axis=1)
    residuals = differences - by_cell - by_seed[:, None] + mean
    between = seeds * ((by_cell - mean) ** 2).sum() / (cells - 1)
    return float(between), float((residuals**2).sum() / ((cells - 1) * (seeds - 1)))


def _negligible(differences: NDArray[np.float64]) -> float:
    return float(ROUNDING * np.abs(differences).max()) ** 2


def sphericity(values: NDArray[np.float64]) -> float:
    """Return Greenhouse and Geisser's epsilon: 1 if all differences between columns vary alike, less otherwise."""
    cells = values.shape[1]
    centring = np.eye(cells) - 1 / cells
    covariance = centring @ np.cov(values.T) @ centring
    return float(np.trace(covariance) ** 2 / ((cells - 1) * (covariance**2).sum()))
