"""The objective of a search; reading it needs no Optuna."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mnist_resnet.config.metric import BUILT_IN, Metric, best_of, objective_metric
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import Metrics


@dataclass(frozen=True)
class Objective:
    """What a search's trials are judged by.

    Attributes:
        metric: A metric with a direction.
        epoch: The report by which a completed trial is judged: `last` or `best`.
    """

    metric: Metric
    epoch: str

    def __str__(self) -> str:
        """Return it in words, such as `val_accuracy of the last epoch`."""
        return f"{self.metric.name} of the {self.epoch} {'epoch' if self.metric.name in BUILT_IN else 'report'}"

    @property
    def direction(self) -> Literal["maximize", "minimize"]:
        """Whether the metric is to be maximized or minimized, as Optuna spells it."""
        return "minimize" if self.metric.better == "lower" else "maximize"

    def best(self, values: list[float]) -> float:
        """Return the best of some values."""
        return best_of(values, self.metric)

    def value(self, history: Sequence[Metrics]) -> float | None:
        """Return the objective of a completed trial; None if its history lacks the metric."""
        values = [line[self.metric.name] for line in history if self.metric.name in line]
        if not values or self.epoch == "last":
            return values[-1] if values else None
        return self.best(values)


def objective_of(config: Mapping[str, Any]) -> Objective:
    """Return the objective that a resolved config names, or its task's default.

    Raises:
        UsageError: It names none, and none of the metrics that it declares has a direction.
    """
    metric = objective_metric(config)
    if metric is not None:
        return Objective(metric, "best" if metric.pick == "best" else config["sweep"]["objective_epoch"])
    raise UsageError("sweep.objective=null: no metric has a direction; declare one under `metrics`, with `better`")
