"""Report section that aggregates results over data sets."""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnist_resnet.comparing.aggregates import (
    Estimate,
    Scores,
    bootstrap,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
)
from mnist_resnet.comparing.cells import format_metric
from mnist_resnet.comparing.factors import varying_factors
from mnist_resnet.comparing.methods import Method
from mnist_resnet.comparing.report import ABSENT, Section
from mnist_resnet.comparing.reported import metric_of
from mnist_resnet.comparing.statistics import grouped
from mnist_resnet.config.levels import level_text, levels_text

TASK = "data"
"""The config group whose options are tasks: results on several data sets are aggregated over them."""

PROFILE_POINTS = 5
"""Thresholds of a performance profile: quantiles of all runs."""


def aggregate_section(frame: pd.DataFrame, name: str) -> Section | None:
    """Return each method's aggregate over the data sets; None unless several methods ran on several data sets."""
    factors = varying_factors(frame) if len(frame) else []
    if TASK not in factors or name not in frame:
        return None
    metric, by = metric_of(frame, name), [factor for factor in factors if factor not in (TASK, "experiment", "sweep")]
    by = [factor for factor in by if not factor.startswith(f"{TASK}.")]
    configs = _scores(frame[(frame["status"] == "completed") & frame[name].notna()], by, name)
    if len(configs) < 2:
        return None
    sign = -1 if metric.better == "lower" else 1
    everything = np.concatenate([task for scores in configs.values() for task in scores])
    thresholds = np.quantile(everything, np.linspace(0, 1, PROFILE_POINTS + 2)[1:-1]).tolist()
    first = [sign * task for task in next(iter(configs.values()))]
    rows: list[dict[str, str]] = []
    has_interval = False
    for config, scores in configs.items():
        better = None
        if rows:
            better = bootstrap(probability_of_improvement, first, [sign * task for task in scores])
        mean = bootstrap(interquartile_mean, scores)
        has_interval |= mean.low == mean.low
        profile = performance_profile(scores, thresholds)
        rows.append(
            {
                "config": config,
                "runs": f"{sum(map(len, scores))}",
                "interquartile mean": format_metric(metric, mean.value),
                "95 % interval": _interval(mean, lambda value: format_metric(metric, value)),
                "better than the first": ABSENT if better is None else f"{better.value:.2f}",
                "its interval": ABSENT if better is None else _interval(better, lambda value: f"{value:.2f}"),
                **{
                    f"above {format_metric(metric, threshold)}": f"{100 * share:.0f} %"
                    for threshold, share in zip(thresholds, profile, strict=True)
                },
            }
        )
    lines = [
        f"{metric.title} over {len(first)} data sets: the mean of the middle half of all runs, the chance that a run "
        "is better than one of the first config on the same data set, and the share of runs above some values. "
        "Stratified bootstrap intervals (Agarwal et al. 2021)."
    ]
    methods = [Method.AGGREGATES, *([Method.BOOTSTRAP] if has_interval else [])]
    return Section("Aggregates over data sets", lines, pd.DataFrame(rows, dtype=object), methods)


def _scores(completed: pd.DataFrame, by: Sequence[str], name: str) -> dict[str, Scores]:
    """Return the runs of each config on each data set, for the configs that ran on all of them."""
    tasks = list(dict.fromkeys(completed[TASK].map(level_text)))
    methods: dict[str, list[NDArray[np.float64]]] = {}
    for levels, group in grouped(completed, by):
        text = levels_text(dict(zip(by, map(level_text, levels), strict=True))) or "all"
        runs = [group.loc[group[TASK].map(level_text) == task, name].to_numpy(dtype=float) for task in tasks]
        if len(tasks) > 1 and all(len(task) for task in runs):
            methods[text] = runs
    return dict(methods)


def _interval(estimate: Estimate, text: Callable[[float], str]) -> str:
    return ABSENT if estimate.low != estimate.low else f"{text(estimate.low)} to {text(estimate.high)}"
