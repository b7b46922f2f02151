"""The page's entry for each job: its table row, and the details behind it."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mnist_resnet.comparing.dashboard.curves import rounded
from mnist_resnet.comparing.dashboard.sweeps import environment, settings
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.labels import shown_name
from mnist_resnet.comparing.reported import own_metrics
from mnist_resnet.config.levels import level_text
from mnist_resnet.job_folder import LOG
from mnist_resnet.stored_file import open_stored

MEASURES = (
    "test_accuracy", "best_test_accuracy", "train_accuracy", "val_accuracy", "best_val_accuracy",
    "test_loss", "train_loss", "val_loss", "best_epoch", "seconds", "training_seconds", "images_per_second",
)  # fmt: skip
"""Columns of the frame to copy into each entry, where it has them, beside the metrics that jobs declare."""

LOG_CHARACTERS = 1_500_000
"""Total length of the log tails of all jobs; it keeps the page of a large sweep small."""

MAX_NOTES = 20
MAX_TAIL = 3_000
"""Largest length of one log tail, in characters."""
MAX_TRACEBACK = 6_000
"""Largest length of a traceback, in characters."""


def runs(
    jobs: Sequence[Job],
    labels: Sequence[str],
    sweeps: Sequence[dict[str, Any]],
    factors: Sequence[dict[str, Any]],
    frame: pd.DataFrame,
) -> list[dict[str, Any]]:
    """Return the entries in the order of `jobs`."""
    number = {sweep["label"]: index for index, sweep in enumerate(sweeps)}
    levels = [_level_numbers(factor, frame) for factor in factors]
    tail = min(MAX_TAIL, LOG_CHARACTERS // max(1, len(jobs)))
    measured = {name: frame[name].tolist() for name in dict.fromkeys([*MEASURES, *own_metrics(frame)]) if name in frame}
    return [
        {
            "name": shown_name(job),
            "index": job.result.get("index"),
            "status": job.status,
            "sweep": number[labels[index]],
            "levels": [column[index] for column in levels],
            **{measure: rounded(values[index]) for measure, values in measured.items()},
            "picked_on": job.history.best.get("picked_on"),
            "epochs": job.result.get("epochs"),
            "done": int(frame["epochs_completed"].iloc[index]),
            **_details(job, sweeps[number[labels[index]]], tail),
        }
        for index, job in enumerate(jobs)
    ]


def count_notes(jobs: Sequence[Job]) -> list[tuple[str, int]]:
    """Return the notes in the jobs' results with the number of jobs that have them, most frequent first."""
    return Counter(note for job in jobs for note in _notes(job)).most_common(MAX_NOTES)


def _notes(job: Job) -> list[str]:
    notes = job.result.get("notes")
    return [str(note) for note in notes] if isinstance(notes, list) else []


def _level_numbers(factor: dict[str, Any], frame: pd.DataFrame) -> list[int]:
    number = {level: index for index, level in enumerate(factor["levels"])}
    return [number[level_text(value)] for value in frame[factor["key"]]]


def _details(job: Job, sweep: dict[str, Any], tail: int) -> dict[str, Any]:
    attempts = job.result.get("attempts")
    return {
        "folder": job.folder.name,
        "signature": str(job.signature or "")[:16],
        "parameters": job.result.get("parameters"),
        "changed": difference(sweep["base"], settings(job)),
        "environment": difference(sweep["environment"], environment(job)) if job.environment else [],
        "attempts": [_attempt(attempt) for attempt in attempts] if isinstance(attempts, list) else [],
        "error": job.error,
        "traceback": _traceback(job),
        "notes": _notes(job),
        "log": _tail(job.folder / LOG, tail),
    }


def difference(base: dict[str, str], other: dict[str, str]) -> list[list[str | None]]:
    """Return what differs as rows of key, value in `base`, value in `other`; None for a missing value."""
    keys = dict.fromkeys([*base, *other])
    return [[key, base.get(key), other.get(key)] for key in keys if base.get(key) != other.get(key)]


def _attempt(attempt: Any) -> str:
    if not isinstance(attempt, dict):
        return str(attempt)
    return ", ".join(str(attempt[key]) for key in ("started", "host", "commit", "status") if attempt.get(key))


def _traceback(job: Job) -> str | None:
    error = job.result.get("error")
    if not isinstance(error, dict):
        return None
    text = error.get("traceback") or error.get("message") or json.dumps(error)
    return str(text)[-MAX_TRACEBACK:]


def _tail(path: Path, characters: int) -> str:
    """Return the end of a text file, from the start of a line; empty if it can't be read."""
    try:
        with open_stored(path) as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - characters))
            content = file.read().decode(errors="replace")
    except OSError:
        return ""
    return content if size <= characters else content.partition("\n")[2]
