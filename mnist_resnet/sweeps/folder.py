"""A sweep folder: its frozen job list, what is to be done of it, and the doing."""

import itertools
import json
import logging
import math
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.names import distinct_names, job_name
from mnist_resnet.config.signature import distinguishes_jobs, identity
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import (
    FORMAT,
    LAUNCHES,
    RESULT,
    SWEEP,
    Status,
    UnreadableFolder,
    read_json,
    sync_folder,
    write_atomically,
)
from mnist_resnet.jobs.environment import code_version
from mnist_resnet.jobs.lease import ATTEMPTS, LeaseMonitor, acquire_lease, attempts
from mnist_resnet.jobs.result import read_result
from mnist_resnet.jobs.stop_request import last_request
from mnist_resnet.sweeps.cost import seconds_taken

LOG = logging.getLogger("mnist_resnet")

PATIENCE = 3.0
"""Seconds that a launch waits for another one before it says so."""

QUEUED, UNREADABLE = "queued", "unreadable"
"""How a job stands that nobody has begun, and one whose folder holds something else; beside a `Status`."""

SET_ASIDE = "set aside"
"""How the attempt ends that only moved what earlier ones left."""


@dataclass(frozen=True)
class Sweep:
    """A sweep folder with its jobs, in the order in which they were frozen."""

    folder: Path
    content: dict[str, Any]
    jobs: list[JobSpec]

    def folder_of(self, job: JobSpec) -> Path:
        """Where `job` leaves what it does."""
        return self.folder / job.name

    def write(self) -> None:
        """Put the job list on the disk, before anything is done for one of its jobs."""
        write_atomically(self.folder / SWEEP, json.dumps(self.content, indent=1, ensure_ascii=False) + "\n")
        sync_folder(self.folder)


@dataclass(frozen=True)
class JobState:
    """How a job stands, and what a launch does about it.

    Attributes:
        job: the job.
        status: of its `result.json`, or `queued`, or `unreadable`.
        action: for people: `skip`, `run`, `run again`, `go on`, `leave`.
        remark: why, where the action does not say it.
        attempt: the last one's number, 0 if it was never begun.
        seconds: that it took, if it was completed in one attempt.
    """

    job: JobSpec
    status: str
    action: str
    remark: str = ""
    attempt: int = 0
    seconds: float | None = None

    @property
    def is_due(self) -> bool:
        """Whether a launch has to run it, or to wait for the one who does."""
        return self.action != "skip" and self.status != UNREADABLE


def read_sweep(folder: Path) -> Sweep:
    """The sweep in `folder`.

    Raises:
        UnreadableFolder: it holds none.
    """
    content = read_json(folder / SWEEP)
    try:
        jobs = [JobSpec(**job) for job in content["jobs"]]
    except (KeyError, TypeError) as error:
        raise UnreadableFolder(f"{folder / SWEEP}: its job list can't be read ({error})") from None
    for job in jobs:
        if not isinstance(job.config, dict) or not isinstance(job.name, str):
            raise UnreadableFolder(f"{folder / SWEEP}: a job in its list has no name or no config")
        if Path(job.name).name != job.name or job.name in ("", "..", "."):
            raise UnreadableFolder(f"{folder / SWEEP}: job name {job.name!r} would lead out of the sweep folder")
    return Sweep(folder, content, jobs)


def freeze(folder: Path, composed: Sequence[JobSpec], swept: Sequence[str], command: Sequence[str]) -> Sweep:
    """Add the jobs that the sweep does not have yet to its list.

    Those that it has stay the experiments that they are, and get what this launch says of everything else: where the
    data lies, who tracks, what is kept.

    Returns:
        The sweep, with the jobs of `composed` alone, in that order.
    """
    monitor = LeaseMonitor()
    patience = time.monotonic() + PATIENCE
    while (lease := acquire_lease(folder / LAUNCHES, monitor)) is None:
        if time.monotonic() > patience:
            LOG.info("%s: another launch reads its job list (%s); waiting", folder, held_by(folder / LAUNCHES))
            patience = math.inf
        time.sleep(0.1)
    with lease:
        sweep = plan(folder, composed, swept, command)
        if not (folder / SWEEP).exists() or sweep.content != read_sweep(folder).content:
            sweep.write()
    return sweep


def plan(folder: Path, composed: Sequence[JobSpec], swept: Sequence[str], command: Sequence[str]) -> Sweep:
    """The sweep as `freeze` would make it; nothing is written.

    Raises:
        UnreadableFolder: the folder holds a sweep that this version can't read.
    """
    code = code_version()
    before = read_sweep(folder) if (folder / SWEEP).exists() else None
    content = dict(before.content) if before else _new_content(folder, command, code)
    known = before.jobs if before else []
    wanted = _matched(folder.name, composed, known, swept, code)
    content["swept"] = list(dict.fromkeys([*content.get("swept", []), *swept]))
    of_number = {job.index: job for job in [*known, *wanted]}
    content["jobs"] = [of_number[number].as_dict() for number in sorted(of_number)]
    if stop := last_request(folder):
        content["stop"] = stop
    return Sweep(folder, content, wanted)


def _new_content(folder: Path, command: Sequence[str], code: dict[str, Any]) -> dict[str, Any]:
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return {"format": FORMAT, "name": folder.name, "created": created, "command": list(command), **code}


