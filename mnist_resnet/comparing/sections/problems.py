"""Report section on what failed or can't be read."""

from collections.abc import Sequence

from mnist_resnet.comparing.job import SINGLE_RUNS, Job
from mnist_resnet.comparing.report import Section


def remarks_section(remarks: Sequence[str], jobs: Sequence[Job]) -> Section | None:
    """Return one line for each remark and each job that failed, diverged or is unreadable; None without any."""
    bad = [job for job in jobs if job.status in ("failed", "diverged", "unreadable")]
    lines = [f"{job.sweep or SINGLE_RUNS}, {job.name}: {job.status}: {job.error or 'no result to read'}" for job in bad]
    return Section("Failed, or not readable", [*lines, *remarks]) if lines or remarks else None
