"""Config values as factor levels that can be compared and grouped."""

from collections.abc import Mapping
from numbers import Real
from typing import Any


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return every leaf of a config by its dotted key; lists become text, so that all values can be grouped."""
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            leaves.update(flatten(value, f"{prefix}{key}."))
        else:
            leaves[f"{prefix}{key}"] = str(value) if isinstance(value, list) else value
    return leaves


ABSENT = "absent"
"""Level of a job that lacks the key: one of older code, or of another model."""


def level_text(value: object) -> str:
    """Return the text that identifies a level: 1, 1.0 and the string "1" are the same level."""
    if isinstance(value, float) and value != value:
        return ABSENT
    if isinstance(value, Real) and not isinstance(value, bool):
        return f"{value:.12g}"
    return "null" if value is None else str(value)


def in_one_spelling(override: str, exactly: bool = True) -> str:
    """Return `key=value` with a float spelled as levels are: 1000000 for 1e6; `exactly`, if that is the same number."""
    key, _, text = override.partition("=")
    if not {*text} & {*".eE"}:
        return override  # of whole numbers there is one spelling
    try:
        number = float(text)
    except ValueError:
        return override
    spelled = level_text(number)
    return f"{key}={spelled}" if float(spelled) == number or not exactly else override


def levels_text(levels: Mapping[str, object]) -> str:
    """Return levels as `key=value` pairs, as on the command line."""
    return ", ".join(f"{key}={level_text(level)}" for key, level in levels.items())
