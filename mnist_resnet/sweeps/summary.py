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
from mnist_resnet.jobs.lease import Watch, try_claim
from mnist_resnet.sweeps.folder import Sweep, read_sweep, standing

CONCLUSION = "conclusion"
"""Folder in `launches` that is claimed."""

STATE = "of"
"""What an attempt's record calls the state that it is about."""

POLL = 0.2
"""Seconds between two looks at another writer."""


class Unfinished(Exception):
    """Somebody still runs a job of the sweep; the text names one."""


def conclude(folder: Path, write: Callable[[], bool]) -> Mapping[str, Any] | None:
    """Have what sums up the sweep in `folder` written, unless it has been since anything changed.

    Args:
        folder: the sweep folder.
        write: writes it; gives whether all of it was.

    Returns:
        None if `write` was called; else the record of the attempt that has written it.

    Raises:
        Unfinished: a job is still run by somebody, who then comes here in turn.
    """
    watch = Watch()
    place = folder / LAUNCHES / CONCLUSION
    while True:
        state = _state(read_sweep(folder), watch)
        seen = watch.look(place)
        if seen.state == "held":
            time.sleep(POLL)
            continue
        is_written = seen.record.get("status") == Status.COMPLETED and seen.record.get(STATE) == state
        if is_written and all((folder / name).exists() for name in (TABLE, RESULTS, DASHBOARD)):
            return seen.record
        claim = try_claim(place, watch, {STATE: state})
        if claim is None:
            continue
        with claim:
            if claim.number != seen.number + 1:
                claim.release(Status.INTERRUPTED)
                continue
            claim.release(Status.COMPLETED if write() else Status.FAILED)
        return None


def _state(sweep: Sweep, watch: Watch) -> str:
    """Names the state that the sweep is in, as far as it is summed up, and nothing else."""
    digest = hashlib.sha256(str(code_version()["source"]).encode())
    for file in (SWEEP, SEARCH):
        if (sweep.folder / file).exists():
            digest.update((sweep.folder / file).read_bytes())
    for line in _lines(sweep, watch):
        digest.update(line.encode())
    return digest.hexdigest()[:16]


def _lines(sweep: Sweep, watch: Watch) -> Iterator[str]:
    for job in sweep.jobs:
        now = standing(sweep, job, watch)
        if now.status == Status.RUNNING:
            raise Unfinished(f"{job.name}: {now.remark}")
        yield f"\n{job.name} {now.status} {watch.look(sweep.folder_of(job)).record.get('owner')}"
