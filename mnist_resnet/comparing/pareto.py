"""The Pareto front of a search with several objectives: the jobs that no other job beats in all of them."""

from collections.abc import Sequence

import pandas as pd

from mnist_resnet.comparing.cells import format_cell, format_metric
from mnist_resnet.comparing.factors import distinguishing_factors
from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.report import Section
from mnist_resnet.config.objective import Objective, objective_of


def pareto_section(jobs: Sequence[Job]) -> Section | None:
    """Return a table of the jobs on the front; None unless all jobs are of one search with several objectives."""
    objective = common_objective(jobs)
    if objective is None:
        return None
    front = pareto_front(jobs, objective)
    frame = jobs_frame(jobs)
    factors = distinguishing_factors(frame)
    rows = []
    for index, values in front.items():
        levels = {factor: format_cell(factor, frame.iloc[index][factor]) for factor in factors}
        judged = {
            metric.title: format_metric(metric, value) for metric, value in zip(objective.metrics, values, strict=True)
        }
        rows.append({**levels, **judged})
    lines = [
        f"The jobs that no other one beats in all objectives: {objective}.",
        f"{len(front)} of {sum(job.completed for job in jobs)} completed jobs are on the front.",
    ]
    return Section("Pareto front", lines, pd.DataFrame(rows, dtype=object))


def common_objective(jobs: Sequence[Job]) -> Objective | None:
    """Return what all jobs are judged by; None unless they are of one search with several objectives."""
    objectives = {_objective(job) for job in jobs}
    objective = objectives.pop() if len(objectives) == 1 else None
    return objective if objective is not None and len(objective.metrics) > 1 else None


def pareto_front(jobs: Sequence[Job], objective: Objective) -> dict[int, list[float]]:
    """Return the jobs on the front: their positions in `jobs`, each with its values, in the order of the first one.

    A completed job is on the front if it keeps the constraints and no other such job is as good in each objective and
    better in one.
    """
    signs = [-1 if direction == "maximize" else 1 for direction in objective.directions]
    values = {
        index: found
        for index, job in enumerate(jobs)
        if job.completed
        and objective.is_feasible(job.history.epochs)
        and (found := objective.values(job.history.epochs)) is not None
    }
    losses = {
        index: [sign * value for sign, value in zip(signs, judged, strict=True)] for index, judged in values.items()
    }
    front = [index for index in values if not any(_beats(other, losses[index]) for other in losses.values())]
    return {index: values[index] for index in sorted(front, key=lambda index: losses[index])}


def _beats(one: Sequence[float], other: Sequence[float]) -> bool:
    return list(one) != list(other) and all(a <= b for a, b in zip(one, other, strict=True))


def _objective(job: Job) -> Objective | None:
    sweep = job.config.get("sweep")
    return objective_of(job.config) if isinstance(sweep, dict) and isinstance(sweep.get("objective"), list) else None
