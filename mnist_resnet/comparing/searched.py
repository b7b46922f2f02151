"""The objective of a search in each of its trials."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_resnet.comparing.job import Job
from mnist_resnet.config.metric import BEST, Metric, named, objective_metrics
from mnist_resnet.config.objective import objective_of
from mnist_resnet.job_folder import SEARCH, UnreadableFolder, read_json

INTERVAL = "interval("
"""What is typed for a range in which each number may be tried."""


@dataclass(frozen=True)
class Searched:
    """A search's objective.

    Attributes:
        metric: the metric; its direction is the search's.
        epoch: `last` or `best`.
        values: one per job, of a pruned trial the value where it ended; None before the first epoch.
    """

    metric: Metric
    epoch: str
    values: list[float | None]


def searched(jobs: Sequence[Job]) -> Searched | None:
    """Return the objective of a search; None unless all jobs are trials of one, and it has one objective."""
    if search_folder(jobs) is None or len(objective_metrics(jobs[0].config)) != 1:
        return None
    objective = objective_of(jobs[0].config)
    values = [objective.value(objective.metric, job.history.epochs) for job in jobs]
    return Searched(objective.metric, objective.epoch, values)


def judged_columns(jobs: Sequence[Job]) -> dict[Metric, list[float | None]]:
    """Return what a search judges its trials by: its objectives and the metrics of its constraints, one value per job.

    A metric whose value is that of the best epoch has `best_` before its name. Nothing unless all jobs are trials of
    one search.
    """
    if search_folder(jobs) is None or not objective_metrics(jobs[0].config):
        return {}
    objective = objective_of(jobs[0].config)
    columns = {}
    for metric in [*objective.metrics, *(constraint.metric for constraint in objective.constraints)]:
        is_best = objective.epoch == "best" and metric.pick != "best" and metric.scale != "seconds"
        shown = named(f"{BEST}{metric.name}", {metric.name: metric}) if is_best else metric
        columns[shown] = [objective.value(metric, job.history.epochs) for job in jobs]
    return columns


def search_folder(jobs: Sequence[Job]) -> Path | None:
    """Return the folder of the search that all jobs are trials of; None if they are not."""
    folders = {job.folder.parent for job in jobs}
    folder = folders.pop() if len(folders) == 1 else None
    return folder if folder is not None and (folder / SEARCH).exists() else None


def search_space(folder: Path) -> list[list[str]]:
    """Return each key that a search's folder lists, with its range as it was typed; empty if it can't be read."""
    try:
        parameters = read_json(folder / SEARCH)["space"]
        return [[str(parameter["key"]), str(parameter["typed"])] for parameter in parameters]
    except (UnreadableFolder, OSError, LookupError, TypeError):
        return []


def searched_intervals(jobs: Sequence[Job]) -> list[str]:
    """Return the keys that were searched over an interval; empty unless all jobs are trials of searches."""
    spaces = [search_space(folder) for folder in {job.folder.parent for job in jobs}]
    return list({key: None for space in spaces for key, typed in space if INTERVAL in typed}) if all(spaces) else []
