"""A job as its folder records it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mnist_resnet.config.metric import (
    Metric,
    best_of,
    is_image_classifier,
    last_values,
    predicts_numbers,
    primary_metric,
)
from mnist_resnet.job_folder import Metrics, Status, divergence, read_metrics

QUEUED = "queued"
"""Status of a job that `sweep.json` lists and that has not started."""

UNREADABLE = "unreadable"
"""Status of a job that `sweep.json` lists and whose `result.json` can't be read."""

SINGLE_RUNS = "single runs"
"""Sweep name shown for jobs that belong to no sweep."""


@dataclass(frozen=True)
class History:
    """A job's metrics by epoch.

    Attributes:
        folder: the job folder.
        result: the job's `result.json`.
        completed: whether the job trained all its epochs, so that `result` holds the final metrics.
    """

    folder: Path
    result: Mapping[str, Any]
    completed: bool

    @cached_property
    def epochs(self) -> list[Metrics]:
        """The metrics of each finished epoch; `metrics.jsonl` is read on first use."""
        return read_metrics(self.folder)

    @cached_property
    def last(self) -> Metrics:
        """The metrics of the last epoch, or the last value of those that it lacks; empty before the first has ended."""
        # result.json is written only when the status changes, so metrics.jsonl is newer while a job runs
        if self.completed or not self.epochs:
            return _numbers(self.result.get("last") or {})
        return last_values(self.epochs)

    @property
    def best(self) -> dict[str, Any]:
        """The metrics of the best epoch, plus `picked_on`; empty before the first epoch has ended.

        It is picked on the job's primary metric; of the image classifier, `picked_on` is `val` or `test`.
        """
        best = self.result.get("best")
        if self.completed and best:
            return {**_numbers(best), "picked_on": str(best.get("picked_on", "test"))}
        config = self.result.get("config") or {}
        if is_image_classifier(config):
            judged, best_value = ("loss", min) if predicts_numbers(config) else ("accuracy", max)
            picked_on = "val" if any(f"val_{judged}" in epoch for epoch in self.epochs) else "test"
            key = f"{picked_on}_{judged}"
        else:
            primary = primary_metric(config)
            if primary is None:
                return {}
            key = picked_on = primary.name
            best_value = max if primary.better == "higher" else min
        epochs = [epoch for epoch in self.epochs if key in epoch]
        return {**best_value(epochs, key=lambda epoch: epoch[key]), "picked_on": picked_on} if epochs else {}

    def value(self, metric: Metric) -> float | None:
        """Return the value that the job is judged by: the last one reported, or the best one; None if there is none."""
        if metric.pick == "last":
            return self.last.get(metric.name)
        values = [epoch[metric.name] for epoch in self.epochs if metric.name in epoch]
        return best_of(values, metric) if values else None


@dataclass(frozen=True)
class Job:
    """One job of a sweep, or a single run.

    Attributes:
        folder: the job folder; it need not exist while the job is queued.
        sweep: the sweep's name; None for a single run.
        status: a `Status`, `QUEUED` or `UNREADABLE`.
        result: `result.json`; for a job without one, its entry in `sweep.json`.
    """

    folder: Path
    sweep: str | None
    status: str
    result: dict[str, Any]

    @property
    def name(self) -> str:
        """The display name, such as `model=stem3x3,optim.lr=0.02`."""
        return str(self.result.get("name") or self.folder.name)

    @property
    def config(self) -> dict[str, Any]:
        """The whole resolved config."""
        return self.result.get("config") or {}

    @property
    def choices(self) -> dict[str, Any]:
        """The selected option of every config group."""
        return self.result.get("choices") or {}

    @property
    def swept(self) -> dict[str, Any]:
        """The values that the sweep set for this job, by config key or group."""
        return self.result.get("swept") or {}

    @property
    def numerics(self) -> dict[str, Any]:
        """Device, precision, threads, compiled or eager; empty before the job first starts."""
        return self.result.get("numerics") or {}

    @property
    def precision(self) -> str | None:
        """The precision that the job computed in, or was told to; None if it is chosen at the start, yet to come."""
        told = (self.config.get("trainer") or {}).get("precision")
        chosen = self.numerics.get("precision") or told
        return None if chosen in (None, "auto") else str(chosen)

    @property
    def environment(self) -> dict[str, Any]:
        """Package versions, commit and host."""
        return self.result.get("environment") or {}

    @property
    def signature(self) -> str | None:
        """Hash of every config value that can change the job's numbers."""
        return self.result.get("signature")

    @property
    def completed(self) -> bool:
        """Whether the job trained all its epochs."""
        return self.status == Status.COMPLETED

    @cached_property
    def history(self) -> History:
        """The job's metrics by epoch."""
        return History(self.folder, self.result, self.completed)

    @property
    def error(self) -> str | None:
        """One line on why the job did not complete; None if nothing went wrong."""
        if self.status == Status.INTERRUPTED and self.result.get("status") == Status.RUNNING:
            return "its process died"
        error = self.result.get("error")
        if not error:
            return None
        if self.status == Status.DIVERGED:
            metric = error.get("metric", "loss")  # older versions named none
            return divergence(metric, error.get("loss"), error.get("epoch"), error.get("step"))
        lines = str(error.get("message") or "").splitlines()
        return f"{error.get('type', 'error')}: {lines[0] if lines else ''}"


def _numbers(entries: Mapping[str, Any]) -> Metrics:
    """Return the numeric entries; a missing or non-numeric entry counts as not measured."""
    return {key: value for key, value in entries.items() if type(value) in (int, float)}
