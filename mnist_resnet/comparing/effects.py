"""Effects of single factors and interactions of two, paired by seed and by the other factors' levels."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import stats

from mnist_resnet.comparing.levels import level_text
from mnist_resnet.comparing.statistics import CONFIDENCE

ROUNDING = 1e-9
"""Relative spread below which floating-point differences count as equal."""


@dataclass(frozen=True)
class Effect:
    """The change of a metric when one factor goes from one level to another, or the interaction of two factors.

    Attributes:
        factors: one factor; two for an interaction.
        levels: (from, to) of each factor.
        metric: for an accuracy, `mean` and the interval are differences of error rates.
        mean: mean over seeds of each seed's mean over the other factors' levels; nan without a pair. For an
            interaction, the difference of the first factor's effect between the second factor's levels.
        low, high: its 95 % confidence interval (Student's t over seeds); nan below two seeds, and if all seeds show
            exactly the same difference.
        p: two-sided p value for a mean of zero; not corrected for the number of effects tested.
        seeds: number of seeds that the interval is based on.
        cells: number of combinations of the other factors' levels that were averaged within each seed.
        left_out: pairs that were planned but not used, since one of their jobs, or another job of their seed, did not
            complete.
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
    def significant(self) -> bool:
        """Whether the interval excludes zero."""
        return self.low > 0 or self.high < 0


def effects(
    frame: pd.DataFrame, factor: str, other_factors: Sequence[str], metric: str = "test_accuracy"
) -> list[Effect]:
    """Return the effect of each level of one factor against the factor's first level.

    The seed determines the data order and the initial weights, so jobs of one seed form pairs. Only pairs that agree in
    all `other_factors` count; a factor that never changes alone has no pairs, and its effect is nan.
    """
    return [effect(frame, factor, levels, other_factors, metric) for levels in _level_pairs(frame, factor)]


def interactions(
    frame: pd.DataFrame, factors: Sequence[str], metric: str = "test_accuracy", other_factors: Sequence[str] = ()
) -> list[Effect]:
    """Return the interactions of each two factors, for each level against its factor's first level.

    Pairs agree in the rest of `factors` and in `other_factors`. Two factors that are not crossed have no interaction.
    """
    found = []
    for first, second in combinations(factors, 2):
        rest = [*(factor for factor in factors if factor not in (first, second)), *other_factors]
        for levels in _level_pairs(frame, first):
            for second_levels in _level_pairs(frame, second):
                before, after = (
                    _paired(frame[_has_level(frame, second, level)], first, levels, rest, metric)
                    for level in second_levels
                )
                pairs = _Pairs(after.difference - before.difference, after.planned.mul(before.planned, fill_value=0))
                if not pairs.difference.dropna(how="all").empty:
                    found.append(_summarise((first, second), (levels, second_levels), metric, pairs))
    return found


def effect(
    frame: pd.DataFrame, factor: str, levels: tuple[object, object], other_factors: Sequence[str], metric: str
) -> Effect:
    """Return the effect of one factor between two of its levels, paired by seed and by `other_factors`."""
    return _summarise((factor,), (levels,), metric, _paired(frame, factor, levels, other_factors, metric))


def _level_pairs(frame: pd.DataFrame, factor: str) -> list[tuple[object, object]]:
    levels = list({level_text(level): level for level in frame[factor].tolist()}.values())
    return [(levels[0], level) for level in levels[1:]]


@dataclass(frozen=True)
class _Pairs:
    """Differences of the metric between two levels: one row per seed, one column per cell of the other factors.

    Attributes:
        difference: second level minus first; nan if either side is missing or did not complete.
        planned: 1 if both sides have a job, whatever its status.
    """

    difference: pd.DataFrame
    planned: pd.DataFrame


def _paired(
    frame: pd.DataFrame, factor: str, levels: tuple[object, object], other_factors: Sequence[str], metric: str
) -> _Pairs:
    others = list(other_factors)
    jobs = frame.assign(
        measured=_as_error(frame, metric).where(frame["status"] == "completed"),
        cell=frame[others].map(level_text).agg("\x1f".join, axis="columns") if others else "",
        # jobs without a seed pair by their cell alone
        seed=frame["seed"].map(level_text) if "seed" in frame else "",
    )
    first, second = (jobs[_has_level(jobs, factor, level)].groupby(["seed", "cell"])["measured"] for level in levels)
    both = first.size().gt(0).astype(int).mul(second.size().gt(0), fill_value=0)
    return _Pairs((second.mean() - first.mean()).unstack("cell"), both.unstack("cell"))


def _as_error(frame: pd.DataFrame, metric: str) -> "pd.Series[float]":
    """Return the metric, an accuracy as error rate."""
    values = pd.to_numeric(frame[metric], errors="coerce")
    return 1 - values if metric.endswith("_accuracy") else values


def _has_level(frame: pd.DataFrame, factor: str, level: object) -> "pd.Series[bool]":
    return frame[factor].map(level_text) == level_text(level)


def _summarise(
    factors: tuple[str, ...], levels: tuple[tuple[object, object], ...], metric: str, pairs: _Pairs
) -> Effect:
    balanced = _balanced(pairs.difference)
    values = balanced.mean(axis="columns").to_numpy(dtype=float)
    low, high, p = _t_test(values)
    return Effect(
        factors=factors,
        levels=levels,
        metric=metric,
        mean=float(values.mean()) if len(values) else float("nan"),
        low=low,
        high=high,
        p=p,
        seeds=len(values),
        cells=balanced.shape[1],
        left_out=int(pairs.planned.sum().sum()) - (balanced.size if len(values) else 0),
    )


def _balanced(differences: pd.DataFrame) -> pd.DataFrame:
    """Return the largest part without gaps: means over different cells would add cell effects to the seeds' spread."""
    some = differences.dropna(axis="columns", how="all").dropna(axis="index", how="all")
    by_seed = some.dropna(axis="index", how="any")
    by_cell = some.dropna(axis="columns", how="any")
    return by_seed if len(by_seed) >= 2 or by_cell.empty else by_cell


def _t_test(values: NDArray[np.float64]) -> tuple[float, float, float]:
    """Return the 95 % interval of the mean and the p value of a one-sample t test against zero; nan if undefined."""
    # few test images can give the same difference for all seeds but for rounding; t would then be x / 0
    if len(values) < 2 or np.ptp(values) <= ROUNDING * np.abs(values).max():
        return (float("nan"),) * 3
    test = stats.ttest_1samp(values, 0.0)
    interval = test.confidence_interval(CONFIDENCE)
    return float(interval.low), float(interval.high), float(test.pvalue)
