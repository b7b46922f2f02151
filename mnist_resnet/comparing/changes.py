"""Changes of one factor at a time: their effect on the metric and on the training time.

Meant for incomplete designs, such as a recipe with each ingredient left out once and each added alone once. An effect
averaged over the other factors' levels would mix the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from math import prod

import pandas as pd

from mnist_resnet.comparing.effects import Effect, correct, effect
from mnist_resnet.comparing.factors import varying_factors
from mnist_resnet.comparing.frame import with_columns
from mnist_resnet.comparing.statistics import grouped
from mnist_resnet.config.levels import level_text

MAX_CHANGES = 60
"""Largest number of changes, and of groups, to list; a longer table is of no use."""

BASE_NAMES = "PQRSTUVWXYZABCDEFGHIJKLMNO"
"""Names of the base groups; from P on, because papers call their rows A, B, C."""


@dataclass(frozen=True)
class Change:
    """Two groups of seeds that differ in one factor alone.

    Attributes:
        base: number of the base group, from 0; the base of most changes comes first.
        levels: the base group's levels, by factor.
        metric: effect on the metric, paired by seed; the levels of its factor are (base, changed).
        seconds: effect on the seconds of training, likewise; nan if they were not recorded.
    """

    base: int
    levels: dict[str, object]
    metric: Effect
    seconds: Effect


def changes(frame: pd.DataFrame, metric: str, margin: float | None = None) -> list[Change]:
    """Return the changes of a single factor between two groups of seeds, those from the most frequent base first.

    The changes are one family: their p values are corrected for their number.

    Numbers drawn from an interval are no changes that anybody planned, and are left out. Returns nothing for a single
    factor or a complete design: there, the effects already say the same.
    """
    factors = _settings_that_vary(frame)
    groups = grouped(with_columns(frame, [*factors, "status", "seed", metric, "training_seconds"]), factors)
    levels = [[level_text(level) for level in group] for group, _ in groups]
    if (
        len(factors) < 2
        or len(groups) > MAX_CHANGES
        or len(groups) == prod(len(set(column)) for column in zip(*levels, strict=True))
    ):
        return []
    planned = [[at] for at, factor in enumerate(factors) if factor not in frame.attrs.get("intervals", ())]
    pairs = [pair for pair in combinations(range(len(groups)), 2) if _differing(levels, pair) in planned]
    if not 2 <= len(pairs) <= MAX_CHANGES:
        return []
    neighbours = [sum(group in pair for pair in pairs) for group in range(len(groups))]
    from_base = [pair if neighbours[pair[0]] >= neighbours[pair[1]] else pair[::-1] for pair in pairs]
    bases = sorted({base for base, _ in from_base}, key=lambda base: (-neighbours[base], base))
    if len(bases) > len(BASE_NAMES):
        return []
    found = []
    for base, changed in sorted(from_base, key=lambda pair: (bases.index(pair[0]), pair[1])):
        (position,) = _differing(levels, (base, changed))
        both = pd.concat([groups[base][1], groups[changed][1]])
        change = (groups[base][0][position], groups[changed][0][position])
        on_metric = effect(both, factors[position], change, (), metric, margin)
        on_seconds = effect(both, factors[position], change, (), "training_seconds")
        base_levels = dict(zip(factors, groups[base][0], strict=True))
        found.append(Change(bases.index(base), base_levels, on_metric, on_seconds))
    corrected = correct([change.metric for change in found])
    return [replace(change, metric=on_metric) for change, on_metric in zip(found, corrected, strict=True)]


def _settings_that_vary(frame: pd.DataFrame) -> list[str]:
    """Return the factors without experiments' names, and without sweeps' names if other factors tell these apart."""
    factors = [factor for factor in varying_factors(frame) if factor != "experiment"]
    settings = [factor for factor in factors if factor != "sweep"]
    if len(settings) == len(factors) or not settings:
        return factors
    return settings if all(group["sweep"].nunique() == 1 for _, group in grouped(frame, settings)) else factors


def short_names(found: Sequence[Change]) -> dict[tuple[str, ...], str]:
    """Return a short name of each group among the changes, by its levels as text: `P`, or `P but averaging=none`."""
    names: dict[tuple[str, ...], str] = {}
    for change in found:
        (factor,), ((_, level),) = change.metric.factors, change.metric.levels
        letter = BASE_NAMES[change.base]
        changed = change.levels | {factor: level}
        names[tuple(map(level_text, change.levels.values()))] = letter
        names.setdefault(tuple(map(level_text, changed.values())), f"{letter} but {factor}={level_text(level)}")
    return names


def _differing(levels: Sequence[Sequence[str]], pair: tuple[int, int]) -> list[int]:
    """Return the positions of the factors in which two groups differ."""
    first, second = (levels[group] for group in pair)
    return [position for position, (a, b) in enumerate(zip(first, second, strict=True)) if a != b]
