"""A sweep's overview as text: for a terminal, a file, or a screen that is drawn again and again."""

import shlex
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mnist_resnet.job_folder import Status
from mnist_resnet.jobs.objective import objective_of, shown
from mnist_resnet.sweeps.cost import epochs_of
from mnist_resnet.sweeps.folder import QUEUED, UNREADABLE
from mnist_resnet.sweeps.status import JobStatus, SweepStatus
from mnist_resnet.tracking.console import duration

ORDER = (*Status, QUEUED, UNREADABLE)
LONGEST_LIST = 40
"""Jobs that are named one by one, at most; of more only the number is said."""


def headline(status: SweepStatus) -> str:
    """How many jobs stand how, in one line."""
    what = "job" if status.trials is None else "trial"
    counts = ", ".join(f"{status.counts[kind]} {kind}" for kind in ORDER if status.counts[kind])
    many = f"{status.total} {what}{'s' * (status.total != 1)}"
    return f"{status.sweep.folder}: {many}{': ' + counts if counts else ''}{left(status)}"


def left(status: SweepStatus) -> str:
    """How long it will take, as a clause; empty where nothing is left to do or nobody does it."""
    if not status.left or not status.counts[Status.RUNNING]:
        return ""
    seconds = status.seconds_left()
    return "; time left: not known before the first job's end" if seconds is None else f"; {duration(seconds)} left"


def status_text(status: SweepStatus) -> RenderableType:
    """All that there is to say."""
    return Group(*_parts(status))


def resume_hint(status: SweepStatus) -> str | None:
    """What a person can do about jobs that nobody runs; None where somebody does, or none is left."""
    if status.counts[Status.RUNNING] or not (status.left or status.counts[Status.FAILED]):
        return None
    folder = shlex.quote(str(status.sweep.folder))
    return f"nobody is at work on it; to go on: python -m mnist_resnet.resume {folder}"


def _parts(status: SweepStatus) -> Iterator[RenderableType]:
    yield Text(headline(status))
    running = status.of(Status.RUNNING)
    if running:
        table = Table(box=None, pad_edge=False, header_style="")
        for column in ("running", "epoch", "images/s", "for", "by"):
            table.add_column(column, overflow="fold")
        for one in running[:LONGEST_LIST]:
            table.add_row(*_row(one, status.at))
        yield table
        yield from _rest(running)
    for kind in (Status.FAILED, Status.DIVERGED, Status.INTERRUPTED, UNREADABLE):
        found = status.of(kind)
        for one in found[:LONGEST_LIST]:
            yield Text(f"{kind}: {one.job.name}{': ' + one.remark if one.remark else ''}")
        yield from _rest(found)
    best = status.best() if status.trials is not None else None
    if best is not None:
        metric, epoch = objective_of(best[0].job.config)
        yield Text(f"best: {shown(metric, best[1])} ({metric} of the {epoch} epoch), {best[0].job.name}")
    said = resume_hint(status)
    if said:
        yield Text(said)


def _row(one: JobStatus, now: datetime) -> list[Any]:
    rate = one.epochs[-1].get("images_per_second") if one.epochs else None
    started = one.record.get("started")
    since = duration((now - datetime.fromisoformat(started)).total_seconds()) if started else ""
    return [
        Text(one.job.name),
        f"{len(one.epochs)}/{epochs_of(one.job.config)}",
        f"{rate:,.0f}" if rate else "–",
        since,
        Text(one.holder),
    ]


def _rest(found: list[JobStatus]) -> Iterator[Text]:
    if len(found) > LONGEST_LIST:
        yield Text(f"and {len(found) - LONGEST_LIST} more")
