"""A sweep's record: its results as small text files, which publishing the sweep again adds to, from any machine."""

import fcntl
import filecmp
import glob
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mnist_resnet.attempts import LeaseMonitor, attempts
from mnist_resnet.comparing.figures import write_figures
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.table import write_table
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import (
    BATCH_LOSSES,
    DONE,
    ENVIRONMENT,
    FIGURES,
    METRICS,
    RESULT,
    SEARCH,
    SWEEP,
    Status,
    UnreadableFolder,
    read_json,
    read_metrics,
    to_json,
    write_atomically,
)
from mnist_resnet.stored_file import MAX_ARRAYS, read_stored
from mnist_resnet.sweeps.folder import Sweep, is_same_sweep, read_sweep, refuse_sweep_links
from mnist_resnet.sweeps.merged_jobs import merged_jobs, swept_keys
from mnist_resnet.sweeps.output_folder import check_for_record
from mnist_resnet.sweeps.public_form import public, public_command
from mnist_resnet.sweeps.stored_jobs import check_list, stored_result

FREEZE = "freeze.txt"
"""Installed packages; a second list of packages, of another machine, becomes `freeze-2.txt`."""

Progress = tuple[bool, bool, bool, int, str]


def publish(sweep: Path, record: Path) -> None:
    """Copy the results of the sweep in `sweep` to `record`, or add them to what the record has of the same sweep.

    Of each job the record keeps the result that got further, and of two that got equally far the one that ended later.
    A job that the two name differently is one job, and two jobs of one name are two: the one that is new to the record
    gets another name there. A new record appears as a whole. Of an existing one each file is replaced as a whole, a
    job's result after its metrics, so that the record can be read, and committed, at any time.

    `compare` reads the record like a sweep, except for what needs predictions. The record omits weights, predictions,
    logs, W&B's files, the dashboard (its plotting library alone has 5 MB; `compare --format html` writes it again), and
    everything that identifies the machine.

    Raises:
        UnreadableFolder: `sweep` or `record` holds no sweep, or has a job that can't be read or whose files disagree.
        UsageError: the record holds another sweep, is or lies in a folder in which jobs run, or the plots can't be
            drawn.
    """
    published = read_sweep(sweep)
    check_list(published)
    check_for_record(record, sweep)
    record.parent.mkdir(parents=True, exist_ok=True)
    with _staging_folder(record) as staged:
        before = _read_record(record, published)
        merged = merged_jobs(before, published)
        monitor = LeaseMonitor()
        for job, current in merged:
            _stage_job(job, current, record / job.name, staged / job.name, monitor)
        _write(staged / SWEEP, _content(published, before, [job for job, _ in merged]))
        _stage_freezes(published, record, staged)
        write_table(staged)
        kept = load_jobs([staged])[0]
        for suffix in ("png", "svg") if any(job.history.epochs for job in kept) else ():
            write_figures(kept, staged / FIGURES, suffix)
        if before is None:
            staged.rename(record)
        else:
            _replace_files(staged, record)


@contextmanager
def _staging_folder(record: Path) -> Iterator[Path]:
    """Make an empty folder beside the record, for one process at a time."""
    descriptor = os.open(record.parent, os.O_RDONLY)
    try:
        # Some file servers have no locks.
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        for leftover in record.parent.glob(f".{glob.escape(record.name)}.*"):
            shutil.rmtree(leftover, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=record.parent, prefix=f".{record.name}.") as name:
            staged = Path(name) / record.name
            staged.mkdir()
            yield staged
    finally:
        os.close(descriptor)


def _read_record(record: Path, published: Sweep) -> Sweep | None:
    """Return the record of this sweep; None if there is none yet."""
    if not record.exists():
        return None
    before = read_sweep(record)
    check_list(before)
    refuse_sweep_links(record, before.jobs)
    if not is_same_sweep(before, published):
        theirs, ours = (
            f"{sweep.content.get('name')}, created {sweep.content.get('created')}" for sweep in (before, published)
        )
        raise UsageError(
            f"{record}: the record already exists and is of another sweep ({theirs}; this one is {ours}); move it away "
            "or choose another --output"
        )
    return before


