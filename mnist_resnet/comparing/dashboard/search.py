"""A search for the plots of it: the objective in each trial, what fewer trials would have found, the Pareto front."""

from collections.abc import Sequence
from typing import Any

from mnist_resnet.comparing.dashboard.curves import rounded
from mnist_resnet.comparing.expected_best import expected_best
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.pareto import common_objective, pareto_front
from mnist_resnet.comparing.searched import search_folder, search_space, searched
from mnist_resnet.config.metric import Metric


def search(jobs: Sequence[Job]) -> dict[str, Any] | None:
    """Return the objective, its value in each job, and the expected best value by trials; None for other sweeps."""
    found = searched(jobs)
    if found is None:
        return None
    minimize = found.metric.better == "lower"
    expected = expected_best([value for value in found.values if value is not None], minimize)
    return {
        "key": found.metric.name,
        "name": _heading(found.metric),
        "epoch": found.epoch,
        "minimize": minimize,
        "unit": _unit(found.metric),
        "values": [rounded(value) for value in found.values],
        "expected": [[rounded(best.mean), rounded(best.low), rounded(best.high)] for best in expected],
    }


def front(jobs: Sequence[Job]) -> dict[str, Any] | None:
    """Return the objectives of a search with several, their values in each job, and the jobs on the Pareto front.

    None for other sweeps.
    """
    objective = common_objective(jobs)
    if objective is None:
        return None
    values = [objective.values(job.history.epochs) if job.completed else None for job in jobs]
    return {
        "objectives": [
            {"name": _heading(metric), "unit": _unit(metric), "minimize": direction == "minimize"}
            for metric, direction in zip(objective.metrics, objective.directions, strict=True)
        ],
        "values": [of_job and [rounded(value) for value in of_job] for of_job in values],
        "front": list(pareto_front(jobs, objective)),
        "text": str(objective),
    }


def space(jobs: Sequence[Job]) -> list[list[str]]:
    """Return each searched key with its range as it was typed; empty for other sweeps."""
    folder = search_folder(jobs)
    return search_space(folder) if folder else []


def _heading(metric: Metric) -> str:
    return f"{metric.label}, %" if metric.is_share else metric.heading or metric.label


def _unit(metric: Metric) -> int:
    return 100 if metric.is_share else 1
