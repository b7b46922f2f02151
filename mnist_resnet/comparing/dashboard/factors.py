"""Factors for filtering, grouping and colouring on the page."""

from typing import Any

import pandas as pd

from mnist_resnet.comparing.factors import varying_factors
from mnist_resnet.config.levels import level_text
from mnist_resnet.config.seed_sources import SEEDS, SOURCES


def filter_factors(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each factor, the seeds last: `key`, sorted `levels` as text, and whether all are numbers (`numeric`).

    Seeds of single sources of randomness may be all that tells two runs apart.
    """
    if frame.empty:
        return []
    return [_factor(key, frame[key]) for key in [*varying_factors(frame), *_varied_seeds(frame)]]


def _varied_seeds(frame: pd.DataFrame) -> list[str]:
    """Return `seed` and the seeds of single sources that differ between jobs; `seed` unless those imply it."""
    names = [name for name in ("seed", *(f"{SEEDS}.{source}" for source in SOURCES)) if name in frame]
    levels = frame[names].map(level_text)
    varied = [name for name in names if levels[name].nunique() > 1]
    own = [name for name in varied if name != "seed"]
    is_implied = own and len(levels[own].drop_duplicates()) == len(levels[varied].drop_duplicates())
    return own if is_implied else varied


def _factor(key: str, values: pd.Series) -> dict[str, Any]:
    levels = {level_text(value): value for value in values}
    numbers = [value for value in levels.values() if _is_number(value)]
    numeric = len(numbers) == len(levels)
    # levels that are not numbers come last, in order of appearance
    ordered = sorted(levels, key=lambda name: float(levels[name]) if _is_number(levels[name]) else float("inf"))
    return {"key": key, "levels": ordered, "numeric": numeric}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