def _content(published: Sweep, before: Sweep | None, jobs: Sequence[JobSpec]) -> dict[str, Any]:
    content = {key: value for key, value in published.content.items() if key != "stop"}
    command = content.get("command")
    content |= {
        "command": public_command(command) if command else [],
        "swept": swept_keys(before, published),
        "jobs": [job.as_dict() for job in jobs],
    }
    if (published.folder / SEARCH).exists():
        content["search"] = True
    return public(content)  # type: ignore[no-any-return]


def _stage_job(job: JobSpec, current: Path | None, recorded: Path, staged: Path, monitor: LeaseMonitor) -> None:
    """Copy what is kept of a job: from its folder in the sweep, unless its record got further."""
    if current is not None and _was_cut_off(job, current, recorded):
        source = current
    else:
        source = max(filter(None, (current, recorded)), key=lambda folder: _progress(folder, job))
    if not (source / RESULT).exists():
        return
    staged.mkdir()
    # The result comes first: if the job ends meanwhile, its metrics are newer than the result and not older.
    result = read_json(source / RESULT)
    if source == current:
        result = _public_result(result, source, job, monitor)
    for name in (METRICS, BATCH_LOSSES):
        if (source / name).exists():
            write_atomically(staged / name, read_stored(source / name, MAX_ARRAYS))
    _write(staged / RESULT, result)


def _was_cut_off(job: JobSpec, current: Path, recorded: Path) -> bool:
    """Whether the record has the sweep's metrics of a job beside an older result, which they were to replace."""
    try:
        stored_result(recorded, job)
    except UnreadableFolder:
        if not (recorded / METRICS).exists() or read_metrics(recorded) != read_metrics(current):
            raise
        return True
    return False


def _progress(folder: Path, job: JobSpec) -> Progress:
    """Return how far a job got, for comparison: completed, has a result, has started, epochs, and since when."""
    result = stored_result(folder, job)
    if result is None:
        return False, False, False, 0, ""
    status, known = result["status"], [*(result.get("attempts") or []), *attempts(folder)]
    since = max((str(attempt.get("ended") or attempt.get("started") or "") for attempt in known), default="")
    return status == Status.COMPLETED, status in DONE, True, len(read_metrics(folder)), since


def _public_result(result: dict[str, Any], folder: Path, job: JobSpec, monitor: LeaseMonitor) -> dict[str, Any]:
    """Return what a record keeps of `result.json`: the actual status, when attempts ended, and nothing private."""
    if result["status"] == Status.RUNNING and monitor.state(folder) in ("dead", "released"):
        result["status"] = Status.INTERRUPTED
    # An attempt ends after the result is written.
    ends = ((attempt["number"], attempt) for attempt in attempts(folder) if attempt.get("ended"))
    ended = {number: {"ended": attempt["ended"], "status": attempt["status"]} for number, attempt in ends}
    result["attempts"] = [attempt | ended.get(attempt.get("number"), {}) for attempt in result.get("attempts") or []]
    result |= {"name": job.name, "index": job.index}
    kept: dict[str, Any] = public(result)
    if isinstance(kept.get("environment"), dict):
        kept["environment"]["platform"] = str(kept["environment"].get("platform")).partition("-")[0]
    return kept


def _stage_freezes(published: Sweep, record: Path, staged: Path) -> None:
    recorded = sorted(record.glob("freeze*.txt"), key=lambda file: (len(file.name), file.name))
    of_jobs = (published.folder_of(job) / ENVIRONMENT / FREEZE for job in published.jobs)
    files = [*recorded, *(file for file in of_jobs if file.exists())]
    for number, packages in enumerate(dict.fromkeys(map(read_stored, files)), 1):
        write_atomically(staged / (FREEZE if number == 1 else f"freeze-{number}.txt"), packages)


def _replace_files(staged: Path, record: Path) -> None:
    """Move the files into the record: each job's result after its metrics, the job list and the table after them."""
    files = [path for path in staged.rglob("*") if path.is_file()]
    for file in sorted(files, key=lambda path: (path.parent == staged, path.name == RESULT, path.name != SWEEP)):
        target = record / file.relative_to(staged)
        if not target.exists() or not filecmp.cmp(file, target, shallow=False):
            target.parent.mkdir(exist_ok=True)
            file.replace(target)


def _write(path: Path, content: Any) -> None:
    write_atomically(path, to_json(content, indent=1) + "\n")
