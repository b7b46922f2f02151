"""Training curves, job by job; the page draws means and bands of the jobs it shows."""

import math
from collections.abc import Sequence
from typing import Any

from mnist_resnet.comparing.frame import Job

MEASURES = ("test_accuracy", "train_accuracy", "val_accuracy", "test_loss", "train_loss", "val_loss")
"""Columns of `metrics.jsonl` that the page draws over the epochs."""

DIGITS = 6
"""Significant digits kept: one image of 60,000 still shows."""


def curves(jobs: Sequence[Job]) -> dict[str, list[list[float | None]]]:
    """By measure, each job's values from epoch 0 on; measures that no job has are left out."""
    return {
        measure: [_values(job, measure) for job in jobs]
        for measure in MEASURES
        if any(measure in epoch for job in jobs for epoch in job.metrics)
    }


def _values(job: Job, measure: str) -> list[float | None]:
    # by the line's place, so that a file from elsewhere without `epoch` still has a curve
    return [rounded(epoch.get(measure)) for epoch in job.metrics]


def rounded(value: Any) -> float | None:
    """The value with few digits; None for what is no finite number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
        return None
    return float(f"{value:.{DIGITS}g}")
