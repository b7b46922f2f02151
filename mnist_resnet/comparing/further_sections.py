"""Sections for designs that call for more than effects: factorials, several data sets, searches."""

from collections.abc import Callable, Sequence
from itertools import repeat

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
from mnist_resnet.comparing.expected_best import expected_best
from mnist_resnet.comparing.factors import varying_factors
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.methods import Method
from mnist_resnet.comparing.report import ABSENT, Section
from mnist_resnet.comparing.reported import metric_of
from mnist_resnet.comparing.searched import searched
from mnist_resnet.comparing.statistics import grouped
from mnist_resnet.comparing.transform import count_images, scale_text, transform_of
from mnist_resnet.comparing.variance import Term, analyse, told_apart
from mnist_resnet.config.levels import level_text, levels_text

TASK = "data"
"""The config group whose options are tasks: results on several data sets are aggregated over them."""

ROUND_NUMBERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Numbers of trials to list, besides all of them."""

VARIANCE = "Analysis of variance"
"""Title of its section."""

PROFILE_POINTS = 5
"""Thresholds of a performance profile: quantiles of all runs."""


def variance_section(frame: pd.DataFrame, name: str) -> Section | None:
    """Return the analysis of variance of a metric, or a line on why there is none; None without two factors or seeds.

    Runs that did not complete, or without a finite value, have no part in it.
    """
    factors = [factor for factor in varying_factors(frame) if factor not in ("experiment", "sweep")]
    values = frame[name].astype(float) if name in frame else pd.Series(dtype=float)
    completed = frame[(frame["status"] == "completed") & np.isfinite(values)] if name in frame else frame[:0]
    if len(factors) < 2 or "seed" not in frame or completed["seed"].map(level_text).nunique() < 2:
        return None
    kept = told_apart(completed[factors])
    lost = [factor for factor in factors if factor not in kept]
    of_what = "it" if len(lost) == 1 else "them"
    lost_text = f"{', '.join(lost)}: all completed runs share one level, so that nothing is told of {of_what}."
    lines = [lost_text] if lost else []
    if len(kept) < 2:
        return Section(VARIANCE, [*lines, "No analysis: it takes two factors that vary between completed runs."])
    metric = metric_of(frame, name)
    values = values[completed.index]
    scale = transform_of(metric, count_images(values) if metric.is_share else None)
    seeds = completed["seed"].map(level_text).tolist()
    found = analyse(scale.forward(values).tolist(), completed[kept], seeds)
    if found.reason:
        return Section(VARIANCE, [*lines, f"No analysis: {found.reason}."])
    lines += [
        f"Of {metric.label}{scale_text(metric)}, with seeds as blocks; sums of squares of type II.",
        "Partial ω² is the share of the variance that is not another term's, less what chance gives; the interval is "
        "of that share (noncentral F). p is not corrected for the number of terms.",
    ]
    rows = pd.DataFrame(map(_term_row, found.terms, repeat(found.residual)), dtype=object)
    return Section(VARIANCE, lines, rows, [Method.VARIANCE])


def _term_row(term: Term, residual: int) -> dict[str, str]:
    return {
        "factor": " × ".join(term.factors),
        "df": f"{term.df}, {residual}",
        "F": f"{term.f:.3g}",
        "p": "< 0.001" if term.p < 0.001 else f"{term.p:.3f}",
        "partial ω²": f"{term.omega:.2f}",
        "partial η²": f"{term.eta:.2f}",
        "95 % interval": f"{term.low:.2f} to {term.high:.2f}",
    }


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


def expected_best_section(jobs: Sequence[Job], frame: pd.DataFrame) -> Section | None:
    """Return what searches of fewer trials would have found; None for other sweeps, and below two trials."""
    found = searched(jobs) if jobs else None
    values = [value for value in found.values if value is not None] if found else []
    if found is None or len(values) < 2:
        return None
    seconds = float(frame["seconds"].mean())
    best = expected_best(values, minimize=found.metric.better == "lower")
    rows = [
        {
            "trials": f"{entry.trials}",
            "seconds": f"{seconds * entry.trials:.3g}",
            "expected best": format_metric(found.metric, entry.mean),
            "95 % range": ABSENT  # all trials are one search alone
            if entry.trials == len(best)
            else f"{format_metric(found.metric, entry.low)} to {format_metric(found.metric, entry.high)}",
        }
        for entry in best
        if entry.trials in ROUND_NUMBERS or entry.trials == len(best)
    ]
    line = (
        f"The best {found.metric.label} of the {found.epoch} epoch that a random search of so many trials would find "
        "(Dodge et al. 2019, without replacement), from these trials; a pruned one counts with the value where it "
        "ended. Seconds are the mean of these trials times their number, one after the other."
    )
    return Section("Expected best value by number of trials", [line], pd.DataFrame(rows, dtype=object), [Method.SEARCH])
