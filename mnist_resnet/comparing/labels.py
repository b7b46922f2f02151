"""Names of sweeps and jobs for readers: unique, and each number in one spelling."""

from collections.abc import Sequence
from pathlib import Path

from mnist_resnet.comparing.job import SINGLE_RUNS, Job
from mnist_resnet.comparing.levels import level_text


def label_sweeps(jobs: Sequence[Job]) -> list[str]:
    """Return the name of each job's sweep, with the folder added if several sweeps have the same name."""
    folders: dict[str, dict[Path, None]] = {}
    for job in jobs:
        folders.setdefault(job.sweep or SINGLE_RUNS, {})[job.folder.parent] = None
    return [_label(job, list(folders[job.sweep or SINGLE_RUNS])) for job in jobs]


def shown_name(job: Job) -> str:
    """Return a job's name with numbers spelled as levels are: a folder's may say `1000000.0` for the level 1000000."""
    spelled = {f"{key}={value}": f"{key}={level_text(value)}" for key, value in job.swept.items()}
    return ",".join(spelled.get(part, part) for part in job.name.split(","))


def _label(job: Job, namesakes: list[Path]) -> str:
    if job.sweep is None:
        return SINGLE_RUNS
    if len(namesakes) == 1:
        return job.sweep
    folder = job.folder.parent
    distinct = len({namesake.name for namesake in namesakes}) == len(namesakes)
    return f"{job.sweep} ({folder.name if distinct else folder})"
