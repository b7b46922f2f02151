"""The objective of a search, for the plot of its history."""

from collections.abc import Sequence
from typing import Any

from mnist_resnet.comparing.dashboard.curves import rounded
from mnist_resnet.comparing.job import Job
from mnist_resnet.config.metric import objective_metric
from mnist_resnet.job_folder import SEARCH


def search(jobs: Sequence[Job]) -> dict[str, Any] | None:
    """Return the objective and its value in each job; None unless all jobs are trials of one search."""
    folders = {job.folder.parent for job in jobs}
    if len(folders) != 1 or not (folders.pop() / SEARCH).exists():
        return None
    described = objective_metric(jobs[0].config)
    if described is None:
        return None
    metric, epoch = described.name, str(jobs[0].config["sweep"].get("objective_epoch"))
    epoch = "best" if described.pick == "best" else epoch
    minimize = described.better == "lower"
    return {
        "name": f"{described.label}, %" if described.is_share else described.label,
        "epoch": epoch,
        "minimize": minimize,
        "unit": 100 if described.is_share else 1,
        "values": [rounded(_value(job, metric, epoch, minimize)) for job in jobs],
    }


def _value(job: Job, metric: str, epoch: str, minimize: bool) -> float | None:
    values = [line[metric] for line in job.history.epochs if metric in line]
    if not values or epoch == "last":
        return values[-1] if values else None
    return min(values) if minimize else max(values)
