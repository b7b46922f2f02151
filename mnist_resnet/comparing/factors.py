"""Which factors a set of jobs varies, and what is constant in it."""

from typing import Any

import pandas as pd

from mnist_resnet.comparing.frame import JOB_COLUMNS, METRIC_COLUMNS, NO_FACTORS, level_text

SETS_ELSEWHERE = {"scale": ("data.train_size", "data.test_size")}
"""Keys that a group's options set outside their own package, and that its choice therefore implies."""


def varying(frame: pd.DataFrame) -> list[str]:
    """The factors of a frame of jobs: config groups and keys whose values differ, what was swept first.

    The seed is left out, and so is what another factor implies: a key in the package of a group that varies, where
    each option has one value of it (`model=stem7x7` implies `model.stem`), and a key that copies another
    (`model.dropout` is `regularization.dropout`). Several sweeps make `sweep` the first factor.
    """
    differing = [column for column in _candidates(frame) if frame[column].nunique(dropna=False) > 1]
    codes = {column: pd.factorize(frame[column].map(level_text))[0] for column in differing}
    codes = {column: values for column, values in codes.items() if len(set(values)) > 1}
    swept = [key for key in frame.attrs.get("swept", []) if key in codes]
    kept: list[str] = []
    for column in [*swept, *(column for column in _choices_first(codes) if column not in swept)]:
        if column in swept or not (_implied(column, codes) or _copied(column, frame, codes)):
            kept.append(column)
    return (["sweep"] if frame["sweep"].nunique() > 1 else []) + kept


def others(frame: pd.DataFrame, factor: str) -> list[str]:
    """The factors besides one that two jobs must agree in, to differ in that one alone.

    An experiment's name stands for several factors at once: it is none besides another, and of the others only those
    count beside it that vary within an experiment.
    """
    rest = [other for other in varying(frame) if other not in (factor, "experiment")]
    if factor != "experiment":
        return rest
    levels = frame.groupby(frame[factor].map(level_text))
    return [other for other in rest if levels[other].agg(lambda column: column.map(level_text).nunique()).max() > 1]


def telling(frame: pd.DataFrame) -> list[str]:
    """The fewest factors that tell the groups of seeds apart: an experiment's name says what the experiment sets."""
    factors = varying(frame)
    return ["experiment", *others(frame, "experiment")] if "experiment" in factors else factors


def constant(frame: pd.DataFrame) -> dict[str, Any]:
    """Config groups and keys that have one value in all jobs, with that value; groups first."""
    names = [name for name in _candidates(frame) if frame[name].nunique(dropna=False) == 1]
    return {name: frame[name].tolist()[0] for name in _choices_first(dict.fromkeys(names))}


def is_choice(column: str) -> bool:
    """Whether a factor is the choice in a config group, rather than a config key."""
    return "." not in column and column not in JOB_COLUMNS and column not in METRIC_COLUMNS and column != "seed"


def _candidates(frame: pd.DataFrame) -> list[str]:
    skipped = {*JOB_COLUMNS, *METRIC_COLUMNS, "seed"}
    return [
        column
        for column in frame.columns
        if column not in skipped and not any(column == key or column.startswith(f"{key}.") for key in NO_FACTORS)
    ]


def _choices_first(columns: dict[str, Any]) -> list[str]:
    # an experiment names all the rest, so it leads
    return sorted(columns, key=lambda column: (column != "experiment", not is_choice(column)))


def _implied(column: str, codes: dict[str, Any]) -> bool:
    groups = [group for group in codes if is_choice(group) and group not in (column, "experiment")]
    return any(
        (column.startswith(f"{group}.") or column in SETS_ELSEWHERE.get(group, ()))
        and len(set(zip(codes[group], codes[column], strict=True))) == len(set(codes[group]))
        for group in groups
    )


def _copied(column: str, frame: pd.DataFrame, codes: dict[str, Any]) -> bool:
    if is_choice(column):
        return False
    leaf = column.rsplit(".", 1)[-1]
    twins = [other for other in codes if other != column and other.rsplit(".", 1)[-1] == leaf]
    values = frame[column].map(level_text)
    # of two copies the one outside the model's own package is the knob that a user turns
    return any(column.startswith("model.") and values.equals(frame[twin].map(level_text)) for twin in twins)
