"""What each factor contributes by itself, and each two together, paired by seed and by the other factors' levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from mnist_resnet.comparing.frame import level_text
from mnist_resnet.comparing.statistics import CONFIDENCE

ROUNDING = 1e-9
"""Relative spread below which differences of floating-point figures are equal."""


@dataclass(frozen=True)
class Effect:
    """The change of a metric when one factor, or two together, go from one level to another.

    Attributes:
        factors: one; two for an interaction.
        levels: (from, to) of each factor.
        metric: an accuracy is judged by its error rate, and `mean` is then a difference of error rates.
        mean: over seeds, of each seed's mean over the other factors' levels; nan without a pair. For an interaction
            the difference of the first factor's effect between the second's levels.
        low, high: its 95 % confidence interval (Student's t over seeds); nan below two seeds, and
            where all seeds show the very same difference.
        p: two-sided p value that the mean is zero; not corrected for the number of effects looked at.
        seeds: number of them that the interval rests on.
        cells: combinations of the other factors' levels that were averaged within each seed.
        left_out: pairs that have both jobs and could not be used: a job of them, or of their seed, did not complete.
    """

    factors: tuple[str, ...]
    levels: tuple[tuple[object, object], ...]
    metric: str
    mean: float
    low: float
    high: float
    p: float
    seeds: int
    cells: int
    left_out: int

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def effects(frame: pd.DataFrame, factor: str, others: Sequence[str], metric: str = "test_accuracy") -> list[Effect]:
    """The effects of one factor in a frame of jobs, each of its levels against the first.

    Seeds draw order and initial weights, so jobs of one seed are pairs. Only pairs alike in all `others` count; a
    factor that never changes alone has none, and its effect says so with nan.
    """
    return [effect(frame, factor, levels, others, metric) for levels in _pairs(frame, factor)]


def interactions(
    frame: pd.DataFrame, factors: Sequence[str], metric: str = "test_accuracy", others: Sequence[str] = ()
) -> list[Effect]:
    """How each two factors' effects depend on one another, each level against its factor's first one.

    Pairs are alike in the rest of `factors`, and in `others`. Two factors that never cross have no interaction.
    """
    found = []
    for first, second in combinations(factors, 2):
        rest = [*(factor for factor in factors if factor not in (first, second)), *others]
        for levels in _pairs(frame, first):
            for other_levels in _pairs(frame, second):
                before, after = (
                    _paired(frame[_has(frame, second, level)], first, levels, rest, metric) for level in other_levels
                )
                pairs = _Pairs(after.difference - before.difference, after.planned.mul(before.planned, fill_value=0))
                if not pairs.difference.dropna(how="all").empty:
                    found.append(_summary((first, second), (levels, other_levels), metric, pairs))
    return found


def effect(
    frame: pd.DataFrame, factor: str, levels: tuple[object, object], others: Sequence[str], metric: str
) -> Effect:
    """The effect of one factor between two of its levels, paired by seed and by the levels of `others`."""
    return _summary((factor,), (levels,), metric, _paired(frame, factor, levels, others, metric))


def _pairs(frame: pd.DataFrame, factor: str) -> list[tuple[object, object]]:
    levels = list({level_text(level): level for level in frame[factor].tolist()}.values())
    return [(levels[0], level) for level in levels[1:]]


@dataclass(frozen=True)
class _Pairs:
    """The metric at a second level less that at a first: one row a seed, one column a cell of the other factors.

    Attributes:
        difference: nan where a side is missing or did not complete.
        planned: 1 where both sides have a job, whatever became of it.
    """

    difference: pd.DataFrame
    planned: pd.DataFrame


def _paired(
    frame: pd.DataFrame, factor: str, levels: tuple[object, object], others: Sequence[str], metric: str
) -> _Pairs:
    jobs = frame.assign(
        measured=_judged(frame, metric).where(frame["status"] == "completed"),
        cell=frame[list(others)].map(level_text).agg("\x1f".join, axis="columns") if others else "",
        # jobs without a seed pair by their cell alone
        seed=frame["seed"].map(level_text) if "seed" in frame else "",
    )
    first, second = (jobs[_has(jobs, factor, level)].groupby(["seed", "cell"])["measured"] for level in levels)
    both = first.size().gt(0).astype(int).mul(second.size().gt(0), fill_value=0)
    return _Pairs((second.mean() - first.mean()).unstack("cell"), both.unstack("cell"))


def _judged(frame: pd.DataFrame, metric: str) -> "pd.Series[float]":
    values = pd.to_numeric(frame[metric], errors="coerce")
    return 1 - values if metric.endswith("_accuracy") else values


def _has(frame: pd.DataFrame, factor: str, level: object) -> "pd.Series[bool]":
    return frame[factor].map(level_text) == level_text(level)


def _summary(factors: tuple[str, ...], levels: tuple[tuple[object, object], ...], metric: str, pairs: _Pairs) -> Effect:
    complete = _complete(pairs.difference)
    values = complete.mean(axis="columns").to_numpy(dtype=float)
    low, high, p = _test(values)
    return Effect(
        factors=factors,
        levels=levels,
        metric=metric,
        mean=float(values.mean()) if len(values) else float("nan"),
        low=low,
        high=high,
        p=p,
        seeds=len(values),
        cells=complete.shape[1],
        left_out=int(pairs.planned.sum().sum()) - (complete.size if len(values) else 0),
    )


def _complete(differences: pd.DataFrame) -> pd.DataFrame:
    """The largest balanced part: each seed's mean must be over the same cells, or cells would pass for seeds."""
    some = differences.dropna(axis="columns", how="all").dropna(axis="index", how="all")
    by_seed = some.dropna(axis="index", how="any")
    by_cell = some.dropna(axis="columns", how="any")
    return by_seed if len(by_seed) >= 2 or by_cell.empty else by_cell


def _test(values: NDArray[np.float64]) -> tuple[float, float, float]:
    # no spread between seeds but for rounding, as few test images can leave, is nothing to judge by: t would be x / 0
    if len(values) < 2 or np.ptp(values) <= ROUNDING * np.abs(values).max():
        return (float("nan"),) * 3
    test = stats.ttest_1samp(values, 0.0)
    interval = test.confidence_interval(CONFIDENCE)
    return float(interval.low), float(interval.high), float(test.pvalue)
