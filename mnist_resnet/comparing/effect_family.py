"""The effects that a table, a page and a plot list: one family, whose p values are corrected for their number."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import pandas as pd

from mnist_resnet.comparing.effects import Effect, correct, effects, interactions, spell_out
from mnist_resnet.comparing.factors import other_factors, unlisted_factors, varying_factors
from mnist_resnet.config.levels import level_text

MAX_LEVELS = 12
"""Largest number of levels for which each level of a factor is compared with the first; for more, see the plots."""

MAX_INTERACTIONS = 60
"""Largest number of interactions to list; a longer table is of no use."""


@dataclass(frozen=True)
class EffectFamily:
    """The effects of a study's factors on one metric.

    Attributes:
        factors: factors whose levels are compared.
        many_levels: factors left out, since they have more than `MAX_LEVELS` levels.
        intervals: factors left out, since a search tried any numbers of an interval, which are no levels.
        alone: the change of each single factor, as it is estimated.
        together: the interactions of each two factors, likewise.
        crowded: number of interactions left out, since there are more than `MAX_INTERACTIONS`.
        listed: what to list, with corrected p values: cells instead of averages that would hide what they say.
    """

    factors: list[str]
    many_levels: list[str]
    intervals: list[str]
    alone: list[Effect]
    together: list[Effect]
    crowded: int
    listed: list[Effect]


def effect_family(
    frame: pd.DataFrame,
    metric: str,
    by: Sequence[str] | None = None,
    margin: float | None = None,
    one_by_one: bool = False,
) -> EffectFamily:
    """Return the effects of single factors and the interactions of two.

    An experiment's name stands for several factors at once, and is a factor only if `by` names it, as is what was
    searched over an interval. `one_by_one` says that every change of a single factor is listed elsewhere, in each
    combination of the other factors.
    """
    candidates = varying_factors(frame) if len(frame) else []
    intervals = [name for name in candidates if name in frame.attrs.get("intervals", ()) and by is None]
    no_factors = ("experiment", "sweep", *intervals)
    chosen = by if by is not None else [name for name in candidates if name not in no_factors]
    levels = {factor: frame[factor].map(level_text).nunique() for factor in chosen if factor != "seed"}
    factors = [factor for factor in levels if levels[factor] <= MAX_LEVELS]
    alone = [
        effect for factor in factors for effect in effects(frame, factor, other_factors(frame, factor), metric, margin)
    ]
    count = sum((levels[first] - 1) * (levels[second] - 1) for first, second in combinations(factors, 2))
    is_crowded = count > MAX_INTERACTIONS
    together = interactions(
        frame, [] if is_crowded else factors, metric, unlisted_factors(frame, factors) if factors else [], margin
    )
    found = [effect for effect in [*([] if one_by_one else alone), *together] if effect.seeds]
    return EffectFamily(
        factors=factors,
        many_levels=[factor for factor in levels if factor not in factors],
        intervals=intervals,
        alone=alone,
        together=together,
        crowded=count if is_crowded else 0,
        listed=correct(spell_out(found)),
    )
