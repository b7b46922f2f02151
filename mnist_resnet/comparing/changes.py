"""One change at a time: what a group of seeds loses or gains, and in what time, for each factor changed by itself.

For designs with holes, such as each ingredient of a recipe left out of the whole, and each added alone: an effect that
is averaged over the other factors' levels would mix the two.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import prod

import pandas as pd

from mnist_resnet.comparing.effects import Effect, effect
from mnist_resnet.comparing.factors import varying
from mnist_resnet.comparing.frame import level_text
from mnist_resnet.comparing.statistics import grouped

MOST_CHANGES = 60
"""And of groups; beyond, nobody reads a table of them."""


BASES = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Names of the groups that changes are made from."""


@dataclass(frozen=True)
class Change:
    """Two groups of seeds that differ in one factor alone.

    Attributes:
        base: number of the group that is changed, from 0; the one that most changes begin at comes first.
        levels: of that group, by factor.
        metric: what the change does to the metric, paired by seed; the levels of its factor are (base, changed).
        seconds: what it does to the seconds of training, likewise; nan where they are not known.
    """

    base: int
    levels: dict[str, object]
    metric: Effect
    seconds: Effect


def changes(frame: pd.DataFrame, metric: str) -> list[Change]:
    """Each change of one factor that the jobs allow, from the groups that most changes begin at.

    Nothing for a design without holes, or of one factor: its effects say as much.
    """
    factors = [factor for factor in varying(frame) if factor != "experiment"]
    groups = grouped(frame, factors)
    levels = [[level_text(level) for level in group] for group, _ in groups]
    if (
        len(factors) < 2
        or len(groups) > MOST_CHANGES
        or len(groups) == prod(len(set(column)) for column in zip(*levels, strict=True))
    ):
        return []
    pairs = [pair for pair in combinations(range(len(groups)), 2) if len(_differing(levels, pair)) == 1]
    if not 2 <= len(pairs) <= MOST_CHANGES:
        return []
    neighbours = [sum(group in pair for pair in pairs) for group in range(len(groups))]
    from_base = [pair if neighbours[pair[0]] >= neighbours[pair[1]] else pair[::-1] for pair in pairs]
    bases = sorted({base for base, _ in from_base}, key=lambda base: (-neighbours[base], base))
    if len(bases) > len(BASES):
        return []
    found = []
    for base, changed in sorted(from_base, key=lambda pair: (bases.index(pair[0]), pair[1])):
        (at,) = _differing(levels, (base, changed))
        both = pd.concat([groups[base][1], groups[changed][1]])
        change = (groups[base][0][at], groups[changed][0][at])
        on_metric, on_seconds = (effect(both, factors[at], change, (), one) for one in (metric, "training_seconds"))
        named = dict(zip(factors, groups[base][0], strict=True))
        found.append(Change(bases.index(base), named, on_metric, on_seconds))
    return found


def short_names(found: Sequence[Change]) -> dict[tuple[str, ...], str]:
    """A name for each group that the changes tell of, by its levels as text: `A`, or `A but averaging=none`."""
    names: dict[tuple[str, ...], str] = {}
    for change in found:
        (factor,), ((_, level),) = change.metric.factors, change.metric.levels
        letter = BASES[change.base]
        changed = change.levels | {factor: level}
        names[tuple(map(level_text, change.levels.values()))] = letter
        names.setdefault(tuple(map(level_text, changed.values())), f"{letter} but {factor}={level_text(level)}")
    return names


def _differing(levels: Sequence[Sequence[str]], pair: tuple[int, int]) -> list[int]:
    return [at for at, (one, other) in enumerate(zip(*(levels[group] for group in pair), strict=True)) if one != other]
