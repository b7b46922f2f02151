"""Mean, intervals and extremes over the seeds of one config."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnist_resnet.comparing.balanced import largest_balanced
from mnist_resnet.comparing.distributions import t_quantile, t_tail
from mnist_resnet.comparing.factors import varying_factors
from mnist_resnet.comparing.frame import with_columns
from mnist_resnet.comparing.reported import metric_of
from mnist_resnet.comparing.transform import LINEAR, Transform, count_images, transform_of
from mnist_resnet.config.levels import level_text
from mnist_resnet.config.metric import Metric

CONFIDENCE = 0.95
"""Confidence level of every interval in this project."""

OF_RUNS = (
    *("status", "sweep", "signature", "data_sha256", "seed"),
    *("data.test_size", "test_accuracy", "best_test_accuracy"),
)
"""Columns that tell which runs count, and on how many images they were tested."""

MAX_NAMED = 6
"""Largest number of levels to name of a factor that is averaged over."""

FEW_RUNS = 5
"""Number of runs up to which a reader is told that an interval rests on an assumption nobody can check."""

ROUNDING = 1e-9
"""Relative spread below which runs count as equal; what is left is floating-point rounding."""


@dataclass(frozen=True)
class Spread:
    """Summary of one metric over a group of runs.

    Runs that are all equal have no interval: with few runs, a spread of zero is rounding or chance, never certainty.

    Attributes:
        values: one per run, in the order given.
        transform: scale of the intervals, on which runs are taken as normal.
        images: number of images that the metric is a share of; None for other metrics, or if unknown.
    """

    values: tuple[float, ...]
    transform: Transform = LINEAR
    images: int | None = None

    @property
    def n(self) -> int:
        """Number of runs."""
        return len(self.values)

    @cached_property
    def mean(self) -> float:
        """Arithmetic mean; nan without runs."""
        return float(np.mean(self.values)) if self.values else float("nan")

    @cached_property
    def sd(self) -> float:
        """Sample standard deviation (n − 1); nan below two runs."""
        return float(np.std(self.values, ddof=1)) if self.n > 1 else float("nan")

    @property
    def minimum(self) -> float:
        """Smallest value; nan without runs."""
        return min(self.values, default=float("nan"))

    @property
    def maximum(self) -> float:
        """Largest value; nan without runs."""
        return max(self.values, default=float("nan"))

    @property
    def varies(self) -> bool:
        """Whether the runs differ at all."""
        return not all_equal(self.values)

    @property
    def low(self) -> float:
        """Lower end of `interval`."""
        return self.interval[0]

    @property
    def high(self) -> float:
        """Upper end of `interval`."""
        return self.interval[1]

    @property
    def prediction_low(self) -> float:
        """Lower end of `prediction`."""
        return self.prediction[0]

    @property
    def prediction_high(self) -> float:
        """Upper end of `prediction`."""
        return self.prediction[1]

    @cached_property
    def interval(self) -> tuple[float, float]:
        """95 % confidence interval of the mean over seeds, on the same test images.

        Student's t; on a transformed scale by the delta method, f(mean) ± t · s · f'(mean) / √n, transformed back
        (Korn and Graubard, Survey Methodology 24 (1998) 193, for the logit): it always contains the mean.
        """
        return self.interval_at(CONFIDENCE)

    def interval_at(self, confidence: float) -> tuple[float, float]:
        """Return `interval` at another level of confidence."""
        return self._around_mean(self.sd**2 / self.n, confidence) if self._has_interval else (float("nan"),) * 2

    @cached_property
    def new_images_interval(self) -> tuple[float, float]:
        """95 % confidence interval of the mean over seeds on new test images of the same kind.

        The variance over seeds plus the binomial one of a finite test set, p (1 − p) / images, which no number of seeds
        reduces. Student's t with the seeds' degrees of freedom, so that it is never narrower than `interval`.
        """
        if not self._has_interval or not self.images:
            return (float("nan"),) * 2
        seeds, images = self.sd**2 / self.n, self.mean * (1 - self.mean) / self.images
        return self._around_mean(seeds + images)

    @cached_property
    def prediction(self) -> tuple[float, float]:
        """95 % prediction interval for one further run.

        Mean ± t · s · √(1 + 1/n) of the transformed values, transformed back, with n − 1 degrees of freedom (Hahn and
        Meeker, Statistical Intervals, 1991, section 4.7).
        """
        if not self._has_interval:
            return (float("nan"),) * 2
        low, high = (
            t_quantile([(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2], self.n - 1) * self._prediction_scale + self._centre
        )
        return float(self.transform.back(low)), float(self.transform.back(high))

    def prediction_p(self, low: float, high: float) -> float:
        """Return the two-sided p value of one further run falling into `low` to `high`; nan without an interval."""
        if not self._has_interval:
            return float("nan")
        ends = (self.transform.forward([low, high]) - self._centre) / self._prediction_scale
        distance = max(0.0, float(ends[0]), -float(ends[1]))
        return float(2 * t_tail(distance, self.n - 1))

    def best_of(self, runs: int) -> float:
        """Return the value that the best of `runs` further runs stays below with 95 % probability.

        A one-sided simultaneous prediction bound (Hahn and Meeker, 1991, section 4.8).
        """
        if not self._has_interval:
            return float("nan")
        from scipy.optimize import brentq

        factor = brentq(lambda reach: _probability_below(reach, runs, self.n) - CONFIDENCE, 0.0, 1e5)
        return float(self.transform.back(self._centre + factor * self._transformed_sd))

    def best_of_p(self, value: float, runs: int) -> float:
        """Return the probability that the best of `runs` further runs is at or above a value; nan without interval."""
        if not self._has_interval:
            return float("nan")
        reach = (float(self.transform.forward(value)) - self._centre) / self._transformed_sd
        return 1 - _probability_below(reach, runs, self.n)

    @property
    def _has_interval(self) -> bool:
        return self.n > 1 and self.varies

    @property
    def _centre(self) -> float:
        return float(np.mean(self.transform.forward(self.values)))

    @property
    def _transformed_sd(self) -> float:
        return float(np.std(self.transform.forward(self.values), ddof=1))

    @property
    def _prediction_scale(self) -> float:
        return self._transformed_sd * float(np.sqrt(1 + 1 / self.n))

    def _around_mean(self, variance: float, confidence: float = CONFIDENCE) -> tuple[float, float]:
        half = t_quantile((1 + confidence) / 2, self.n - 1) * np.sqrt(variance) * self.transform.slope(self.mean)
        centre = self.transform.forward(self.mean)
        return float(self.transform.back(centre - half)), float(self.transform.back(centre + half))


def spread(values: Iterable[float], metric: Metric | None = None, images: int | None = None) -> Spread:
    """Summarise one metric of several runs; values that are not finite are ignored.

    Args:
        values: one per run.
        metric: decides the scale (see `transform_of`); the linear one by default.
        images: number of images that an accuracy is a share of, if known.
    """
    runs = tuple(float(value) for value in values if value is not None and np.isfinite(value))
    return Spread(runs, transform_of(metric, images), images if metric is not None and metric.is_share else None)


def all_equal(values: Sequence[float] | NDArray[np.float64]) -> bool:
    """Return whether runs, or differences between runs, are equal but for rounding: then nothing can be judged."""
    return len(values) == 0 or bool(np.ptp(values) <= ROUNDING * np.abs(values).max())


def _probability_below(reach: float, runs: int, n: int) -> float:
    """Return the probability that `runs` further runs all stay below the mean of n runs plus `reach` of their s.

    Integrated over the mean's error (Gauss and Hermite's nodes) and over s (its chi distribution).
    """
    from scipy import stats

    nodes, weights = np.polynomial.hermite_e.hermegauss(60)
    levels, shares = np.polynomial.legendre.leggauss(200)
    sds = np.sqrt(stats.chi2.ppf((levels + 1) / 2, n - 1) / (n - 1))
    below = stats.norm.cdf(nodes[:, None] / np.sqrt(n) + reach * sds[None, :]) ** runs
    return float(weights @ below @ shares / (2 * weights.sum()))


def seeds_summary(frame: pd.DataFrame, by: Sequence[str], metrics: Sequence[str]) -> pd.DataFrame:
    """Summarise the completed jobs of each combination of levels of `by`, in order of appearance.

    Jobs of one sweep with the same signature and data count once. Where other factors vary within a group, each seed's
    mean over their combinations counts as one run, so that the spread is between seeds alone.

    Returns:
        One row per combination: the levels; `jobs` (all jobs, or seeds where those are averaged), `n` (those counted)
        and `averaged` (combinations of other factors averaged within each seed); then for each metric
        `<metric>_n` (those that have a number), `_mean`, `_sd`, `_low`, `_high`, `_prediction_low`,
        `_prediction_high`, `_min`, `_max`, `_new_low`, `_new_high` for new test images (nan for other metrics than test
        accuracies), and `_cells` and `_over`: the combinations of other factors' levels that its runs have, and these
        as text (see `_over_text`).
    """
    rows = []
    others = _others(frame, by)
    texts = frame[others].map(level_text)
    cells = texts.agg("\x1f".join, axis="columns") if others else pd.Series("", index=frame.index)
    levels_of = {name: list(dict.fromkeys(texts[name])) for name in others}
    frame = with_columns(frame, [*by, *metrics, *OF_RUNS])
    for levels, group in grouped(frame, by):
        completed = group[group["status"] == "completed"]
        # a repeated config and seed on the same data repeats its figures, so it is not another run
        same = [column for column in ("sweep", "signature", "data_sha256") if column in completed]
        repeated = completed.duplicated(same)
        completed = completed[~(repeated & completed["signature"].notna())]
        in_cells = cells.loc[group.index]
        is_pooled = in_cells.nunique() > 1
        images = count_test_images(completed)
        row = {**dict(zip(by, levels, strict=True)), "jobs": len(group), "n": len(completed)}
        if is_pooled:
            row |= {"jobs": group["seed"].nunique(), "n": len(_seed_table(completed, in_cells, metrics[0]))}
        row["averaged"] = in_cells.nunique()
        for metric in metrics:
            table = _seed_table(completed, in_cells, metric) if others else pd.DataFrame()
            values = table.mean(axis="columns") if is_pooled else completed[metric]
            summary = spread(values, metric_of(frame, metric), images if "test_accuracy" in metric else None)
            row |= {f"{metric}_{name}": value for name, value in _columns(summary).items()}
            row[f"{metric}_over"] = _over_text(levels_of, list(map(str, table)))
            row[f"{metric}_cells"] = tuple(sorted(map(str, table)))
        rows.append(row)
    # objects first: one null level among numbers would turn them into floats, and itself into nan
    table = pd.DataFrame(rows, dtype=object)
    measured = [str(column) for column in table if column not in by]
    table[measured] = table[measured].infer_objects()
    return table


def _others(frame: pd.DataFrame, by: Sequence[str]) -> list[str]:
    """Return the factors that vary and are not in `by`."""
    if "sweep" not in frame or "seed" not in frame:
        return []
    return [name for name in varying_factors(frame) if name not in (*by, "experiment")]


def _over_text(levels_of: Mapping[str, Sequence[str]], cells: Sequence[str]) -> str:
    """Return the levels of the other factors in these cells, such as `optim.lr: 0.01, 0.1`; empty without any."""
    if not levels_of or not cells:
        return ""
    columns = zip(*(cell.split("\x1f") for cell in cells), strict=True)
    levels = [
        [level for level in all_levels if level in column]
        for all_levels, column in zip(levels_of.values(), columns, strict=True)
    ]
    texts = [
        f"{name}: {', '.join(found) if len(found) <= MAX_NAMED else f'{len(found)} levels'}"
        for name, found in zip(levels_of, levels, strict=True)
    ]
    combinations = prod(map(len, levels))
    some = f"{len(cells)} of {combinations} combinations of " if len(cells) < combinations else ""
    return some + "; ".join(texts)


def _seed_table(completed: pd.DataFrame, cells: "pd.Series[str]", metric: str) -> pd.DataFrame:
    """Return a metric by seed and cell, for the seeds and cells of the largest part without gaps."""
    values = pd.DataFrame(
        {"seed": completed["seed"].map(level_text), "cell": cells.loc[completed.index], "value": completed[metric]}
    )
    table = values.pivot_table(index="seed", columns="cell", values="value", sort=False)
    return largest_balanced(table)


def count_test_images(frame: pd.DataFrame) -> int | None:
    """Return the number of test images: the one set, else the one that the accuracies are shares of."""
    sizes = set(frame["data.test_size"]) if "data.test_size" in frame else set()
    if len(sizes) == 1 and isinstance(size := sizes.pop(), int):
        return size
    figures = [frame[name] for name in ("test_accuracy", "best_test_accuracy") if name in frame]
    return count_images(value for column in figures for value in column)


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
        "n": summary.n,
        "mean": summary.mean,
        "sd": summary.sd,
        "low": summary.low,
        "high": summary.high,
        "new_low": summary.new_images_interval[0],
        "new_high": summary.new_images_interval[1],
        "prediction_low": summary.prediction_low,
        "prediction_high": summary.prediction_high,
        "min": summary.minimum,
        "max": summary.maximum,
    }
