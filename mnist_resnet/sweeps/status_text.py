"""Renders a sweep's status as text, for a terminal, a file or a live display."""

import shlex
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mnist_resnet.config.metric import is_image_classifier
from mnist_resnet.config.objective import objective_of
from mnist_resnet.job_folder import Status
from mnist_resnet.sweeps.cost import epochs_of
from mnist_resnet.sweeps.folder import QUEUED, UNREADABLE
from mnist_resnet.sweeps.output_folder import is_record
from mnist_resnet.sweeps.restore import restore_command
from mnist_resnet.sweeps.status import JobStatus, SweepStatus
from mnist_resnet.tracking.console import duration

ORDER = (*Status, QUEUED, UNREADABLE)
MAX_LISTED = 40
"""Most jobs that are listed by name; of the rest only the number is shown."""


def headline(status: SweepStatus) -> str:
    """Return the number of jobs by status and the time left, in one line."""
    noun = "job" if status.trials is None else "trial"
    counts = ", ".join(f"{status.counts[name]} {name}" for name in ORDER if status.counts[name])
    total = f"{status.total} {noun}{'s' * (status.total != 1)}"
    return f"{status.sweep.folder}: {total}{': ' + counts if counts else ''}{time_left(status)}"


def time_left(status: SweepStatus) -> str:
    """Return the time left as a clause; empty if all jobs have ended or none is running."""
    if not status.left or not status.counts[Status.RUNNING]:
        return ""
    seconds = status.seconds_left()
    if seconds is not None:
        return f"; {duration(seconds)} left"
    has_epochs = any(is_image_classifier(job.job.config) for job in status.with_status(Status.RUNNING))
    return f"; time left: unknown until {'an epoch' if has_epochs else 'a job'} ends"


def status_text(status: SweepStatus) -> RenderableType:
    """Return the whole status: counts, running jobs, failures, and the best trial."""
    return Group(*_parts(status))


def resume_hint(status: SweepStatus) -> str | None:
    """Return a line with the command that goes on with the sweep; None if a job is running or none is left."""
    folder = status.sweep.folder
    if status.counts[Status.RUNNING] or not (status.left or status.counts[Status.FAILED]):
        return None
    if is_record(folder):
        return f"a record, in which no job runs; to go on with it: {restore_command(folder)}"
    return f"no job is running; to resume: python -m mnist_resnet.resume {shlex.quote(str(folder))}"


def _parts(status: SweepStatus) -> Iterator[RenderableType]:
    yield Text(headline(status))
    running = status.with_status(Status.RUNNING)
    if running:
        table = Table(box=None, pad_edge=False, header_style="")
        for column in ("running", "epoch", "images/s", "for", "by"):
            table.add_column(column, overflow="fold")
        for job in running[:MAX_LISTED]:
            table.add_row(*_row(job, status.at))
        yield table
        yield from _rest(running)
    for name in (Status.FAILED, Status.DIVERGED, Status.INTERRUPTED, UNREADABLE):
        jobs = status.with_status(name)
        for job in jobs[:MAX_LISTED]:
            yield Text(f"{name}: {job.job.name}{': ' + job.remark if job.remark else ''}")
        yield from _rest(jobs)
    best = status.best() if status.trials is not None else None
    if best is not None:
        objective = objective_of(best[0].job.config)
        yield Text(f"best: {objective.metric.text(best[1])} ({objective}), {best[0].job.name}")


def _row(job: JobStatus, now: datetime) -> list[Any]:
    rate = job.epochs[-1].get("images_per_second") if job.epochs else None
    started = job.record.get("started")
    elapsed = duration((now - datetime.fromisoformat(started)).total_seconds()) if started else ""
    return [
        Text(job.job.name),
        _progress(job),
        f"{rate:,.0f}" if rate else "–",
        elapsed,
        Text(job.holder),
    ]


def _progress(job: JobStatus) -> str:
    """Return the epochs done of all; of a training function, which alone knows how many there are, its reports."""
    done = len(job.epochs)
    return f"{done}/{epochs_of(job.job.config)}" if is_image_classifier(job.job.config) else f"{done}"


def _rest(jobs: list[JobStatus]) -> Iterator[Text]:
    if len(jobs) > MAX_LISTED:
        yield Text(f"and {len(jobs) - MAX_LISTED} more")
