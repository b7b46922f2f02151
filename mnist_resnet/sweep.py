"""Shows, watches, stops or scales up a sweep: `python -m mnist_resnet.sweep SWEEP_DIR`.

Only the sweep's folder is read, so it works wherever the sweep's workers run.
"""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import DASHBOARD, DONE, LAUNCHES, RESULT, Status, UnreadableFolder
from mnist_resnet.jobs.signals import interruptible
from mnist_resnet.jobs.stop_request import request_stop
from mnist_resnet.jobs.worker_options import launches
from mnist_resnet.launchers.worker_state import array_states, last_lines, may_have_workers
from mnist_resnet.sweeps.folder import Sweep, refuse_sweep_links
from mnist_resnet.sweeps.status import StatusReader, SweepStatus
from mnist_resnet.sweeps.status_text import headline, resume_hint, status_text
from mnist_resnet.sweeps.summary import SUMMARY
from mnist_resnet.tracking.console import plain_console

MIN_INTERVAL = 2.0
"""Shortest time between two readings of the status, in seconds."""
MAX_SHARE = 0.2
"""Largest share of the watcher's time to spend on reading the status."""
PLAIN_INTERVAL = 60.0
"""Seconds between two printed lines if nothing but the time left has changed."""
STOP_INTERVAL = 0.5
"""Seconds between two readings of the status while jobs are stopping."""
IDLE_TIMEOUT = 10.0
"""Seconds after which a sweep without workers or a launch counts as abandoned, and a missing summary is not awaited."""


def show(folder: Path, console: Console) -> int:
    """Print the sweep's status and return the exit code, 0.

    Raises:
        UnreadableFolder: the folder holds no sweep.
    """
    status = StatusReader(folder).read()
    console.print(status_text(status))
    _print_worker_state(status, console)
    return 0


def watch(folder: Path, console: Console) -> int:
    """Show the sweep's status until it ends; return the exit code: 1 if jobs failed or are unfinished.

    Raises:
        UnreadableFolder: the folder holds no sweep.
    """
    reader = StatusReader(folder)
    status = reader.read()
    idle_since: float | None = None
    with _StatusDisplay(console) as display:
        while True:
            display.show(status)
            now = time.monotonic()
            if not status.left:
                break
            idle_since = (idle_since or now) if _is_abandoned(status) else None
            if idle_since is not None and now - idle_since >= IDLE_TIMEOUT:
                break
            time.sleep(display.pause)
            started = time.monotonic()
            status = reader.read()
            display.pause = max(MIN_INTERVAL, (time.monotonic() - started) / MAX_SHARE)
    if not status.left:
        _await_summary(status.sweep)
    console.print(status_text(status))
    _print_worker_state(status, console)
    return 0 if all(job.status in DONE for job in status.jobs) and not status.left else 1


def add_workers(folder: Path, count: int, trusted: Sequence[str], console: Console) -> int:
    """Start workers on this machine for the sweep's unfinished jobs, without waiting for them; return the exit code, 0.

    Raises:
        UsageError: a frozen config names a `_target_` that is not trusted, or needs a device that no worker has.
        UnreadableFolder: the folder holds no sweep.
    """
    status = StatusReader(folder).read()
    open_jobs = status.left + status.counts[Status.FAILED]
    if not open_jobs:
        console.print(f"{headline(status)}: nothing is left to do", markup=False)
        return 0
    # Imported late: it loads PyTorch, to list devices and to recognise a search.
    from mnist_resnet.launchers.scale_up import add_local_workers

    console.print(add_local_workers(folder, min(count, open_jobs), trusted), markup=False)
    return 0


def stop(folder: Path, console: Console) -> int:
    """Stop all workers of the sweep after a checkpoint, wait for them, and return the exit code, 0.

    Raises:
        UnreadableFolder: the folder holds no sweep.
        UsageError: the request would be written through a link.
    """
    reader = StatusReader(folder)
    status = reader.read()
    refuse_sweep_links(folder)
    request_stop(folder)
    running: list[str] | None = None
    while status.counts[Status.RUNNING]:
        before, running = running, [f"{job.job.name} ({job.holder})" for job in status.with_status(Status.RUNNING)]
        if running != before:
            console.print(f"stopping: {', '.join(running)}", markup=False)
        time.sleep(STOP_INTERVAL)
        status = reader.read()
    console.print(status_text(status))
    _print_worker_state(status, console)
    return 0