def _matched(
    sweep: str, composed: Sequence[JobSpec], known: Sequence[JobSpec], swept: Sequence[str], code: dict[str, Any]
) -> list[JobSpec]:
    """For each composed job the known one that it is, or a new one."""
    free: dict[str, list[JobSpec]] = defaultdict(list)
    for job in known:
        free[identity(job.config)].append(job)
    names = iter(_names(composed, known, free, swept))
    number = itertools.count(len(known))
    wanted: list[JobSpec] = []
    for job in composed:
        same = free[identity(job.config)]
        if same:
            # Jobs may differ in nothing that moves a number, such as the tracker: then the overrides tell them apart.
            twin = next((other for other in same if other.overrides == job.overrides), same[0])
            same.remove(twin)
            wanted.append(replace(twin, config=job.config, overrides=job.overrides, choices=job.choices))
        else:
            wanted.append(replace(job, name=next(names), index=next(number), sweep=sweep, code=code))
    return wanted


def _names(
    composed: Sequence[JobSpec], known: Sequence[JobSpec], free: dict[str, list[JobSpec]], swept: Sequence[str]
) -> list[str]:
    """Folder names for the composed jobs that are new: by what is swept, and where that is taken, what else differs."""
    of_name = {job.name: job for job in known}
    left = {key: len(jobs) for key, jobs in free.items()}
    new: list[list[str]] = []
    for job in composed:
        key = identity(job.config)
        if left.get(key, 0):
            left[key] -= 1
            continue
        told = [override.lstrip("+") for override in job.overrides if distinguishes_jobs(_key(override))]
        typed = [override for override in told if _key(override) in swept] or told
        other = of_name.get(job_name(typed))
        if other:
            known_to_other = {override.lstrip("+") for override in other.overrides}
            typed += [override for override in told if override not in known_to_other and override not in typed]
        new.append(typed)
    return distinct_names(new, set(of_name))


def _key(override: str) -> str:
    return override.partition("=")[0].lstrip("+")


def job_state(sweep: Sweep, job: JobSpec, monitor: LeaseMonitor) -> JobState:
    """How `job` stands now.

    The result is read after its attempts, and so says at least what the last of these came to.
    """
    folder = sweep.folder_of(job)
    seen = monitor.observe(folder)
    try:
        result = read_result(folder)
    except UnreadableFolder as error:
        return JobState(job, UNREADABLE, "leave", str(error))
    if result is not None and result["signature"] != job.signature:
        return JobState(job, UNREADABLE, "leave", f"{folder}: holds another job, {result.get('name')}")
    if seen.state == "held":
        return JobState(job, Status.RUNNING, "leave", held_by(folder), seen.number)
    if result is None:
        return JobState(job, QUEUED, "run", attempt=seen.number)
    status = str(result["status"])
    if status in (Status.COMPLETED, Status.DIVERGED, Status.PRUNED):
        return JobState(job, status, "skip", attempt=seen.number, seconds=seconds_taken(seen.record))
    if status == Status.FAILED:
        return JobState(job, status, "run again", attempt=seen.number)
    remark = "its process died" if status == Status.RUNNING else ""
    return JobState(job, Status.INTERRUPTED, "go on", remark, seen.number)


def held_by(folder: Path) -> str:
    """Who runs the job in `folder`, for people."""
    last = (attempts(folder) or [{}])[-1]
    return f"held by process {last.get('pid')} on {last.get('host')}"


def chosen_for_rerun(sweep: Sweep, asked: Sequence[str | int] | str, states: Sequence[JobState]) -> list[JobSpec]:
    """The jobs that `sweep.rerun` names: by name, by number, `failed`, or `all`.

    Raises:
        UsageError: it names a job that is not in this sweep.
    """
    if asked == "all":
        return list(sweep.jobs)
    if asked == "failed":
        return [one.job for one in states if one.status in (Status.FAILED, Status.DIVERGED)]
    chosen = []
    for wanted in asked:
        found = [job for job in sweep.jobs if wanted in (job.name, job.index, str(job.index))]
        if not found:
            raise UsageError(f"sweep.rerun={wanted}: no job of this sweep; sweep.dry_run=true lists them")
        chosen += found
    return chosen


def archive_attempts(folder: Path, monitor: LeaseMonitor) -> None:
    """Move what the attempts so far left in a job folder into `attempt-N` in it, so that the job starts anew.

    Raises:
        UsageError: somebody runs the job at present.
    """
    if not folder.exists():
        return
    lease = acquire_lease(folder, monitor)
    if lease is None:
        raise UsageError(f"sweep.rerun={folder.name}: {held_by(folder)}; stop that one first")
    with lease:
        aside = folder / f"attempt-{lease.number - 1}"
        aside.mkdir()
        # The result goes last: until then the job counts as what it was, whatever happens here.
        for path in sorted(folder.iterdir(), key=lambda path: path.name == RESULT):
            if path.name != ATTEMPTS and not path.name.startswith("attempt-"):
                path.rename(aside / path.name)
        if (aside / "wandb").exists():
            # The line that uploads a sweep takes what lies under this name; the attempt is superseded.
            (aside / "wandb").rename(aside / "wandb.superseded")
        lease.release(SET_ASIDE)
