"""The metrics that jobs report, and the columns of a frame that hold them."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from mnist_resnet.comparing.job import Job
from mnist_resnet.config.metric import (
    BUILT_IN,
    Metric,
    declared_metrics,
    is_image_classifier,
    known_metrics,
    named,
    predicts_numbers,
)

CLASSIFIER_METRICS = ("train_loss", "train_accuracy", "test_loss", "test_accuracy", "val_loss", "val_accuracy")

NOT_METRICS = ("epoch", "step", "lr", "seconds", "training_seconds", "images_per_second", "picked_on")
"""Keys of a line of `metrics.jsonl` that are no results of the job."""

SHOWN = ("train_accuracy", "test_accuracy", "best_test_accuracy")
"""The image classifier's metrics in the table of jobs."""

LOSSES = ("test_loss", "train_loss")
"""The image classifier's metrics where its targets are numbers."""

CLASSIFIER_DEFAULTS = ("test_accuracy", "train_accuracy")
"""Metrics of the image classifier that are summarised unless others are asked for."""


def describe_metrics(jobs: Sequence[Job]) -> dict[str, Any]:
    """Return a frame's attributes on the jobs' metrics.

    Returns:
        `metrics`: the metric in each measured column, by name; of two declarations of a name the first counts.
        `summarised`: the names of those that are summarised over seeds by default; effects are those on the first.
        `in_table`: the names of the columns in the table of jobs.
    """
    have_accuracy = any(map(_has_accuracy, jobs)) or not jobs
    found: dict[str, Metric] = {}
    own: dict[str, None] = {}
    for job in jobs:
        declared = declared_metrics(job.config)
        undeclared = [name for name in job.history.last if name not in (*NOT_METRICS, *CLASSIFIER_METRICS, *declared)]
        known = known_metrics(job.config)
        losses = [name for name in LOSSES if predicts_numbers(job.config) and name not in declared]
        if not is_image_classifier(job.config):
            undeclared += [name for name in job.history.last if name in CLASSIFIER_METRICS and name not in declared]
        for name in [*losses, *declared, *undeclared]:
            own.setdefault(name)
            found.setdefault(name, named(name, known))
    summarised, in_table = list(own), list(own)
    if have_accuracy:
        names = [*CLASSIFIER_METRICS, "best_test_accuracy", "best_val_accuracy"]
        found = {name: named(name) for name in names if name not in found} | found
        summarised = [*CLASSIFIER_DEFAULTS, *(name for name in own if name not in CLASSIFIER_DEFAULTS)]
        in_table = [*SHOWN, "best_epoch", *in_table]
    times = {name: BUILT_IN[name] for name in ("seconds", "training_seconds", "images_per_second")}
    return {"metrics": found | times, "summarised": summarised, "in_table": list(dict.fromkeys(in_table))}


def _has_accuracy(job: Job) -> bool:
    return is_image_classifier(job.config) and not predicts_numbers(job.config)


def metric_of(frame: pd.DataFrame, name: str) -> Metric:
    """Return the metric in a column of a frame; one that no job of the frame declares is known by its name alone."""
    return frame.attrs.get("metrics", {}).get(name) or named(name)


def summarised(frame: pd.DataFrame) -> list[str]:
    """Return the names of the metrics that are summarised by default."""
    return list(frame.attrs.get("summarised", CLASSIFIER_DEFAULTS))


def own_metrics(frame: pd.DataFrame) -> list[str]:
    """Return the names of the metrics that the image classifier does not have of itself."""
    return [name for name in frame.attrs.get("in_table", ()) if name in frame.attrs["metrics"] and name not in SHOWN]


def measured_columns(frame: pd.DataFrame) -> list[str]:
    """Return the columns that hold numbers that jobs measured, best ones and times included."""
    return [name for name in frame.attrs.get("metrics", BUILT_IN) if name in frame]
