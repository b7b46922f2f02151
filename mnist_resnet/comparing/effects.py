"""Effects of single factors and interactions of two, paired by seed and by the other factors' levels."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import cached_property
from itertools import combinations
from math import prod

import numpy as np
import pandas as pd

from mnist_resnet.comparing.balanced import largest_balanced
from mnist_resnet.comparing.frame import with_columns
from mnist_resnet.comparing.reported import metric_of
from mnist_resnet.comparing.significance import (
    LEVEL,
    MAX_SEEDS,
    MeanTest,
    differs_without_spread,
    heterogeneity_p,
    holm,
    mean_test,
    seeds_needed,
)
from mnist_resnet.comparing.statistics import spread
from mnist_resnet.config.levels import ABSENT, level_text
from mnist_resnet.config.metric import Metric

SMALLEST_SHARE = 0.1
"""Smallest difference of interest by default, as a share of the first level's mean (of its error rate)."""

MAX_CELLS = 12
"""Largest number of cells to list one by one when an effect differs between them."""


class Conclusion(StrEnum):
    """What can be said of an effect."""

    SHOWN = "shown"
    SMALL = "shown, but smaller than matters"
    EQUIVALENT = "no difference that matters"
    UNDECIDED = "undecided"
    MIXED = "differs between cells"
    NO_INTERVAL = "no interval"


@dataclass(frozen=True)
class Effect:
    """The change of a metric when one factor goes from one level to another, or the interaction of two factors.

    Attributes:
        factors: one factor; two for an interaction.
        levels: (from, to) of each factor.
        metric: if it counts errors, as an accuracy does, `mean` and the interval are differences of error rates.
        mean: mean over seeds of each seed's mean over the other factors' levels; nan without a pair. For an
            interaction, the difference of the first factor's effect between the second factor's levels.
        test: what the seeds' differences say about the mean; see `mean_test`.
        margin: smallest difference of interest, in the metric's unit; nan if unknown.
        seeds: number of seeds that the interval is based on.
        cells: number of combinations of the other factors' levels that were averaged within each seed.
        left_out: pairs that were planned but not used, since one of their jobs, or another job of their seed, did not
            complete.
        complete: whether these cells are all combinations of the other factors' levels.
        heterogeneity: p value for the same effect in all cells; nan for a single cell or seed, or without spread.
        unjudged: whether the cells differ by exactly as much in all seeds, so that no test says if that is chance.
        within: the effect in each cell, where these disagree or the design has holes; empty for a single cell.
        start: mean of the metric that the change is added to; for an interaction, what there would be without it.
        ends: smallest and largest possible value of the metric, which bound the interval.
        family: number of tests that it was corrected for by `correct`.
        where: the other factors' levels, for the effect in one cell of several.
        adjusted: `test.p` corrected for the number of effects by `correct`; before that, the same as `test.p`.
        equivalence_adjusted: `test.equivalence_p`, corrected likewise.
    """

    factors: tuple[str, ...]
    levels: tuple[tuple[object, object], ...]
    metric: Metric
    mean: float
    test: MeanTest
    margin: float
    seeds: int
    cells: int
    left_out: int
    complete: bool = True
    heterogeneity: float = float("nan")
    unjudged: bool = False
    within: tuple["Effect", ...] = ()
    start: float = float("nan")
    ends: tuple[float, float] = (float("-inf"), float("inf"))
    family: int = 1
    where: dict[str, str] = field(default_factory=dict)
    adjusted: float = float("nan")
    equivalence_adjusted: float = float("nan")

    @property
    def low(self) -> float:
        """Lower end of the 95 % confidence interval (Student's t over seeds), cut at what is possible; nan without."""
        return float(np.clip(self.test.low, *self._possible))

    @property
    def high(self) -> float:
        """Upper end of the 95 % confidence interval, likewise."""
        return float(np.clip(self.test.high, *self._possible))

    @property
    def is_cut(self) -> bool:
        """Whether the interval is cut at what is possible."""
        return self.test.low < self.low or self.test.high > self.high

    @property
    def p(self) -> float:
        """Two-sided p value for a mean of zero; not corrected for the number of effects tested."""
        return self.test.p

    @property
    def _possible(self) -> tuple[float, float]:
        low, high = (end - self.start if self.start == self.start else end for end in self.ends)
        return low, high

    @cached_property
    def seeds_needed(self) -> int | None:
        """Seeds that find a difference of `margin` with 80 % power at the strictest step of Holm's correction.

        None if there are more than `MAX_SEEDS`, or if it can't be told.
        """
        return seeds_needed(self.test.sd, self.margin, LEVEL / self.family) if self.p == self.p else None

    @property
    def is_mixed(self) -> bool:
        """Whether the cells disagree, so that their average is no effect of the factor."""
        return self.heterogeneity <= LEVEL

    @property
    def is_average(self) -> bool:
        """Whether the mean over the cells may be given: none is missing, and they neither disagree nor are unjudged."""
        return self.complete and not self.is_mixed and not self.unjudged

    @property
    def conclusion(self) -> Conclusion:
        """What the corrected p values say."""
        if self.is_mixed:
            return Conclusion.MIXED
        if self.unjudged or self.test.p != self.test.p:
            return Conclusion.NO_INTERVAL
        shown, equivalent = self.adjusted <= LEVEL, self.equivalence_adjusted <= LEVEL
        if shown:
            return Conclusion.SMALL if equivalent else Conclusion.SHOWN
        return Conclusion.EQUIVALENT if equivalent else Conclusion.UNDECIDED

    @property
    def significant(self) -> bool:
        """Whether a difference is shown."""
        return self.conclusion in (Conclusion.SHOWN, Conclusion.SMALL)


