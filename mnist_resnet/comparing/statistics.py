"""Mean, intervals and extremes over the seeds of one config."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from mnist_resnet.comparing.levels import level_text

CONFIDENCE = 0.95
"""Confidence level of every interval in this project."""


@dataclass(frozen=True)
class Spread:
    """Summary of one metric over a group of runs.

    Attributes:
        values: one per run, in the order given.
        mean: nan without runs.
        sd: sample standard deviation (n − 1); nan below two runs, as are the four bounds.
        low, high: 95 % confidence interval of the mean (Student's t).
        prediction_low, prediction_high: 95 % prediction interval for one further run.
        minimum, maximum: nan without runs.
    """

    values: tuple[float, ...]
    mean: float
    sd: float
    low: float
    high: float
    prediction_low: float
    prediction_high: float
    minimum: float
    maximum: float

    @property
    def n(self) -> int:
        """Number of runs."""
        return len(self.values)


def spread(values: Iterable[float]) -> Spread:
    """Summarise one metric of several runs; values that are not finite are ignored.

    The prediction interval for one further run of a normal population is mean ± t · s · √(1 + 1/n), with n − 1 degrees
    of freedom (Hahn and Meeker, Statistical Intervals, 1991, section 4.7).
    """
    runs = np.asarray([value for value in values if value is not None and np.isfinite(value)], dtype=float)
    n = len(runs)
    if n == 0:
        return Spread((), *[float("nan")] * 8)
    mean = float(runs.mean())
    sd = float(runs.std(ddof=1)) if n > 1 else float("nan")
    low, high = _interval(mean, sd / np.sqrt(n), n)
    prediction_low, prediction_high = _interval(mean, sd * np.sqrt(1 + 1 / n), n)
    extremes = float(runs.min()), float(runs.max())
    return Spread(tuple(runs.tolist()), mean, sd, low, high, prediction_low, prediction_high, *extremes)


def _interval(mean: float, scale: float, n: int) -> tuple[float, float]:
    if scale == 0:
        return mean, mean
    low, high = stats.t.interval(CONFIDENCE, n - 1, loc=mean, scale=scale) if n > 1 else (float("nan"),) * 2
    return float(low), float(high)


def seeds_summary(frame: pd.DataFrame, by: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """Summarise the completed jobs of each combination of levels of `by`, in order of appearance.

    Jobs with the same signature count once.

    Returns:
        One row per combination: the levels; `jobs` (all jobs) and `n` (jobs counted); then for each metric
        `<metric>_mean`, `_sd`, `_low`, `_high`, `_prediction_low`, `_prediction_high`, `_min`, `_max`.
    """
    rows = []
    for levels, group in grouped(frame, by):
        completed = group[group["status"] == "completed"]
        # a repeated config and seed repeats its figures, so it is not another run
        completed = completed[~(completed.duplicated("signature") & completed["signature"].notna())]
        row = {**dict(zip(by, levels, strict=True)), "jobs": len(group), "n": len(completed)}
        for metric in metrics:
            row |= {f"{metric}_{name}": value for name, value in _columns(spread(completed[metric])).items()}
        rows.append(row)
    return pd.DataFrame(rows)


def grouped(frame: pd.DataFrame, by: Sequence[str]) -> list[tuple[tuple[object, ...], pd.DataFrame]]:
    """Return the levels and rows of each combination of levels, in order of appearance; see `level_text`."""
    return [(tuple(frame[key].tolist()[rows[0]] for key in by), frame.iloc[rows]) for rows in grouped_rows(frame, by)]


def grouped_rows(frame: pd.DataFrame, by: Sequence[str]) -> list[list[int]]:
    """Return the row positions of each group of `grouped`, without the cost of building a frame for each."""
    groups: dict[tuple[str, ...], list[int]] = {}
    for row, levels in enumerate(
        zip(*(frame[key].map(level_text) for key in by), strict=True) if by else [()] * len(frame)
    ):
        groups.setdefault(levels, []).append(row)
    return list(groups.values())


def _columns(summary: Spread) -> dict[str, float]:
    return {
        "mean": summary.mean,
        "sd": summary.sd,
        "low": summary.low,
        "high": summary.high,
        "prediction_low": summary.prediction_low,
        "prediction_high": summary.prediction_high,
        "min": summary.minimum,
        "max": summary.maximum,
    }
