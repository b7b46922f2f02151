"""The factors by which the page filters, groups and colours."""

from typing import Any

import pandas as pd

from mnist_resnet.comparing.factors import varying
from mnist_resnet.comparing.frame import level_text


def factors_of(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Each factor, the seed last: `key`, its `levels` as text in order, whether they are all numbers (`numeric`)."""
    if frame.empty:
        return []
    keys = varying(frame) + (["seed"] if "seed" in frame and frame["seed"].nunique() > 1 else [])
    return [_factor(key, frame[key]) for key in keys]


def _factor(key: str, values: pd.Series) -> dict[str, Any]:
    levels = {level_text(value): value for value in values}
    numbers = [value for value in levels.values() if _is_number(value)]
    numeric = len(numbers) == len(levels)
    # what is no number stands last, in the order in which the jobs have it
    ordered = sorted(levels, key=lambda name: float(levels[name]) if _is_number(levels[name]) else float("inf"))
    return {"key": key, "levels": ordered, "numeric": numeric}


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value == value