def correct(found: Sequence[Effect]) -> list[Effect]:
    """Return the effects as one family of tests, with p values corrected for their number (Holm)."""
    adjusted = holm([effect.test.p for effect in found])
    equivalence = holm([effect.test.equivalence_p for effect in found])
    tests = sum(effect.test.p == effect.test.p for effect in found)
    return [
        replace(effect, adjusted=p, equivalence_adjusted=q, family=max(1, tests))
        for effect, p, q in zip(found, adjusted, equivalence, strict=True)
    ]


def undecided_text(effect: Effect, size: str) -> str:
    """Return the number of seeds that an undecided effect calls for, or why none can be given."""
    if not effect.margin > 0:
        return "no smallest difference to look for: set --smallest-effect"
    needed = effect.seeds_needed
    if needed is not None and needed <= effect.seeds:
        return f"neither zero nor {size} is excluded, though {needed} seeds find {size} in four of five studies"
    return f"{needed or f'more than {MAX_SEEDS}'} seeds would tell {size}"


def spell_out(found: Sequence[Effect]) -> list[Effect]:
    """Return the effects, with those in each cell instead of an average that would hide what the cells say.

    That is where the cells disagree, or differ with no spread to judge that by, and where the design has holes: an
    average would depend on which cells were run.
    """
    return [part for effect in found for part in (effect.within if _must_be_spelt_out(effect) else (effect,))]


def _must_be_spelt_out(effect: Effect) -> bool:
    return 0 < len(effect.within) <= MAX_CELLS and not effect.is_average


def effects(
    frame: pd.DataFrame,
    factor: str,
    other_factors: Sequence[str],
    metric: str = "test_accuracy",
    margin: float | None = None,
) -> list[Effect]:
    """Return the effect of each level of one factor against the factor's first level.

    The seed determines the data order and the initial weights, so jobs of one seed form pairs. Only pairs that agree in
    all `other_factors` count; a factor that never changes alone has no pairs, and its effect is nan. No p value is
    corrected yet: see `correct`.
    """
    return [effect(frame, factor, levels, other_factors, metric, margin) for levels in _level_pairs(frame, factor)]


def interactions(
    frame: pd.DataFrame,
    factors: Sequence[str],
    metric: str = "test_accuracy",
    other_factors: Sequence[str] = (),
    margin: float | None = None,
) -> list[Effect]:
    """Return the interactions of each two factors, for each level against its factor's first level.

    Pairs agree in the rest of `factors` and in `other_factors`. Two factors that are not crossed have no interaction.
    """
    found = []
    frame = with_columns(frame, [*factors, *other_factors, "status", "seed", metric])
    for first, second in combinations(factors, 2):
        rest = [*(factor for factor in factors if factor not in (first, second)), *other_factors]
        for levels in _level_pairs(frame, first):
            for second_levels in _level_pairs(frame, second):
                before, after = (
                    _paired(frame[_has_level(frame, second, level)], first, levels, rest, metric)
                    for level in second_levels
                )
                pairs = replace(
                    before,
                    difference=after.difference - before.difference,
                    planned=after.planned.mul(before.planned, fill_value=0),
                    start=after.first + before.difference,
                )
                if not pairs.difference.dropna(how="all").empty:
                    found.append(
                        _summarise((first, second), (levels, second_levels), metric_of(frame, metric), pairs, margin)
                    )
    return found


def effect(
    frame: pd.DataFrame,
    factor: str,
    levels: tuple[object, object],
    other_factors: Sequence[str],
    metric: str,
    margin: float | None = None,
) -> Effect:
    """Return the effect of one factor between two of its levels, paired by seed and by `other_factors`."""
    pairs = _paired(frame, factor, levels, other_factors, metric)
    return _summarise((factor,), (levels,), metric_of(frame, metric), pairs, margin)


