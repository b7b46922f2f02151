"""What the trials of a search are judged by; who only looks at a search needs no Optuna."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mnist_resnet.job_folder import Metrics


def objective_of(config: Mapping[str, Any]) -> tuple[str, str]:
    """Metric and epoch of the objective."""
    return config["sweep"]["objective"], config["sweep"]["objective_epoch"]


def direction(metric: str) -> Literal["maximize", "minimize"]:
    """`maximize` or `minimize`, as Optuna spells them."""
    return "minimize" if metric.endswith("_loss") else "maximize"


def objective_value(history: Sequence[Metrics], metric: str, epoch: str) -> float | None:
    """The figure that a completed trial is judged by: of its `last` or its `best` epoch; None if nothing says it."""
    figures = [line[metric] for line in history if metric in line]
    if not figures or epoch == "last":
        return figures[-1] if figures else None
    return max(figures) if direction(metric) == "maximize" else min(figures)


def shown(metric: str, value: float) -> str:
    """A figure for people."""
    return f"{100 * value:.2f} %" if metric.endswith("_accuracy") else f"{value:.4f}"
