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
from mnist_resnet.sweeps.status import Glance, Overview
from mnist_resnet.tracking.console import duration

ORDER = (*Status, QUEUED, UNREADABLE)
LONGEST_LIST = 40
"""Jobs that are named one by one, at most; of more only the number is said."""


def headline(overview: Overview) -> str:
    """How many jobs stand how, in one line."""
    what = "job" if overview.trials is None else "trial"
    counts = ", ".join(f"{overview.counts[status]} {status}" for status in ORDER if overview.counts[status])
    many = f"{overview.total} {what}{'s' * (overview.total != 1)}"
    return f"{overview.sweep.folder}: {many}{': ' + counts if counts else ''}{left(overview)}"


def left(overview: Overview) -> str:
    """How long it will take, as a clause; empty where nothing is left to do or nobody does it."""
    if not overview.left or not overview.counts[Status.RUNNING]:
        return ""
    seconds = overview.seconds_left()
    return "; time left: not known before the first job's end" if seconds is None else f"; {duration(seconds)} left"


def bulletin(overview: Overview) -> RenderableType:
    """All that there is to say."""
    return Group(*_parts(overview))


def advice(overview: Overview) -> str | None:
    """What a person can do about jobs that nobody runs; None where somebody does, or none is left."""
    if overview.counts[Status.RUNNING] or not (overview.left or overview.counts[Status.FAILED]):
        return None
    folder = shlex.quote(str(overview.sweep.folder))
    return f"nobody is at work on it; to go on: python -m mnist_resnet.resume {folder}"


def _parts(overview: Overview) -> Iterator[RenderableType]:
    yield Text(headline(overview))
    running = overview.of(Status.RUNNING)
    if running:
        table = Table(box=None, pad_edge=False, header_style="")
        for column in ("running", "epoch", "images/s", "for", "by"):
            table.add_column(column, overflow="fold")
        for one in running[:LONGEST_LIST]:
            table.add_row(*_row(one, overview.at))
        yield table
        yield from _rest(running)
    for status in (Status.FAILED, Status.DIVERGED, Status.INTERRUPTED, UNREADABLE):
        found = overview.of(status)
        for one in found[:LONGEST_LIST]:
            yield Text(f"{status}: {one.job.name}{': ' + one.remark if one.remark else ''}")
        yield from _rest(found)
    best = overview.best() if overview.trials is not None else None
    if best is not None:
        metric, epoch = objective_of(best[0].job.config)
        yield Text(f"best: {shown(metric, best[1])} ({metric} of the {epoch} epoch), {best[0].job.name}")
    said = advice(overview)
    if said:
        yield Text(said)


def _row(one: Glance, now: datetime) -> list[Any]:
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


def _rest(found: list[Glance]) -> Iterator[Text]:
    if len(found) > LONGEST_LIST:
        yield Text(f"and {len(found) - LONGEST_LIST} more")
