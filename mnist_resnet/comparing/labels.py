"""Names of sweeps and jobs for readers: unique, and each number in one spelling."""

from collections.abc import Sequence
from pathlib import Path

from mnist_resnet.comparing.job import SINGLE_RUNS, Job
from mnist_resnet.config.levels import in_one_spelling


def label_sweeps(jobs: Sequence[Job]) -> list[str]:
    """Return the name of each job's sweep, with the folder added if several sweeps have the same name."""
    folders: dict[str, dict[Path, None]] = {}
    for job in jobs:
        folders.setdefault(job.sweep or SINGLE_RUNS, {})[job.folder.parent] = None
    return [_label(job, list(folders[job.sweep or SINGLE_RUNS])) for job in jobs]


def shown_name(job: Job) -> str:
    """Return a job's name with numbers spelled as levels are: an older folder's may say `1000000.0` for 1000000."""
    return ",".join(in_one_spelling(part, exactly=False) for part in job.name.split(","))


def _label(job: Job, namesakes: list[Path]) -> str:
    if job.sweep is None:
        return SINGLE_RUNS
    if len(namesakes) == 1:
        return job.sweep
    folder = job.folder.parent
    distinct = len({namesake.name for namesake in namesakes}) == len(namesakes)
    return f"{job.sweep} ({folder.name if distinct else folder})"
