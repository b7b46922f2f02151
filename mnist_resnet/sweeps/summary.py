"""Writes a sweep's summary files once for each state of the sweep, in the first process that gets to it.

The right to write is a lease, as for a job. Later processes wait for the writer, and take over if it dies. The attempt
records a digest of the sweep's state, so an extended sweep or a rerun job leads to a new summary.
"""

import hashlib
import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.job_folder import DASHBOARD, LAUNCHES, RESULTS, SEARCH, SWEEP, TABLE, Status
from mnist_resnet.jobs.environment import code_version
from mnist_resnet.jobs.lease import SILENT_WAIT, acquire_lease
from mnist_resnet.stored_file import MAX_SWEEP, read_stored
from mnist_resnet.sweeps.folder import Sweep, job_state, read_sweep

LOG = logging.getLogger("mnist_resnet")

SUMMARY = "conclusion"
"""Folder in `launches` with the lease."""

STATE_KEY = "of"
"""Key of the sweep's state in an attempt's record."""

POLL = 0.2
"""Seconds between two checks of another writer."""


class JobsStillRunning(Exception):
    """A job of the sweep is still running; the text names it."""


def summarize_once(folder: Path, write: Callable[[], bool]) -> Mapping[str, Any] | None:
    """Call `write`, unless the summary files of the sweep's current state have been written.

    Args:
        folder: the sweep folder.
        write: writes the summary files, and returns whether all of them could be written.

    Returns:
        None if `write` was called; otherwise the record of the attempt that wrote the files.

    Raises:
        JobsStillRunning: another process runs a job. It writes the summary when it ends. Or nobody knows, because the
            folder can't be read.
    """
    monitor, log_at = LeaseMonitor(), time.monotonic() + SILENT_WAIT
    lease_folder = folder / LAUNCHES / SUMMARY
    while True:
        state = _sweep_digest(read_sweep(folder), monitor)
        last = monitor.observe(lease_folder)
        if last.given_up:
            raise JobsStillRunning(last.error)
        if last.state == "held":
            if time.monotonic() > log_at:
                LOG.info("%s: another process writes its summary (%s); waiting", folder, last.holder)
                log_at = math.inf
            time.sleep(POLL)
            continue
        is_written = last.record.get("status") == Status.COMPLETED and last.record.get(STATE_KEY) == state
        if is_written and all((folder / name).exists() for name in (TABLE, RESULTS, DASHBOARD)):
            return last.record
        lease = acquire_lease(lease_folder, monitor, {STATE_KEY: state})
        if lease is None:
            continue
        with lease:
            if lease.number != last.number + 1:
                lease.release(Status.INTERRUPTED)
                continue
            lease.release(Status.COMPLETED if write() else Status.FAILED)
        return None


def _sweep_digest(sweep: Sweep, monitor: LeaseMonitor) -> str:
    """Return a digest of everything that the summary depends on: the code, the job list, and the jobs' states."""
    digest = hashlib.sha256(str(code_version()["source"]).encode())
    for file in (SWEEP, SEARCH):
        if (sweep.folder / file).exists():
            digest.update(read_stored(sweep.folder / file, MAX_SWEEP))
    for line in _state_lines(sweep, monitor):
        digest.update(line.encode())
    return digest.hexdigest()[:16]


def _state_lines(sweep: Sweep, monitor: LeaseMonitor) -> Iterator[str]:
    for job in sweep.jobs:
        state = job_state(sweep, job, monitor)
        if state.status == Status.RUNNING:
            raise JobsStillRunning(f"{job.name}: {state.remark}")
        yield f"\n{job.name} {state.status} {monitor.observe(sweep.folder_of(job)).record.get('owner')}"
