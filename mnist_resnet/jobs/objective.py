"""The objective of a search; reading it needs no Optuna."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mnist_resnet.job_folder import Metrics


def objective_of(config: Mapping[str, Any]) -> tuple[str, str]:
    """Return metric and epoch of the objective, such as `val_accuracy` and `last`."""
    return config["sweep"]["objective"], config["sweep"]["objective_epoch"]


def direction(metric: str) -> Literal["maximize", "minimize"]:
    """Return whether the metric is to be maximized or minimized, as Optuna spells it."""
    return "minimize" if metric.endswith("_loss") else "maximize"


def objective_value(history: Sequence[Metrics], metric: str, epoch: str) -> float | None:
    """Return a completed trial's objective, of its `last` or its `best` epoch; None if its history lacks the metric."""
    values = [line[metric] for line in history if metric in line]
    if not values or epoch == "last":
        return values[-1] if values else None
    return max(values) if direction(metric) == "maximize" else min(values)


def shown(metric: str, value: float) -> str:
    """Format a value of the objective."""
    return f"{100 * value:.2f} %" if metric.endswith("_accuracy") else f"{value:.4f}"