def _level_pairs(frame: pd.DataFrame, factor: str) -> list[tuple[object, object]]:
    """Return the first level with each other one; a job that lacks the key has no level of the factor."""
    by_text = {level_text(level): level for level in frame[factor].tolist()}
    by_text.pop(ABSENT, None)
    levels = list(by_text.values())
    return [(levels[0], level) for level in levels[1:]]


@dataclass(frozen=True)
class _Pairs:
    r"""Differences of the metric between two levels: one row per seed, one column per cell of the other factors.

    Attributes:
        difference: second level minus first; nan if either side is missing or did not complete.
        planned: 1 if both sides have a job, whatever its status.
        others: the other factors; a column's name holds a level of each, separated by `\x1f`.
        combinations: number of combinations of the other factors' levels.
        first: the metric at the first level, laid out like `difference`.
        start: what the difference is added to, to give the metric of a group of runs; for an interaction, what that
            group would have without it.
    """

    difference: pd.DataFrame
    planned: pd.DataFrame
    others: tuple[str, ...]
    combinations: int
    first: pd.DataFrame
    start: pd.DataFrame


def _paired(
    frame: pd.DataFrame, factor: str, levels: tuple[object, object], other_factors: Sequence[str], metric: str
) -> _Pairs:
    others = list(other_factors)
    frame = with_columns(frame, [*others, factor, "status", "seed", metric])
    other_levels = frame[others].map(level_text)
    jobs = frame.assign(
        measured=_as_error(frame, metric).where(frame["status"] == "completed"),
        cell=other_levels.agg("\x1f".join, axis="columns") if others else "",
        # jobs without a seed pair by their cell alone
        seed=frame["seed"].map(level_text) if "seed" in frame else "",
    )
    first, second = (jobs[_has_level(jobs, factor, level)].groupby(["seed", "cell"])["measured"] for level in levels)
    both = first.size().gt(0).astype(int).mul(second.size().gt(0), fill_value=0)
    return _Pairs(
        difference=(second.mean() - first.mean()).unstack("cell"),
        planned=both.unstack("cell"),
        others=tuple(others),
        combinations=prod(other_levels[other].nunique() for other in others),
        first=first.mean().unstack("cell"),
        start=first.mean().unstack("cell"),
    )


def _as_error(frame: pd.DataFrame, metric: str) -> "pd.Series[float]":
    """Return the metric, an accuracy as error rate."""
    values = pd.to_numeric(frame[metric], errors="coerce")
    return 1 - values if metric_of(frame, metric).counts_errors else values


def _has_level(frame: pd.DataFrame, factor: str, level: object) -> "pd.Series[bool]":
    return frame[factor].map(level_text) == level_text(level)


def _summarise(
    factors: tuple[str, ...],
    levels: tuple[tuple[object, object], ...],
    metric: Metric,
    pairs: _Pairs,
    margin: float | None,
) -> Effect:
    balanced = largest_balanced(pairs.difference)
    values = balanced.mean(axis="columns").to_numpy(dtype=float)
    smallest = (
        SMALLEST_SHARE * abs(spread(pairs.first.to_numpy(dtype=float).ravel()).mean) if margin is None else margin
    )
    test = mean_test(values, smallest)
    effect = Effect(
        factors=factors,
        levels=levels,
        metric=metric,
        mean=float(values.mean()) if len(values) else float("nan"),
        test=test,
        margin=smallest,
        seeds=len(values),
        cells=balanced.shape[1],
        left_out=int(pairs.planned.sum().sum()) - (balanced.size if len(values) else 0),
        complete=balanced.shape[1] == pairs.combinations,
        heterogeneity=heterogeneity_p(balanced.to_numpy(dtype=float)),
        unjudged=differs_without_spread(balanced.to_numpy(dtype=float)),
        start=float(pairs.start.reindex_like(balanced).to_numpy(dtype=float).mean()) if len(values) else float("nan"),
        ends=metric.ends,
        adjusted=test.p,
        equivalence_adjusted=test.equivalence_p,
    )
    if effect.is_average:
        return effect  # nobody asks for its cells, and there may be hundreds
    some = pairs.difference.dropna(axis="columns", how="all")
    if some.shape[1] > 1:
        return replace(effect, within=tuple(_in_cell(effect, pairs, cell, margin) for cell in map(str, some)))
    return effect if effect.complete or not len(values) else replace(effect, where=_where(pairs, str(some.columns[0])))


def _in_cell(effect: Effect, pairs: _Pairs, cell: str, margin: float | None) -> Effect:
    tables = {name: getattr(pairs, name)[[cell]] for name in ("difference", "planned", "first", "start")}
    alone = replace(pairs, **tables, combinations=1)
    return replace(_summarise(effect.factors, effect.levels, effect.metric, alone, margin), where=_where(pairs, cell))


def _where(pairs: _Pairs, cell: str) -> dict[str, str]:
    return dict(zip(pairs.others, cell.split("\x1f"), strict=True)) if pairs.others else {}
