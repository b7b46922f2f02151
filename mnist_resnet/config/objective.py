"""What a search judges its trials by: one metric or several, and limits that a trial must keep."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mnist_resnet.config.metric import (
    BUILT_IN,
    Metric,
    best_of,
    declared_metrics,
    last_values,
    named,
    objective_metrics,
)
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import Metrics

CONSTRAINT = re.compile(r"\s*(\w+)\s*(<=|>=)\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)\s*")
"""A limit, such as `training_seconds <= 60`."""


@dataclass(frozen=True)
class Constraint:
    """A limit on a metric.

    Attributes:
        metric: the metric.
        is_upper: whether it must not be above the limit; else it must not be below.
        limit: the limit.
    """

    metric: Metric
    is_upper: bool
    limit: float

    def violation(self, value: float) -> float:
        """Return by how much a value breaks the limit; 0 or less if it keeps it."""
        return value - self.limit if self.is_upper else self.limit - value

    def __str__(self) -> str:
        return f"{self.metric.name}{'<=' if self.is_upper else '>='}{self.limit:g}"


@dataclass(frozen=True)
class Objective:
    """What a search judges its trials by.

    Attributes:
        metrics: one metric, or several that are traded off.
        epoch: epoch by which a completed trial is judged: `last`, or `best` by the first of `metrics`.
        constraints: limits that a trial must keep.
    """

    metrics: tuple[Metric, ...]
    epoch: str
    constraints: tuple[Constraint, ...] = ()

    @property
    def metric(self) -> Metric:
        """The only metric, or the first one."""
        return self.metrics[0]

    @property
    def names(self) -> list[str]:
        """Names of `metrics`."""
        return [metric.name for metric in self.metrics]

    @property
    def directions(self) -> list[Literal["maximize", "minimize"]]:
        """Direction of each metric, as Optuna spells it."""
        return [direction(metric) for metric in self.metrics]

    def values(self, history: Sequence[Metrics]) -> list[float] | None:
        """Return a completed trial's value of each metric; None if its history lacks one.

        Args:
            history: the metrics by epoch.
        """
        return self._values(self.metrics, history)

    def value(self, metric: Metric, history: Sequence[Metrics]) -> float | None:
        """Return a trial's value of any metric in the epoch by which it is judged; None if its history lacks it."""
        values = self._values([metric], history)
        return values[0] if values else None

    def violations(self, history: Sequence[Metrics]) -> dict[str, float] | None:
        """Return by how much a completed trial breaks each constraint; 0 or less if it keeps it.

        None if its history lacks the metric of one.
        """
        values = self._values([constraint.metric for constraint in self.constraints], history)
        if values is None:
            return None
        pairs = zip(self.constraints, values, strict=True)
        return {str(constraint): constraint.violation(value) for constraint, value in pairs}

    def is_feasible(self, history: Sequence[Metrics]) -> bool:
        """Return whether a completed trial keeps all constraints."""
        violations = self.violations(history)
        return violations is not None and all(violation <= 0 for violation in violations.values())

    def text(self, values: Sequence[float]) -> str:
        """Return values of the metrics as text."""
        if len(self.metrics) == 1:
            return self.metrics[0].text(values[0])
        return ", ".join(
            f"{metric.name} {metric.text(value)}" for metric, value in zip(self.metrics, values, strict=True)
        )

    def __str__(self) -> str:
        """Return it in words, such as `val_accuracy of the last epoch`."""
        report = "epoch" if self.metric.name in BUILT_IN else "report"
        judged = [metric.name for metric in self.metrics if metric.scale != "seconds"]
        summed = [metric.name for metric in self.metrics if metric.scale == "seconds"]
        parts = [f"{', '.join(judged)} of the {self.epoch} {report}"] if judged else []
        parts += [f"{', '.join(summed)} of all {report}s"] if summed else []
        return ", ".join([*parts, *map(str, self.constraints)])

    def _values(self, metrics: Sequence[Metric], history: Sequence[Metrics]) -> list[float] | None:
        judged = self._judged(history)
        if judged is None or any(metric.name not in judged for metric in metrics):
            return None
        return [
            _total(metric.name, history) if metric.scale == "seconds" else judged[metric.name] for metric in metrics
        ]

    def _judged(self, history: Sequence[Metrics]) -> Metrics | None:
        """Return the metrics by which a trial is judged: the last values, or those of the best epoch."""
        first = self.metrics[0]
        lines = [line for line in history if first.name in line]
        if self.epoch == "last" or first.scale == "seconds":
            return last_values(history) if lines else None
        best = best_of([line[first.name] for line in lines], first) if lines else None
        return next((line for line in lines if line[first.name] == best), None)


def objective_of(config: Mapping[str, Any]) -> Objective:
    """Return what a resolved config's search is judged by: what it names, or its task's default.

    Raises:
        UsageError: It names nothing, and none of the metrics that it declares has a direction.
    """
    metrics, sweep = objective_metrics(config), config["sweep"]
    if not metrics:
        raise UsageError("sweep.objective=null: no metric has a direction; declare one under `metrics`, with `better`")
    known = dict(BUILT_IN) | declared_metrics(config)
    constraints = tuple(_constraint(text, known) for text in sweep.get("constraints", []))
    return Objective(
        tuple(metrics), "best" if metrics[0].pick == "best" else sweep.get("objective_epoch", "last"), constraints
    )


def direction(metric: Metric) -> Literal["maximize", "minimize"]:
    """Return whether the metric is to be maximized or minimized, as Optuna spells it."""
    return "minimize" if metric.better == "lower" else "maximize"


def _constraint(text: str, known: Mapping[str, Metric]) -> Constraint:
    found = CONSTRAINT.fullmatch(text)
    assert found is not None  # the schema has checked it
    name, sign, limit = found.groups()
    return Constraint(named(name, known), sign == "<=", float(limit))


def _total(name: str, history: Sequence[Metrics]) -> float:
    return float(sum(line.get(name, 0.0) for line in history))
