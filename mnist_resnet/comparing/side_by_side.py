"""Two sweeps side by side: the same configs in both, paired, and what changed between them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pandas as pd

from mnist_resnet.comparing.cells import HEADINGS, cell
from mnist_resnet.comparing.factors import constant
from mnist_resnet.comparing.frame import UNNAMED, Job, jobs_frame, level_text
from mnist_resnet.comparing.report import Section
from mnist_resnet.comparing.statistics import Spread, spread


@dataclass(frozen=True)
class SideBySide:
    """What two sweeps have in common and in what they differ.

    Attributes:
        first, second: names of the sweeps.
        pairs: one row for each config (signature) that both completed: `name`, `first`, `second`, `difference`
            (second less first), in the metric's own unit.
        difference: the differences, summarised.
        changes: one row for each thing that is one way in the first sweep and another way in the second: `what`,
            `first`, `second`. Config keys count where each sweep has one value.
    """

    first: str
    second: str
    pairs: pd.DataFrame
    difference: Spread
    changes: pd.DataFrame


def side_by_side(jobs: Sequence[Job], metric: str = "test_accuracy") -> list[SideBySide]:
    """The first sweep among the jobs against each of the others."""
    sweeps: dict[tuple[str, str], list[Job]] = {}
    for job in jobs:
        # two sweeps of one name may lie in two places
        sweeps.setdefault((job.sweep or UNNAMED, str(job.folder.parent) if job.sweep else ""), []).append(job)
    first, *others = sweeps.items() if sweeps else [((("", ""), []))]
    return [_compare(first[0][0], first[1], name, second, metric) for (name, _), second in others]


def side_by_side_section(found: SideBySide, metric: str) -> Section:
    """Paired differences and changes, for the report."""
    unit = HEADINGS.get(metric, metric)
    lines = [f"{len(found.pairs)} configs were completed in both; metric: {unit}."]
    if found.difference.n > 1:
        low, high = (cell(metric, end) for end in (found.difference.low, found.difference.high))
        mean = cell(metric, found.difference.mean)
        lines.append(f"Mean difference, second less first: {mean}, 95 % interval {low} to {high}.")
    lines += [f"{row.what}: {row.first} → {row.second}" for row in found.changes.itertuples()]
    if found.changes.empty:
        lines.append("Nothing changed in config, code or environment.")
    table = pd.DataFrame(
        {
            "config": found.pairs["name"],
            found.first: [cell(metric, value) for value in found.pairs["first"]],
            f"{found.second} ": [cell(metric, value) for value in found.pairs["second"]],
            "difference": [cell(metric, value) for value in found.pairs["difference"]],
        },
        dtype=object,
    )
    return Section(f"{found.first} and {found.second}, side by side", lines, table)


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
    value = job.best.get(metric.removeprefix("best_")) if metric.startswith("best_") else job.last.get(metric)
    return float(value) if isinstance(value, (int, float)) else float("nan")


def _changes(jobs: Sequence[Job], others: Sequence[Job]) -> pd.DataFrame:
    before, after = (_constants(side) for side in (jobs, others))
    rows = [
        {"what": key, "first": value, "second": after[key]}
        for key, value in before.items()
        if key in after and value != after[key]
    ]
    return pd.DataFrame(rows, columns=["what", "first", "second"])


def _constants(jobs: Sequence[Job]) -> dict[str, str]:
    """What one sweep's jobs share: the config's keys of one value, then code, environment and numerics, all named."""
    values = {key: level_text(value) for key, value in constant(jobs_frame(jobs)).items()}
    for title, records in (
        ("environment", [job.environment for job in jobs]),
        ("numerics", [j.numerics for j in jobs]),
    ):
        for key in dict.fromkeys(key for record in records for key in record):
            values[f"{title}.{key}"] = _distinct(record[key] for record in records if key in record)
    return values


def _distinct(values: Iterable[object]) -> str:
    return ", ".join(dict.fromkeys(map(level_text, values)))
