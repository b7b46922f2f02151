"""Training curves of each job; the page draws the means and bands of the selected jobs."""

import math
from collections.abc import Sequence
from typing import Any

from mnist_resnet.comparing.job import Job

METRICS = ("test_accuracy", "train_accuracy", "val_accuracy", "test_loss", "train_loss", "val_loss")
"""Metrics of the image classifier that the page plots against the epoch."""

DIGITS = 6
"""Significant digits to keep: enough for a difference of one image in 60,000."""


def curves(jobs: Sequence[Job], own: Sequence[str] = ()) -> dict[str, list[list[float | None]]]:
    """Return each job's values from epoch 0 on, by metric; metrics that no job has are left out."""
    return {
        metric: [_values(job, metric) for job in jobs]
        for metric in dict.fromkeys([*METRICS, *own])
        if any(metric in epoch for job in jobs for epoch in job.history.epochs)
    }


def _values(job: Job, metric: str) -> list[float | None]:
    # epochs are numbered by line, so that an untrusted file without `epoch` still has a curve
    return [rounded(epoch.get(metric)) for epoch in job.history.epochs]


def rounded(value: Any) -> float | None:
    """Return the value with `DIGITS` significant digits; None unless it is a finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}")
