"""Compares two sweeps: configs that both completed, paired, and what changed between the sweeps."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from mnist_resnet.comparing.balanced import largest_balanced
from mnist_resnet.comparing.cells import format_change, format_metric
from mnist_resnet.comparing.factors import is_under, shared_values
from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.labels import label_sweeps, shown_name
from mnist_resnet.comparing.methods import Method
from mnist_resnet.comparing.report import Section
from mnist_resnet.comparing.scale import HARMLESS_KEYS
from mnist_resnet.comparing.statistics import Spread, spread
from mnist_resnet.config.levels import flatten, level_text
from mnist_resnet.config.metric import BEST, BUILT_IN, Metric


@dataclass(frozen=True)
class SideBySide:
    """The comparison of two sweeps.

    Attributes:
        first, second: names of the sweeps.
        pairs: one row for each job that both completed, alike in all settings but `changes`: `name`, `first`, `second`
            in the metric's own unit, and `difference` (second minus first; of an accuracy, that of the error rate).
        difference: summary of each seed's mean difference, over the seeds and configs of the largest part without gaps.
        interval: 95 % interval of the mean difference, cut at what is possible from the first sweep's mean.
        changes: one row for each setting that differs between the sweeps: `what`, `first`, `second`. A config key
            counts if it has one value within each sweep.
    """

    first: str
    second: str
    pairs: pd.DataFrame
    difference: Spread
    interval: tuple[float, float]
    changes: pd.DataFrame


def side_by_side(jobs: Sequence[Job], metric: Metric = BUILT_IN["test_accuracy"]) -> list[SideBySide]:
    """Compare the first sweep among the jobs with each of the other sweeps."""
    sweeps: dict[str, list[Job]] = {}
    for job, label in zip(jobs, label_sweeps(jobs), strict=True):
        sweeps.setdefault(label, []).append(job)
    first, *others = sweeps.items() if sweeps else [("", [])]
    return [_compare(*first, *other, metric) for other in others]


def side_by_side_section(comparison: SideBySide, metric: Metric) -> Section:
    """Return the report section with paired differences and changes."""
    lines = [
        f"{len(comparison.pairs)} jobs completed in both, alike in all that both sweeps share; metric: {metric.title}."
    ]
    difference = comparison.difference
    if difference.n:
        what = "Change of the error rate, percentage points" if metric.counts_errors else "Change"
        mean, low, high = (format_change(metric, value) for value in (difference.mean, *comparison.interval))
        interval = f", 95 % interval {low} to {high}" if difference.varies else ""
        test = ", paired t" if difference.varies else ", no interval"
        cut = ", cut at what is possible" if difference.varies and comparison.interval != difference.interval else ""
        lines.append(
            f"{what}, second less first: {mean}{interval} (mean over each seed's jobs; {difference.n} "
            f"seed{'s' * (difference.n != 1)}{test}{cut})."
        )
    lines += [f"{row.what}: {row.first} → {row.second}" for row in comparison.changes.itertuples()]
    if comparison.changes.empty:
        lines.append("Nothing changed in config, code or environment.")
    table = pd.DataFrame(
        {
            "config": comparison.pairs["name"],
            comparison.first: [format_metric(metric, value) for value in comparison.pairs["first"]],
            comparison.second: [format_metric(metric, value) for value in comparison.pairs["second"]],
            "change of error" if metric.counts_errors else "change": [
                format_change(metric, value) for value in comparison.pairs["difference"]
            ],
        },
        dtype=object,
    )
    methods = [Method.SWEEPS] if difference.varies else []
    return Section(f"{comparison.first} and {comparison.second}, side by side", lines, table, methods)


def _compare(first: str, jobs: Sequence[Job], second: str, others: Sequence[Job], metric: Metric) -> SideBySide:
    changes = _changes(jobs, others)
    keys = _shared_keys(jobs, others) - set(changes["what"])
    sides = [{_settings_key(job, keys): job for job in side if job.completed} for side in (jobs, others)]
    rows = [
        {
            "name": shown_name(job),
            "first": _value(job, metric),
            "second": _value(sides[1][key], metric),
            "seed": level_text(job.config.get("seed")),
            "cell": repr([setting for setting in key if setting[0] != "seed"]),
        }
        for key, job in sides[0].items()
        if key in sides[1]
    ]
    pairs = pd.DataFrame(rows, columns=["name", "first", "second", "seed", "cell"])
    # as in all tables: of an accuracy, the change is that of the error rate
    figures = pairs[["first", "second"]]
    figures = 1 - figures if metric.counts_errors else figures
    pairs = pairs.assign(start=figures["first"], difference=figures["second"] - figures["first"])
    differences, starts = (
        pairs.pivot_table(index="seed", columns="cell", values=name, sort=False) for name in ("difference", "start")
    )
    balanced = largest_balanced(differences)
    start = starts.reindex_like(balanced).to_numpy(dtype=float).mean() if balanced.size else float("nan")
    difference = spread(balanced.mean(axis="columns"))
    least, most = (end - start for end in metric.ends)
    low, high = np.clip(difference.interval, least, most).tolist()
    return SideBySide(first, second, pairs[["name", "first", "second", "difference"]], difference, (low, high), changes)


def _shared_keys(jobs: Sequence[Job], others: Sequence[Job]) -> set[str]:
    """Return the settings that the jobs of both sweeps have and that can tell two configs apart."""
    first, second = ({key for job in side for key in _settings_of(job)} for side in (jobs, others))
    return {key for key in first & second if key == "seed" or not is_under(key, HARMLESS_KEYS)}


def _settings_of(job: Job) -> dict[str, object]:
    return {**flatten(job.config), **job.choices}


def _settings_key(job: Job, keys: set[str]) -> tuple[tuple[str, str], ...]:
    settings = _settings_of(job)
    return tuple(sorted((key, level_text(settings[key])) for key in keys if key in settings))


def _value(job: Job, metric: Metric) -> float:
    of_best = job.history.best.get(metric.name.removeprefix(BEST)) if metric.name.startswith(BEST) else None
    value = job.history.value(metric) if of_best is None else of_best
    return float(value) if isinstance(value, (int, float)) else float("nan")


def _changes(jobs: Sequence[Job], others: Sequence[Job]) -> pd.DataFrame:
    before, after = (_settings(side) for side in (jobs, others))
    changed = {key: (value, after[key]) for key, value in before.items() if key in after and value != after[key]}
    rows = [
        {"what": key, "first": first, "second": second}
        for key, (first, second) in changed.items()
        if not _is_of_our_code(key, changed)
    ]
    return pd.DataFrame(rows, columns=["what", "first", "second"])


def _is_of_our_code(key: str, changed: Mapping[str, tuple[str, str]]) -> bool:
    """Return whether a change is that of our code again, in whose repository a package or a config folder lies."""
    of_code = f"environment.{key.rpartition('.')[2]}"
    return key.startswith(_IN_A_REPOSITORY) and changed[key] == changed.get(of_code)


_IN_A_REPOSITORY = ("environment.configs.", "environment.packages.")


def _settings(jobs: Sequence[Job]) -> dict[str, str]:
    """Return what a sweep's jobs share: config keys with a single value, then all environment and numerics values."""
    values = {key: level_text(value) for key, value in shared_values(jobs_frame(jobs)).items()}
    for title, records in (
        ("environment", [flatten(job.environment) for job in jobs]),
        ("numerics", [job.numerics for job in jobs]),
    ):
        for key in dict.fromkeys(key for record in records for key in record):
            values[f"{title}.{key}"] = _distinct(record[key] for record in records if key in record)
    return values


def _distinct(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(map(level_text, values)))
