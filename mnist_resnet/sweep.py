"""`python -m mnist_resnet.sweep SWEEP_DIR`: how a sweep stands, from its folder alone, whoever runs it and where."""

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.live import Live

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import DASHBOARD, LAUNCHES, RESULT, Status, UnreadableFolder
from mnist_resnet.jobs.stop_request import request_stop
from mnist_resnet.jobs.worker_options import launches
from mnist_resnet.sweeps.folder import DONE
from mnist_resnet.sweeps.status import StatusReader, SweepStatus
from mnist_resnet.sweeps.status_text import headline, resume_hint, status_text
from mnist_resnet.sweeps.summary import SUMMARY
from mnist_resnet.tracking.console import plain_console

INTERVAL = 2.0
"""Seconds between two looks, at least."""
SHARE = 0.2
"""Of the watcher's time that may go into looking, at most."""
PLAIN_INTERVAL = 60.0
"""Seconds between two lines where nothing has changed but the time left."""
STOP_INTERVAL = 0.5
"""Seconds between two looks at jobs that are asked to end."""
PATIENCE = 10.0
"""Seconds without anybody at work after which a sweep without a launch is called left, and no table is expected."""


def show(folder: Path, console: Console) -> int:
    """Print how the sweep stands; gives the exit code, 0.

    Raises:
        UnreadableFolder: the folder holds no sweep.
    """
    console.print(status_text(StatusReader(folder).read()))
    return 0


def watch(folder: Path, console: Console) -> int:
    """Show how the sweep stands until it ends; gives the exit code: 1 if jobs failed or were left.

    Raises:
        UnreadableFolder: the folder holds no sweep.
    """
    reader = StatusReader(folder)
    status = reader.read()
    idle_since: float | None = None
    with _Board(console) as board:
        while True:
            board.show(status)
            looked = time.monotonic()
            if not status.left:
                break
            idle_since = (idle_since or looked) if _is_left(status) else None
            if idle_since is not None and looked - idle_since >= PATIENCE:
                break
            time.sleep(board.pause)
            started = time.monotonic()
            status = reader.read()
            board.pause = max(INTERVAL, (time.monotonic() - started) / SHARE)
    if not status.left:
        _await_end(folder)
    console.print(status_text(status))
    return 0 if all(one.status in DONE for one in status.jobs) and not status.left else 1


def add_workers(folder: Path, count: int, trusted: Sequence[str], console: Console) -> int:
    """Start workers on this machine for what is missing of the sweep, and return; gives the exit code, 0.

    Raises:
        UsageError: a frozen config would run something that is not trusted, or asks for what no worker sees.
        UnreadableFolder: the folder holds no sweep.
    """
    status = StatusReader(folder).read()
    open_jobs = status.left + status.counts[Status.FAILED]
    if not open_jobs:
        console.print(f"{headline(status)}: nothing is left to do", markup=False)
        return 0
    # It takes PyTorch to know a search, and what devices there are.
    from mnist_resnet.launchers.scale_up import add_local_workers

    console.print(add_local_workers(folder, min(count, open_jobs), trusted), markup=False)
    return 0


def stop(folder: Path, console: Console) -> int:
    """Ask all who work on the sweep to end after a checkpoint, and wait until they have; gives the exit code, 0.

    Raises:
        UnreadableFolder: the folder holds no sweep.
    """
    reader = StatusReader(folder)
    status = reader.read()
    request_stop(folder)
    running: list[str] | None = None
    while status.counts[Status.RUNNING]:
        before, running = running, [f"{one.job.name} ({one.holder})" for one in status.with_status(Status.RUNNING)]
        if running != before:
            console.print(f"asked to end: {', '.join(running)}", markup=False)
        time.sleep(STOP_INTERVAL)
        status = reader.read()
    console.print(status_text(status))
    return 0


def _is_left(status: SweepStatus) -> bool:
    return resume_hint(status) is not None and not launches(status.sweep.folder)


def _await_end(folder: Path) -> None:
    """Wait for what sums up the sweep while somebody writes it, or may be about to."""
    claims, until = LeaseMonitor(), time.monotonic() + PATIENCE
    while claims.observe(folder / LAUNCHES / SUMMARY).state == "held" or (
        not _is_summed_up(folder) and time.monotonic() < until
    ):
        time.sleep(STOP_INTERVAL)


def _is_summed_up(folder: Path) -> bool:
    dashboard = folder / DASHBOARD
    ends = [result.stat().st_mtime for result in folder.glob(f"*/{RESULT}")]
    return dashboard.exists() and dashboard.stat().st_mtime >= max(ends, default=0.0)


class _Board:
    """Where an overview is shown again and again: drawn in place on a terminal, a line for each change elsewhere."""

    def __init__(self, console: Console) -> None:
        self.pause = INTERVAL
        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._said: tuple[object, float] = (None, 0.0)

    def __enter__(self) -> "_Board":
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, status: SweepStatus) -> None:
        """Draw it, or say what is new."""
        if self._live:
            self._live.update(status_text(status), refresh=True)
            return
        now = time.monotonic()
        if status.counts != self._said[0] or now - self._said[1] >= PLAIN_INTERVAL:
            self._said = status.counts, now
            self._console.print(headline(status), markup=False)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m mnist_resnet.sweep", description=__doc__)
    parser.add_argument("sweep", type=Path, metavar="SWEEP_DIR")
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--watch", action="store_true", help="show it until the sweep ends; Ctrl-C ends the showing")
    what.add_argument("--stop", action="store_true", help="end all its workers after a checkpoint, wherever they run")
    what.add_argument("--workers", type=int, metavar="N", help="start N more here, which outlive this terminal")
    parser.add_argument("--trust", action="append", default=[], metavar="TARGET", help="a _target_ of your own to run")
    arguments = parser.parse_args()
    if arguments.workers is not None and arguments.workers < 1:
        parser.error(f"--workers={arguments.workers}: must be 1 or more")
    try:
        if arguments.workers:
            sys.exit(add_workers(arguments.sweep, arguments.workers, arguments.trust, plain_console()))
        act = watch if arguments.watch else stop if arguments.stop else show
        sys.exit(act(arguments.sweep, plain_console()))
    except KeyboardInterrupt:
        sys.exit(130)
    except OSError as error:
        print(f"error: {arguments.sweep}: {error.strerror}", file=sys.stderr)
        sys.exit(2)
    except (UsageError, UnreadableFolder) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
