"""Compares two sweeps: configs that both completed, paired, and what changed between the sweeps."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from mnist_resnet.comparing.cells import HEADINGS, format_cell
from mnist_resnet.comparing.factors import shared_values
from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job import SINGLE_RUNS, Job
from mnist_resnet.comparing.levels import level_text
from mnist_resnet.comparing.report import Section
from mnist_resnet.comparing.statistics import Spread, spread


@dataclass(frozen=True)
class SideBySide:
    """The comparison of two sweeps.

    Attributes:
        first, second: names of the sweeps.
        pairs: one row for each config (signature) that both completed: `name`, `first`, `second`, `difference`
            (second minus first), in the metric's own unit.
        difference: summary of the differences.
        changes: one row for each setting that differs between the sweeps: `what`, `first`, `second`. A config key
            counts if it has one value within each sweep.
    """

    first: str
    second: str
    pairs: pd.DataFrame
    difference: Spread
    changes: pd.DataFrame


def side_by_side(jobs: Sequence[Job], metric: str = "test_accuracy") -> list[SideBySide]:
    """Compare the first sweep among the jobs with each of the other sweeps."""
    sweeps: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        # sweeps in two folders may have the same name
        sweeps.setdefault((job.sweep or SINGLE_RUNS, str(job.folder.parent) if job.sweep else ""), []).append(job)
    first, *others = sweeps.items() if sweeps else [((("", ""), []))]
    return [_compare(first[0][0], first[1], name, second, metric) for (name, _), second in others]


def side_by_side_section(comparison: SideBySide, metric: str) -> Section:
    """Return the report section with paired differences and changes."""
    unit = HEADINGS.get(metric, metric)
    lines = [f"{len(comparison.pairs)} configs were completed in both; metric: {unit}."]
    if comparison.difference.n > 1:
        low, high = (format_cell(metric, end) for end in (comparison.difference.low, comparison.difference.high))
        mean = format_cell(metric, comparison.difference.mean)
        lines.append(f"Mean difference, second less first: {mean}, 95 % interval {low} to {high}.")
    lines += [f"{row.what}: {row.first} → {row.second}" for row in comparison.changes.itertuples()]
    if comparison.changes.empty:
        lines.append("Nothing changed in config, code or environment.")
    table = pd.DataFrame(
        {
            "config": comparison.pairs["name"],
            comparison.first: [format_cell(metric, value) for value in comparison.pairs["first"]],
            f"{comparison.second} ": [format_cell(metric, value) for value in comparison.pairs["second"]],
            "difference": [format_cell(metric, value) for value in comparison.pairs["difference"]],
        },
        dtype=object,
    )
    return Section(f"{comparison.first} and {comparison.second}, side by side", lines, table)


def _compare(first: str, jobs: Sequence[Job], second: str, others: Sequence[Job], metric: str) -> SideBySide:
    sides = [{job.signature: job for job in side if job.completed and job.signature} for side in (jobs, others)]
    rows = [
        {"name": job.name, "first": _value(job, metric), "second": _value(sides[1][signature], metric)}
        for signature, job in sides[0].items()
        if signature in sides[1]
    ]
    pairs = pd.DataFrame(rows, columns=["name", "first", "second"])
    pairs["difference"] = pairs["second"] - pairs["first"]
    return SideBySide(first, second, pairs, spread(pairs["difference"]), _changes(jobs, others))


def _value(job: Job, metric: str) -> float:
    history = job.history
    value = history.best.get(metric.removeprefix("best_")) if metric.startswith("best_") else history.last.get(metric)
    return float(value) if isinstance(value, (int, float)) else float("nan")


def _changes(jobs: Sequence[Job], others: Sequence[Job]) -> pd.DataFrame:
    before, after = (_settings(side) for side in (jobs, others))
    rows = [
        {"what": key, "first": value, "second": after[key]}
        for key, value in before.items()
        if key in after and value != after[key]
    ]
    return pd.DataFrame(rows, columns=["what", "first", "second"])


def _settings(jobs: Sequence[Job]) -> dict[str, str]:
    """Return what a sweep's jobs share: config keys with a single value, then all environment and numerics values."""
    values = {key: level_text(value) for key, value in shared_values(jobs_frame(jobs)).items()}
    for title, records in (
        ("environment", [job.environment for job in jobs]),
        ("numerics", [job.numerics for job in jobs]),
    ):
        for key in dict.fromkeys(key for record in records for key in record):
            values[f"{title}.{key}"] = _distinct(record[key] for record in records if key in record)
    return values


def _distinct(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(map(level_text, values)))