def _is_abandoned(status: SweepStatus) -> bool:
    folder = status.sweep.folder
    return resume_hint(status) is not None and not any(may_have_workers(folder, launch) for launch in launches(folder))


def _print_worker_state(status: SweepStatus, console: Console) -> None:
    """If jobs are left and none is running, print why workers are pending, or what the last ones wrote, and what to do.

    Nothing is to be done while Slurm may still start a worker.
    """
    hint = resume_hint(status)
    if hint is None:
        return
    arrays = array_states(status.sweep.folder)
    reasons = [reason for array in arrays if (reason := array.describe()) is not None]
    for line in reasons or last_lines(status.sweep.folder):
        console.print(line, markup=False, soft_wrap=True)
    if not any(array.alive for array in arrays):
        console.print(hint, markup=False, soft_wrap=True)


def _await_summary(sweep: Sweep) -> None:
    """Wait while a process writes the sweep's summary, or may be about to."""
    monitor, deadline = LeaseMonitor(), time.monotonic() + IDLE_TIMEOUT
    while True:
        lease = monitor.observe(sweep.folder / LAUNCHES / SUMMARY)
        is_written = lease.state == "held" and not lease.given_up
        if not is_written and (_has_summary(sweep) or time.monotonic() >= deadline):
            return
        time.sleep(STOP_INTERVAL)


def _has_summary(sweep: Sweep) -> bool:
    """Return whether the dashboard is at least as new as every job's result."""
    dashboard = sweep.folder / DASHBOARD
    results = (sweep.folder_of(job) / RESULT for job in sweep.jobs)
    ends = [result.stat().st_mtime for result in results if result.exists()]
    return dashboard.exists() and dashboard.stat().st_mtime >= max(ends, default=0.0)


class _StatusDisplay:
    """Displays a changing status: in place on a terminal, elsewhere one line per change.

    Attributes:
        pause: seconds to wait before the next reading of the status.
    """

    def __init__(self, console: Console) -> None:
        self.pause = MIN_INTERVAL
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._last: tuple[object, float] = (None, 0.0)

    def __enter__(self) -> "_StatusDisplay":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, status: SweepStatus) -> None:
        """Display the status, or print one line if it has changed."""
        if self._live:
            self._live.update(status_text(status), refresh=True)
            return
        now = time.monotonic()
        if status.counts != self._last[0] or now - self._last[1] >= PLAIN_INTERVAL:
            self._last = status.counts, now
            self._console.print(headline(status), markup=False)


@interruptible
def main(arguments: Sequence[str] | None = None, program: str = "python -m mnist_resnet.sweep") -> int:
    """Run the command and return its exit code."""
    parser = _parser(program)
    options = parser.parse_args(arguments)
    if options.workers is not None and options.workers < 1:
        parser.error(f"--workers={options.workers}: must be 1 or more")
    try:
        if options.workers:
            return add_workers(options.sweep, options.workers, options.trust, plain_console())
        act = watch if options.watch else stop if options.stop else show
        return act(options.sweep, plain_console())
    except OSError as error:
        print(f"error: {options.sweep}: {error.strerror}", file=sys.stderr)
        return 2
    except (UsageError, UnreadableFolder) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=program,
        description="Show the status of a sweep, wherever its workers run; or watch it, stop it, add workers.",
    )
    parser.add_argument("sweep", type=Path, metavar="SWEEP_DIR")
    action = parser.add_mutually_exclusive_group()
    action.add_argument("--watch", action="store_true", help="show the status until the sweep ends; Ctrl-C quits")
    action.add_argument("--stop", action="store_true", help="stop all its workers after a checkpoint")
    action.add_argument(
        "--workers", type=int, metavar="N", help="start N more workers here, which outlive this terminal"
    )
    parser.add_argument(
        "--trust", action="append", default=[], metavar="TARGET", help="allow this _target_ of your own to run"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
