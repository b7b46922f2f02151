"""A sweep carried out, and its end: the table, what failed, what W&B gets, and where everything lies."""

import errno
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from mnist_resnet.comparing.frame import load_jobs
from mnist_resnet.comparing.table import sweep_report, write_table
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import DASHBOARD, FIGURES, RESULTS, TABLE, Status
from mnist_resnet.jobs.lease import LeaseMonitor
from mnist_resnet.jobs.signals import Interrupted
from mnist_resnet.sweeps.folder import JobState, Sweep, job_state
from mnist_resnet.sweeps.live_dashboard import write_page, write_plots
from mnist_resnet.sweeps.summary import JobsStillRunning, summarize_once
from mnist_resnet.tracking.console import plain_console
from mnist_resnet.tracking.guarded import GuardedTracker

NO_ROOM = (errno.ENOSPC, errno.EDQUOT)

ENDED_WELL = (Status.COMPLETED, Status.DIVERGED, Status.PRUNED)
"""Ends that are a result. A diverged job is one: the config does that."""


def run_sweep(sweep: Sweep, start: Callable[[Sequence[JobSpec]], Any], detach: bool = False) -> int:
    """Start what is missing of the sweep's jobs, wait for their ends, and sum up.

    Args:
        sweep: frozen.
        start: runs the jobs it is given; their ends are read from their folders.
        detach: whether `start` returns before that.

    Returns:
        The exit code: 0, or 1 if a job failed or was left, or 128 and the signal that ended the sweep.
    """
    console = plain_console()
    monitor = LeaseMonitor()
    states = [job_state(sweep, job, monitor) for job in sweep.jobs]
    due = [one.job for one in states if one.is_due]
    console.print(f"{sweep.folder}: {_counted(len(due), len(sweep.jobs))}", markup=False)
    code = started(due, start, console) if due else 0
    if detach and due and not code:
        console.print(watch_hint(sweep.folder), markup=False)
        return 0
    undone = print_summary(sweep, console)
    if undone:
        console.print(f"to go on: python -m mnist_resnet.resume {shlex.quote(str(sweep.folder))}", markup=False)
    return code or (1 if undone else 0)


def watch_hint(folder: Path) -> str:
    """How to follow a sweep that goes on by itself."""
    return f"to see how it stands: python -m mnist_resnet.sweep {shlex.quote(str(folder))} --watch"


def started(due: Sequence[JobSpec], start: Callable[[Sequence[JobSpec]], Any], console: Console) -> int:
    """Start the jobs; whatever ends the starting early is said, and is no reason to leave out the table."""
    try:
        start(due)
    except Interrupted as interrupted:
        console.print(str(interrupted), markup=False)
        return interrupted.exit_code
    except KeyboardInterrupt:
        console.print("ended at once; the last checkpoints are whole", markup=False)
        return 130
    except SystemExit as end:
        # A launcher of Hydra's passes on how its job ended the program.
        console.print("ended early")
        return end.code if isinstance(end.code, int) else 1
    except UsageError:
        raise
    except OSError as error:
        first = "; make room before you go on" if error.errno in NO_ROOM else ""
        console.print(f"ended early: {error}{first}", markup=False)
        return 1
    except Exception as error:
        console.print(f"the launcher ended early: {type(error).__name__}: {error}", markup=False)
        return 1
    return 0


def print_summary(sweep: Sweep, console: Console, more: Callable[[], list[str]] = list) -> list[JobState]:
    """Show the sweep's table, say what failed, have it all written once, say where everything lies.

    Args:
        sweep: with the jobs of this launch.
        console: where to say it.
        more: writes what else sums up this kind of sweep; gives the files' names.

    Returns:
        How the jobs stand that have no result.
    """
    console.print(sweep_report(*load_jobs([sweep.folder])))
    monitor = LeaseMonitor()
    undone = [one for job in sweep.jobs if (one := job_state(sweep, job, monitor)).status not in ENDED_WELL]
    for one in undone:
        # The report has a line for each job that failed.
        if one.status != Status.FAILED:
            console.print(f"{one.job.name}: {one.status}{': ' + one.remark if one.remark else ''}", markup=False)
    # The trackers' settings don't count for a job's identity: the last launch's are in the last job.
    tracker = GuardedTracker(sweep.jobs[-1].config["tracking"])
    write_summary_once(sweep.folder, tracker, console, more)
    hint = tracker.hint(sweep.folder)
    if hint:
        console.print(hint, markup=False)
    return undone


def write_summary_once(
    folder: Path, tracker: GuardedTracker, console: Console, more: Callable[[], list[str]] = list
) -> None:
    """Have what sums up the sweep written and the tracker told, by this process if no other one does, and say by whom.

    Args:
        folder: the sweep folder.
        tracker: of the sweep.
        console: where to say it.
        more: see `print_summary`.
    """
    written: list[str] = []

    def write() -> bool:
        known = _written(folder, console)
        written.extend([*known, *more()])
        tracker.sweep_ended(folder, sweep_report(*load_jobs([folder])).jobs)
        return {TABLE, RESULTS, DASHBOARD} <= set(known)

    try:
        by = summarize_once(folder, write)
    except JobsStillRunning as unfinished:
        console.print(f"{unfinished}; who ends last writes {TABLE}, {RESULTS}, {DASHBOARD}", markup=False)
        return
    if by is not None:
        who = f"process {by.get('pid')} on {by.get('host')}"
        console.print(f"written to {folder} by {who}: {TABLE}, {RESULTS}, {DASHBOARD}", markup=False)
    elif written:
        console.print(f"written to {folder}: {', '.join(written)}", markup=False)


def _written(folder: Path, console: Console) -> list[str]:
    """Write what sums up a sweep, as far as the disk takes it; gives the files' names."""
    written: list[str] = []
    for names, write in (((TABLE, RESULTS), write_table), ((DASHBOARD,), write_page), ((FIGURES,), write_plots)):
        try:
            write(folder)
            written += [name for name in names if (folder / name).exists()]
        except OSError as error:
            console.print(f"{folder}: {' and '.join(names)} can't be written ({error.strerror})", markup=False)
    return written


def _counted(due: int, all_jobs: int) -> str:
    if due == all_jobs:
        return f"{due} job{'s' * (due != 1)}"
    return f"{due} of {all_jobs} jobs to run, {all_jobs - due} ended already"
