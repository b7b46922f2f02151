"""Restores a sweep folder from the sweep's record, and notices a launch that would repeat what a record holds."""

import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mnist_resnet.attempts import attempt_file
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.names import RECORDS
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import (
    BATCH_LOSSES,
    CHECKPOINT,
    DONE,
    FORMAT,
    METRICS,
    PREVIOUS_CHECKPOINT,
    RESULT,
    SWEEP,
    Status,
    UnreadableFolder,
    write_atomically,
)
from mnist_resnet.jobs.result import read_result
from mnist_resnet.stored_file import RefusedFile, open_stored
from mnist_resnet.sweeps.folder import Sweep, is_same_sweep, read_sweep
from mnist_resnet.sweeps.output_folder import check_for_sweep, is_record
from mnist_resnet.sweeps.stored_jobs import check_list, stored_result

DATA_VARIABLE = "MNIST_RESNET_DATA"
"""Environment variable that names this machine's data folder, as in `conf/data/mnist.yaml`."""


def restore(record: Path, folder: Path) -> Sweep:
    """Restore the sweep folder `folder` from a record, so that the sweep's own command goes on with it.

    Jobs with a result have it, so they are not run again. All other jobs start over, or continue from a `checkpoint.pt`
    that was put into their folder in the record.

    Raises:
        UnreadableFolder: `record` holds no sweep, or a job that can't be read or whose files disagree.
        UsageError: `folder` exists, is in a folder of another sweep or record, or the record is of a search.
    """
    recorded = read_sweep(record)
    if recorded.content.get("search"):
        raise UsageError(f"{record}: a search can't go on from a record, which has no study; copy its sweep folder")
    check_list(recorded)
    check_for_sweep(folder)
    if folder.exists():
        raise UsageError(f"{folder}: exists already; run its command to go on, or move it away")
    jobs = [_with_data_folder(job) for job in recorded.jobs]
    content = recorded.content | {"jobs": [job.as_dict() for job in jobs]}
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as name:
        staged = Path(name) / folder.name
        staged.mkdir()
        for job in jobs:
            _restore_job(job, record / job.name, staged / job.name)
        Sweep(staged, content, jobs).write()
        staged.rename(folder)
    return Sweep(folder, content, jobs)


def check_not_recorded(folder: Path, jobs: Sequence[JobSpec]) -> None:
    """Check that a launch does not silently run again what the record of the sweep has results of.

    A launch of jobs that all have results in the record repeats a finished study. That is allowed, and printed. It is
    also printed if the folder exists and the sweep went on elsewhere since.

    Raises:
        UsageError: the folder is missing, and the record lists some of the jobs and does not have the results of all.
        UnreadableFolder: the record can't be read.
    """
    record = folder.parent / RECORDS / folder.name
    if not (record / SWEEP).exists():
        return
    recorded = read_sweep(record)
    is_new = not (folder / SWEEP).exists()
    here = Sweep(folder, {}, []) if is_new else read_sweep(folder)
    if not is_new and not is_same_sweep(recorded, here):
        return
    done = _with_result(recorded) - _with_result(here)
    repeated = sum(job.identity in done for job in jobs)
    results = f"{record} has results of {repeated} of these {len(jobs)} jobs"
    command = restore_command(record)
    known = {job.identity for job in recorded.jobs}
    if is_new and repeated < len(jobs) and any(job.identity in known for job in jobs):
        raise UsageError(f"{folder}: {results}; to go on with it: {command}; to start anew, take another sweep.name")
    if is_new and repeated:
        print(f"{results}, which are run again here")
    elif repeated:
        print(f"{results}, which are run again here; to take them over, move {folder} away first: {command}")


def refuse_record(folder: Path) -> None:
    """Check that `folder`, in which jobs are to run, is not a record.

    Raises:
        UsageError: it lies in a folder of records.
    """
    if is_record(folder):
        raise UsageError(f"{folder}: a record, and no job may run in it; to go on with it: {restore_command(folder)}")


def restore_command(record: Path) -> str:
    """Return the command that makes a sweep's folder of a record again."""
    return f"python -m mnist_resnet.restore {shlex.quote(str(record))}"


def _with_result(sweep: Sweep) -> set[str]:
    """Return the identities of the jobs that have a result."""
    results = [(job, read_result(sweep.folder_of(job))) for job in sweep.jobs]
    return {job.identity for job, result in results if result and result["status"] in DONE}


def _with_data_folder(job: JobSpec) -> JobSpec:
    """Return the job with this machine's data folder; a record has none."""
    data = job.config.get("data")
    if not isinstance(data, dict) or data.get("root", "") is not None:
        return job
    return replace(job, config=job.config | {"data": data | {"root": os.environ.get(DATA_VARIABLE)}})


def _restore_job(job: JobSpec, recorded: Path, folder: Path) -> None:
    result = stored_result(recorded, job)
    is_done = result is not None and result["status"] in DONE
    if not is_done and not (recorded / CHECKPOINT).exists():
        return
    folder.mkdir()
    for name in (METRICS, BATCH_LOSSES, CHECKPOINT, PREVIOUS_CHECKPOINT, RESULT):
        if (recorded / name).exists():
            _copy(recorded / name, folder / name)
    if result is not None:
        _restore_attempts(result, folder)


def _copy(source: Path, target: Path) -> None:
    """Copy a file of a record, which may hold a link to a device or a pipe in its place."""
    try:
        opened = open_stored(source)
    except RefusedFile as error:
        raise UnreadableFolder(f"{source}: can't be read ({error.strerror})") from None
    with opened, target.open("wb") as copy:
        shutil.copyfileobj(opened, copy)


def _restore_attempts(result: dict[str, Any], folder: Path) -> None:
    """Write the attempts' files, so that none looks as if it were still running."""
    listed = result.get("attempts") or []
    is_ended = bool(listed and listed[-1].get("ended"))
    if not listed or (result["status"] in DONE and not is_ended):
        # Older records don't tell when the last attempt ended. The result says that it did.
        return
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    end = {} if is_ended else {"ended": now, "status": Status.INTERRUPTED, "reason": "restored from a record"}
    attempt_file(folder, 1).parent.mkdir()
    for number, attempt in enumerate([*listed[:-1], listed[-1] | end], 1):
        record = {"format": FORMAT, **attempt, "number": number}
        write_atomically(attempt_file(folder, number), json.dumps(record, indent=1) + "\n")
