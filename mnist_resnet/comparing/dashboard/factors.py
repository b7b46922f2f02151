"""Factors for filtering, grouping and colouring on the page."""

from typing import Any

import pandas as pd

from mnist_resnet.comparing.factors import varying_factors
from mnist_resnet.comparing.levels import level_text


def filter_factors(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return each factor, the seed last: `key`, sorted `levels` as text, and whether all are numbers (`numeric`)."""
    if frame.empty:
        return []
    keys = varying_factors(frame) + (["seed"] if "seed" in frame and frame["seed"].nunique() > 1 else [])
    return [_factor(key, frame[key]) for key in keys]


def _factor(key: str, values: pd.Series) -> dict[str, Any]:
    levels = {level_text(value): value for value in values}
    numbers = [value for value in levels.values() if _is_number(value)]
    numeric = len(numbers) == len(levels)
    # levels that are not numbers come last, in order of appearance
    ordered = sorted(levels, key=lambda name: float(levels[name]) if _is_number(levels[name]) else float("inf"))
    return {"key": key, "levels": ordered, "numeric": numeric}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
