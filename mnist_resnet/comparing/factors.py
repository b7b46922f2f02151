"""Finds the factors that differ between jobs, and the values that all jobs share."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import pandas as pd

from mnist_resnet.comparing.frame import JOB_COLUMNS, METRIC_COLUMNS
from mnist_resnet.config.levels import level_text

NON_FACTORS = ("seeds", "sweep", "tracking", "metrics", "claims", "comparisons", "hydra", "data.root", "data.verify")
"""Config keys, with all keys below them, that do not change the experiment: tracking, file locations, claims."""

DATA = "data_sha256"
"""Column with the hash of the data that a job saw."""

DATA_ROOT = "data.root"
"""Key that a sweep may vary on purpose, to compare what lies in several folders."""

NUMERICS = (
    "trainer.device",
    "trainer.threads",
    "trainer.compile",
    "trainer.convolutions",
    "trainer.detect_anomaly",
    "data.test_batch_size",
)
"""Keys that change the last bits at most: no factors, unless a sweep varies them on purpose.

The precision is not among them: bf16 and fp32 give different accuracies.
"""

KEYS_SET_BY_GROUP = {"scale": ("data.train_size", "data.test_size")}
"""Keys that a group's options set outside the group's own package, so that the choice in the group implies them."""


def varying_factors(frame: pd.DataFrame) -> list[str]:
    """Return the config groups and keys whose values differ between the jobs, swept ones first.

    Left out are the seed and everything that another factor implies: a key in the package of a varying group if each
    option has one value of it (`model=stem7x7` implies `model.stem`), and a key that copies another one
    (`model.dropout` is `regularization.dropout`). Data that differ without a key that says so are a factor. With
    several sweeps, `sweep` is the first factor.
    """
    swept = frame.attrs.get("swept", [])
    candidates = [column for column in _candidates(frame) if column in swept or not is_under(column, NUMERICS)]
    differing = [column for column in candidates if frame[column].nunique(dropna=False) > 1]
    codes = {column: pd.factorize(frame[column].map(level_text))[0] for column in differing}
    codes = {column: values for column, values in codes.items() if len(set(values)) > 1}
    swept = [key for key in swept if key in codes]
    kept: list[str] = []
    for column in [*swept, *(column for column in _groups_first(codes) if column not in swept)]:
        if column in swept or not (_is_implied(column, codes) or _is_copy(column, frame, codes)):
            kept.append(column)
    if _has_unexplained_data(frame, codes):
        kept.append(DATA)
    return (["sweep"] if frame["sweep"].nunique() > 1 else []) + kept


def other_factors(frame: pd.DataFrame, factor: str) -> list[str]:
    """Return the factors that two jobs must agree in if they are to differ in `factor` alone.

    An experiment's name stands for several factors at once. It therefore never counts as another factor; and if
    `factor` is the experiment, only factors that vary within an experiment count. Sweeps that differ in `factor` are
    compared by it, so their names don't count either; nor do they where another factor tells the sweeps apart.
    """
    rest = [other for other in varying_factors(frame) if other not in (factor, "experiment")]
    if "sweep" in rest and (_is_shared_within_sweeps(frame, factor) or _tells_sweeps_apart(frame, rest)):
        rest.remove("sweep")
    if factor != "experiment":
        return rest
    experiments = frame.groupby(frame[factor].map(level_text))
    return [
        other for other in rest if experiments[other].agg(lambda column: column.map(level_text).nunique()).max() > 1
    ]


def unlisted_factors(frame: pd.DataFrame, listed: Sequence[str]) -> list[str]:
    """Return the factors besides these that two jobs must agree in if they are to differ in some of these alone."""
    rest = [factor for factor in varying_factors(frame) if factor not in (*listed, "experiment")]
    return [factor for factor in rest if factor != "sweep" or not _tells_sweeps_apart(frame, listed)]


def _tells_sweeps_apart(frame: pd.DataFrame, factors: Sequence[str]) -> bool:
    """Return whether one of these factors alone says which sweep a job is of: the name is then no further factor."""
    sweeps = frame["sweep"].nunique()
    return any(
        frame[factor].map(level_text).nunique() == sweeps and _is_shared_within_sweeps(frame, factor)
        for factor in factors
        if factor != "sweep"
    )


def _is_shared_within_sweeps(frame: pd.DataFrame, factor: str) -> bool:
    return bool(frame[factor].map(level_text).groupby(frame["sweep"]).nunique().max() == 1)


def distinguishing_factors(frame: pd.DataFrame) -> list[str]:
    """Return the fewest factors that tell groups of seeds apart; an experiment's name covers the factors it sets."""
    factors = varying_factors(frame)
    return ["experiment", *other_factors(frame, "experiment")] if "experiment" in factors else factors


def shared_values(frame: pd.DataFrame) -> dict[str, Any]:
    """Return the config groups and keys that have the same value in all jobs, with that value; groups first."""
    names = [name for name in _candidates(frame) if frame[name].nunique(dropna=False) == 1]
    return {name: frame[name].tolist()[0] for name in _groups_first(dict.fromkeys(names))}


def is_group(column: str) -> bool:
    """Return whether a factor is a config group rather than a config key."""
    return "." not in column and column not in JOB_COLUMNS and column not in METRIC_COLUMNS and column != "seed"


def is_under(key: str, keys: tuple[str, ...]) -> bool:
    """Return whether a config key is one of `keys` or lies below one of them."""
    return f"{key}.".startswith(_prefixes(keys))


@cache
def _prefixes(keys: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(f"{key}." for key in keys)


def _candidates(frame: pd.DataFrame) -> list[str]:
    skipped = {*JOB_COLUMNS, *METRIC_COLUMNS, *frame.attrs.get("metrics", ()), "seed"}
    compared = {DATA_ROOT} if _compares_data(frame) else set()
    return [
        column
        for column in frame.columns
        if column in compared or (column not in skipped and not is_under(column, NON_FACTORS))
    ]


def _compares_data(frame: pd.DataFrame) -> bool:
    return DATA_ROOT in frame.attrs.get("swept", []) and frame[DATA].nunique() > 1


def _has_unexplained_data(frame: pd.DataFrame, codes: dict[str, Any]) -> bool:
    """Return whether jobs saw other data though the config says the same of them: a source's content has changed."""
    if DATA not in frame or frame[DATA].nunique() < 2:
        return False
    return not codes or bool(frame[DATA].groupby(list(codes.values())).nunique().max() > 1)


def _groups_first(columns: dict[str, Any]) -> list[str]:
    # the experiment comes first, since it sets all the others
    return sorted(columns, key=lambda column: (column != "experiment", not is_group(column)))


def _is_implied(column: str, codes: dict[str, Any]) -> bool:
    groups = [group for group in codes if is_group(group) and group not in (column, "experiment")]
    return any(
        (column.startswith(f"{group}.") or column in KEYS_SET_BY_GROUP.get(group, ()))
        and len(set(zip(codes[group], codes[column], strict=True))) == len(set(codes[group]))
        for group in groups
    )


def _is_copy(column: str, frame: pd.DataFrame, codes: dict[str, Any]) -> bool:
    if is_group(column):
        return False
    leaf = column.rsplit(".", 1)[-1]
    twins = [other for other in codes if other != column and other.rsplit(".", 1)[-1] == leaf]
    values = frame[column].map(level_text)
    # of two copies, the one outside the model's package is the one that users set
    return any(column.startswith("model.") and values.equals(frame[twin].map(level_text)) for twin in twins)
