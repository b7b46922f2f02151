"""What sums up a sweep, written once for each state that the sweep comes to rest in, by whoever gets there first.

The right to write is a claim, as on a job: who comes later waits for the writer, and takes over from one that died. The
attempt's record says of which state it is: an extended sweep, or a job done anew, makes another one.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mnist_resnet.job_folder import DASHBOARD, LAUNCHES, RESULTS, SEARCH, SWEEP, TABLE, Status
from mnist_resnet.jobs.environment import code_version
from mnist_resnet.jobs.lease import LeaseMonitor, acquire_lease
from mnist_resnet.sweeps.folder import Sweep, job_state, read_sweep

CONCLUSION = "conclusion"
"""Folder in `launches` that is claimed."""

STATE = "of"
"""What an attempt's record calls the state that it is about."""

POLL = 0.2
"""Seconds between two looks at another writer."""


class JobsStillRunning(Exception):
    """Somebody still runs a job of the sweep; the text names one."""


def summarize_once(folder: Path, write: Callable[[], bool]) -> Mapping[str, Any] | None:
    """Have what sums up the sweep in `folder` written, unless it has been since anything changed.

    Args:
        folder: the sweep folder.
        write: writes it; gives whether all of it was.

    Returns:
        None if `write` was called; else the record of the attempt that has written it.

    Raises:
        Unfinished: a job is still run by somebody, who then comes here in turn.
    """
    monitor = LeaseMonitor()
    place = folder / LAUNCHES / CONCLUSION
    while True:
        state = _state(read_sweep(folder), monitor)
        seen = monitor.observe(place)
        if seen.state == "held":
            time.sleep(POLL)
            continue
        is_written = seen.record.get("status") == Status.COMPLETED and seen.record.get(STATE) == state
        if is_written and all((folder / name).exists() for name in (TABLE, RESULTS, DASHBOARD)):
            return seen.record
        lease = acquire_lease(place, monitor, {STATE: state})
        if lease is None:
            continue
        with lease:
            if lease.number != seen.number + 1:
                lease.release(Status.INTERRUPTED)
                continue
            lease.release(Status.COMPLETED if write() else Status.FAILED)
        return None


def _state(sweep: Sweep, monitor: LeaseMonitor) -> str:
    """Names the state that the sweep is in, as far as it is summed up, and nothing else."""
    digest = hashlib.sha256(str(code_version()["source"]).encode())
    for file in (SWEEP, SEARCH):
        if (sweep.folder / file).exists():
            digest.update((sweep.folder / file).read_bytes())
    for line in _lines(sweep, monitor):
        digest.update(line.encode())
    return digest.hexdigest()[:16]


def _lines(sweep: Sweep, monitor: LeaseMonitor) -> Iterator[str]:
    for job in sweep.jobs:
        now = job_state(sweep, job, monitor)
        if now.status == Status.RUNNING:
            raise JobsStillRunning(f"{job.name}: {now.remark}")
        yield f"\n{job.name} {now.status} {monitor.observe(sweep.folder_of(job)).record.get('owner')}"
