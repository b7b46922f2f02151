"""What there is to say of each sweep as a whole: who started it, from which code, and what its jobs have in common."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

from mnist_resnet.comparing.frame import Job, flatten, level_text
from mnist_resnet.job_folder import SWEEP, UnreadableFolder, read_json

LEFT_OUT = ("sweep.", "tracking.", "claims")
"""Config keys without a say in the numbers, and too long for a list of differences."""


def sweeps_of(jobs: Sequence[Job], labels: Sequence[str]) -> list[dict[str, Any]]:
    """Each sweep in the order in which it comes: where it came from, its base config, its environments."""
    members: dict[str, list[Job]] = {}
    for job, label in zip(jobs, labels, strict=True):
        members.setdefault(label, []).append(job)
    return [_sweep(label, jobs) for label, jobs in members.items()]


def _sweep(label: str, jobs: list[Job]) -> dict[str, Any]:
    started = _read(jobs[0])
    command = started.get("command")
    return {
        "label": label,
        "folder": str(jobs[0].folder.parent),
        "created": text_or_none(started.get("created")),
        "command": " ".join(map(str, command)) if isinstance(command, list) else text_or_none(command),
        "commit": text_or_none(started.get("commit") or jobs[0].environment.get("commit")),
        "dirty": bool(started.get("dirty") or jobs[0].environment.get("dirty")),
        "jobs": len(jobs),
        "statuses": dict(Counter(job.status for job in jobs)),
        "base": base(jobs),
        "environment": _commonest([environment(job) for job in jobs if job.environment]),
    }


def _read(job: Job) -> dict[str, Any]:
    try:
        return read_json(job.folder.parent / SWEEP) if job.sweep else {}
    except UnreadableFolder:  # its remark was made when the jobs were read
        return {}


def text_or_none(value: Any) -> str | None:
    """A value as text, nothing as nothing."""
    return None if value is None else str(value)


def settings(job: Job) -> dict[str, str]:
    """The job's config by dotted key, and before it the options taken from the config groups (`model` = `stem3x3`)."""
    everything = {**job.choices, **flatten(job.config)}
    return {
        key: level_text(value)
        for key, value in everything.items()
        if not key.startswith(LEFT_OUT) and key != "tracking"
    }


def environment(job: Job) -> dict[str, str]:
    """Versions, host and numerics of the job, as text."""
    return {key: level_text(value) for key, value in {**job.environment, **job.numerics}.items()}


def base(jobs: Sequence[Job]) -> dict[str, str]:
    """By key, the value that most of the jobs have; of equally frequent ones the first job's."""
    return _commonest([settings(job) for job in jobs])


def _commonest(tables: list[dict[str, str]]) -> dict[str, str]:
    counts: dict[str, Counter[str]] = {}
    for table in tables:
        for key, value in table.items():
            counts.setdefault(key, Counter())[value] += 1
    return {key: counter.most_common(1)[0][0] for key, counter in counts.items()}
