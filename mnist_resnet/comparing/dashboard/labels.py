"""How the page names sweeps."""

from collections.abc import Sequence
from pathlib import Path

from mnist_resnet.comparing.frame import UNNAMED, Job


def label_sweeps(jobs: Sequence[Job]) -> list[str]:
    """Each job's sweep, by a name that tells apart two folders whose sweeps are called the same."""
    folders: dict[str, dict[Path, None]] = {}
    for job in jobs:
        folders.setdefault(job.sweep or UNNAMED, {})[job.folder.parent] = None
    return [_label(job, list(folders[job.sweep or UNNAMED])) for job in jobs]


def _label(job: Job, namesakes: list[Path]) -> str:
    if job.sweep is None:
        return UNNAMED
    if len(namesakes) == 1:
        return job.sweep
    folder = job.folder.parent
    distinct = len({namesake.name for namesake in namesakes}) == len(namesakes)
    return f"{job.sweep} ({folder.name if distinct else folder})"
