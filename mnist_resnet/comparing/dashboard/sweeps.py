"""Description of each sweep: its command, its code version, and what its jobs share."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mnist_resnet.comparing.job import Job
from mnist_resnet.config.levels import flatten, level_text
from mnist_resnet.job_folder import SWEEP, UnreadableFolder, read_json

OMITTED = ("sweep.", "tracking.", "claims")
"""Prefixes of config keys that do not change the numbers and would clutter a list of differences."""


def describe_sweeps(jobs: Sequence[Job], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Return each sweep in order of appearance: its origin, base config and environment."""
    members: dict[str, list[Job]] = {}
    for job, label in zip(jobs, labels, strict=True):
        members.setdefault(label, []).append(job)
    return [_describe(label, jobs) for label, jobs in members.items()]


def _describe(label: str, jobs: list[Job]) -> dict[str, Any]:
    record = _read_sweep(jobs[0])
    command = record.get("command")
    return {
        "label": label,
        "folder": str(jobs[0].folder.parent),
        "created": text_or_none(record.get("created")),
        "command": " ".join(map(str, command)) if isinstance(command, list) else text_or_none(command),
        "commit": text_or_none(record.get("commit") or jobs[0].environment.get("commit")),
        "dirty": bool(record.get("dirty") or jobs[0].environment.get("dirty")),
        "jobs": len(jobs),
        "statuses": dict(Counter(job.status for job in jobs)),
        "base": base(jobs),
        "environment": _most_common([environment(job) for job in jobs if job.environment]),
    }


def _read_sweep(job: Job) -> dict[str, Any]:
    try:
        return read_json(job.folder.parent / SWEEP) if job.sweep else {}
    except UnreadableFolder:  # load_jobs has already made a remark on it
        return {}


def text_or_none(value: Any) -> str | None:
    """Return a value as text; None stays None."""
    return None if value is None else str(value)


def settings(job: Job) -> dict[str, str]:
    """Return the selected options of config groups (`model` = `stem3x3`), then the config by dotted key."""
    values = {**job.choices, **flatten(job.config)}
    return {
        key: level_text(value) for key, value in values.items() if not key.startswith(OMITTED) and key != "tracking"
    }


def environment(job: Job) -> dict[str, str]:
    """Return the job's package versions, host and numerics as text."""
    return {key: level_text(value) for key, value in {**job.environment, **job.numerics}.items()}


def base(jobs: Sequence[Job]) -> dict[str, str]:
    """Return the most frequent value of each key; in a tie, the first job's."""
    return _most_common([settings(job) for job in jobs])


def _most_common(tables: list[dict[str, str]]) -> dict[str, str]:
    counts: dict[str, Counter[str]] = {}
    for table in tables:
        for key, value in table.items():
            counts.setdefault(key, Counter())[value] += 1
    return {key: counter.most_common(1)[0][0] for key, counter in counts.items()}
