"""One entry a job: its row in the table, and what opens when the row is opened."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from mnist_resnet.comparing.dashboard.curves import rounded
from mnist_resnet.comparing.dashboard.sweeps import environment, settings
from mnist_resnet.comparing.frame import Job, level_text
from mnist_resnet.job_folder import LOG

MEASURES = (
    "test_accuracy", "best_test_accuracy", "train_accuracy", "val_accuracy", "best_val_accuracy",
    "test_loss", "train_loss", "best_epoch", "seconds", "images_per_second",
)  # fmt: skip
"""Columns of the frame that an entry repeats."""

LOG_CHARACTERS = 1_500_000
"""For the log tails of all jobs together, so that a large sweep's page stays small."""

MOST_NOTES = 20
LONGEST_TAIL = 3_000
LONGEST_TRACEBACK = 6_000


def runs(
    jobs: Sequence[Job],
    labels: Sequence[str],
    sweeps: Sequence[dict[str, Any]],
    factors: Sequence[dict[str, Any]],
    frame: pd.DataFrame,
) -> list[dict[str, Any]]:
    """The entries, in the order of `jobs`."""
    number = {sweep["label"]: index for index, sweep in enumerate(sweeps)}
    levels = [_level_numbers(factor, frame) for factor in factors]
    tail = min(LONGEST_TAIL, LOG_CHARACTERS // max(1, len(jobs)))
    measured = {measure: frame[measure].tolist() for measure in MEASURES}
    return [
        {
            "name": job.name,
            "index": job.result.get("index"),
            "status": job.status,
            "sweep": number[labels[index]],
            "levels": [column[index] for column in levels],
            **{measure: rounded(values[index]) for measure, values in measured.items()},
            "picked_on": job.best.get("picked_on"),
            "epochs": job.result.get("epochs"),
            "done": int(frame["epochs_completed"].iloc[index]),
            **_details(job, sweeps[number[labels[index]]], tail),
        }
        for index, job in enumerate(jobs)
    ]


def noted(jobs: Sequence[Job]) -> list[tuple[str, int]]:
    """What a reader must know, as the jobs themselves say it, with how many say so; the most frequent first."""
    return Counter(note for job in jobs for note in _notes(job)).most_common(MOST_NOTES)


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
    """What differs: key, value in `base`, value in `other`; None where it has none."""
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
    whole = error.get("traceback") or error.get("message") or json.dumps(error)
    return str(whole)[-LONGEST_TRACEBACK:]


def _tail(path: Path, characters: int) -> str:
    """The end of a text file, from the start of a line; empty where there is none to read."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - characters))
            content = file.read().decode(errors="replace")
    except OSError:
        return ""
    return content if size <= characters else content.partition("\n")[2]
