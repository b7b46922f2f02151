"""A sweep folder: its frozen job list, how it grows, the state of each job, and how jobs are rerun."""

import itertools
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from operator import attrgetter
from pathlib import Path
from typing import Any

from mnist_resnet.attempts import ATTEMPTS, LeaseMonitor
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.errors import UsageError, wording
from mnist_resnet.job_folder import (
    DONE,
    EXPERIMENTS,
    FIGURES,
    FORMAT,
    JOURNAL,
    LAUNCHES,
    RESULT,
    SWEEP,
    WANDB,
    MissingFile,
    Status,
    UndeliveredFile,
    UnreadableFolder,
    check_job,
    read_json,
    sync_folder,
    to_json,
    write_atomically,
)
from mnist_resnet.jobs.environment import code_version
from mnist_resnet.jobs.lease import Lease, acquire_lease, refuse_job_links, wait_for_lease
from mnist_resnet.jobs.packages import package_versions
from mnist_resnet.jobs.result import read_result
from mnist_resnet.jobs.stop_request import REQUEST, last_request
from mnist_resnet.stored_file import RefusedFile, refuse_links
from mnist_resnet.sweeps.cost import seconds_taken
from mnist_resnet.sweeps.job_matches import job_matches
from mnist_resnet.sweeps.job_names import new_job_names

LOG = logging.getLogger("mnist_resnet")

QUEUED, UNREADABLE = "queued", "unreadable"
"""Job statuses beside `Status`: never started, and a folder that can't be read or holds another job."""

SET_ASIDE = "set aside"
"""Status of an attempt that only moved the files of earlier attempts away."""


@dataclass(frozen=True)
class Sweep:
    """A sweep folder and its jobs, in the order in which they were frozen.

    Attributes:
        folder: the sweep folder.
        content: what its `sweep.json` holds.
        jobs: all of its jobs, or those of one launch.
    """

    folder: Path
    content: dict[str, Any]
    jobs: list[JobSpec]

    def folder_of(self, job: JobSpec) -> Path:
        """Return the job folder of `job`."""
        return self.folder / job.name

    def job_named(self, name: object) -> JobSpec:
        """Return the job of this name.

        Raises:
            UnreadableFolder: There is none, though another file of the folder names it.
        """
        for job in self.jobs:
            if job.name == name:
                return job
        raise UnreadableFolder(f"{self.folder / SWEEP}: lacks the job {name}, which another file of the folder names")

    def write(self) -> None:
        """Write `sweep.json` to disk durably; called before any work on its jobs."""
        write_atomically(self.folder / SWEEP, to_json(self.content, indent=1) + "\n")
        sync_folder(self.folder)


@dataclass(frozen=True)
class JobState:
    """The state of a job, and what a launch does about it.

    Attributes:
        job: the job.
        status: the status in its `result.json`, or `queued`, or `unreadable`.
        action: `skip`, `run`, `run again`, `resume` or `leave` (as is). A dry run prints it.
        remark: the reason, where the action does not imply it.
        attempt: number of the last attempt, 0 if the job was never started.
        seconds: how long the job took, if one attempt completed it.
    """

    job: JobSpec
    status: str
    action: str
    remark: str = ""
    attempt: int = 0
    seconds: float | None = None

    @property
    def is_due(self) -> bool:
        """Whether a launch has to run the job, or to wait for the process that runs it."""
        return self.action != "skip" and self.status != UNREADABLE

    def has_ended_since(self, attempt: int) -> bool:
        """Whether a launch that found the job at this attempt is done with it: it ended, or failed once more."""
        return not self.is_due or (self.status == Status.FAILED and self.attempt > attempt)


def read_sweep(folder: Path) -> Sweep:
    """Read the sweep in `folder`.

    Raises:
        UnreadableFolder: `folder` holds no sweep, or one that can't be read.
    """
    content = read_json(folder / SWEEP)
    try:
        jobs = [JobSpec(**job) for job in content["jobs"]]
    except (KeyError, TypeError) as error:
        raise UnreadableFolder(f"{folder / SWEEP}: its job list can't be read ({wording(error)})") from None
    for key in ("command", "swept"):
        words = content.get(key, [])
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise UnreadableFolder(f"{folder / SWEEP}: {key} is no list of words")
    for entry in content["jobs"]:
        check_job(folder / SWEEP, entry)
        name = entry["name"]
        if not isinstance(name, str) or Path(name).name != name or name in ("", "..", "."):
            raise UnreadableFolder(f"{folder / SWEEP}: job name {name!r} would lead out of the sweep folder")
    return Sweep(folder, content, jobs)


def find_sweep(folder: Path) -> Sweep | None:
    """Read the sweep in `folder`; None if no job list has been frozen there yet.

    Raises:
        UnreadableFolder: the sweep can't be read.
    """
    try:
        return read_sweep(folder)
    except MissingFile:
        return None


def refuse_sweep_links(folder: Path, jobs: Iterable[JobSpec] = ()) -> None:
    """Check that jobs may run in a sweep folder: nothing would be written through a link in it.

    The folder itself may be reached by a link.

    Args:
        folder: the sweep folder.
        jobs: jobs whose folders are checked too. A job's folder is checked again when its lease is taken.

    Raises:
        UsageError: it has a link where something is written.
    """
    try:
        refuse_links(folder, (LAUNCHES, FIGURES, WANDB, JOURNAL, EXPERIMENTS))
        refuse_links(folder / LAUNCHES, [REQUEST])
        for job in jobs:
            refuse_job_links(folder / job.name)
    except RefusedFile as error:
        raise UsageError(f"{folder}: no job can run there ({error.strerror})") from None


def job_folders(folder: Path) -> list[Path]:
    """Return the folders of the jobs of the sweep in `folder`; a search has none before its first trial.

    Raises:
        UnreadableFolder: the job list can't be read.
    """
    sweep = find_sweep(folder)
    return [folder / job.name for job in sweep.jobs] if sweep else []


def is_same_sweep(one: Sweep, other: Sweep) -> bool:
    """Return whether both are the same sweep, in whichever folder, on whichever machine."""
    return all(one.content.get(key) == other.content.get(key) for key in ("name", "created"))


def freeze(folder: Path, composed: Sequence[JobSpec], swept: Sequence[str], command: Sequence[str]) -> Sweep:
    """Add the composed jobs that are new to the sweep's job list, and write the list.

    Jobs that the sweep already has keep their names and identities. Settings that do not affect a job's identity, such
    as the data folder, the tracker and which files are kept, are taken from this launch.

    Args:
        folder: the sweep folder.
        composed: the jobs of this launch.
        swept: the config keys that are swept.
        command: the command line.

    Returns:
        The sweep, with the jobs of `composed` only, in that order.
    """
    with job_list_lease(folder, LeaseMonitor()):
        sweep = plan(folder, composed, swept, command)
        stored = find_sweep(folder)
        if stored is None or sweep.content != stored.content:
            sweep.write()
    return sweep


def job_list_lease(folder: Path, monitor: LeaseMonitor) -> Lease:
    """Wait for the lease on the job list of the sweep in `folder`: its holder may write to the list.

    Raises:
        UsageError: the folder can't be written.
        UnreadableFolder: the lease can't be read.
    """
    return wait_for_lease(
        folder / LAUNCHES,
        monitor,
        lambda holder: LOG.info("%s: another process is updating its job list (%s); waiting", folder, holder),
    )


def plan(folder: Path, composed: Sequence[JobSpec], swept: Sequence[str], command: Sequence[str]) -> Sweep:
    """Return the sweep that `freeze` would write, without writing it.

    Raises:
        UnreadableFolder: the folder holds a sweep that this version can't read.
    """
    code = code_version()
    before = find_sweep(folder)
    content = dict(before.content) if before else _new_content(folder, command, code)
    known = before.jobs if before else []
    content["swept"] = list(dict.fromkeys([*content.get("swept", []), *swept]))
    jobs = _match_known_jobs(folder.name, composed, known, content["swept"], code)
    by_index = {job.index: job for job in [*known, *jobs]}
    content["jobs"] = [by_index[index].as_dict() for index in sorted(by_index)]
    if stop := last_request(folder):
        content["stop"] = stop
    return Sweep(folder, content, jobs)


def _new_content(folder: Path, command: Sequence[str], code: dict[str, Any]) -> dict[str, Any]:
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return {"format": FORMAT, "name": folder.name, "created": created, "command": list(command), **code}


def _match_known_jobs(
    sweep: str, composed: Sequence[JobSpec], known: Sequence[JobSpec], swept: Sequence[str], code: dict[str, Any]
) -> list[JobSpec]:
    """Return, for each composed job, the known job that is the same, or else a new one."""
    matches = job_matches(composed, known, attrgetter("identity"))
    new = [job for job, match in zip(composed, matches, strict=True) if match is None]
    names = iter(new_job_names(new, known, swept))
    index = itertools.count(len(known))
    jobs: list[JobSpec] = []
    for job, match in zip(composed, matches, strict=True):
        if match:
            jobs.append(replace(match, config=job.config, overrides=job.overrides, choices=job.choices))
        else:
            code_of_job = code | {"packages": package_versions(job.config)}
            jobs.append(replace(job, name=next(names), index=next(index), sweep=sweep, code=code_of_job))
    return jobs


def job_state(sweep: Sweep, job: JobSpec, monitor: LeaseMonitor) -> JobState:
    """Return the current state of `job`.

    The result is read after the attempts, so it is at least as recent as the last attempt that was seen.
    """
    folder = sweep.folder_of(job)
    try:
        lease, result = monitor.observe(folder), None
        try:
            result = read_result(folder, monitor.patient)
            monitor.delivered(folder / RESULT)
        except UndeliveredFile as error:
            lease = monitor.undelivered(folder / RESULT, lease.number, str(error))
    except (OSError, UnreadableFolder) as error:
        return JobState(job, UNREADABLE, "leave", str(error))
    if lease.given_up:
        return JobState(job, UNREADABLE, "leave", lease.error)
    if result is not None and result["signature"] != job.signature:
        return JobState(job, UNREADABLE, "leave", f"{folder}: holds another job, {result.get('name')}")
    if lease.state == "held":
        return JobState(job, Status.RUNNING, "leave", lease.holder, lease.number)
    if result is None:
        return JobState(job, QUEUED, "run", attempt=lease.number)
    status = str(result["status"])
    if status in DONE:
        return JobState(job, status, "skip", attempt=lease.number, seconds=seconds_taken(lease.record))
    if status == Status.FAILED:
        return JobState(job, status, "run again", attempt=lease.number)
    remark = "its process died" if status == Status.RUNNING else ""
    return JobState(job, Status.INTERRUPTED, "resume", remark, lease.number)


def jobs_to_rerun(sweep: Sweep, rerun: Sequence[str | int] | str, states: Sequence[JobState]) -> list[JobSpec]:
    """Return the jobs that `sweep.rerun` selects.

    Args:
        sweep: the sweep.
        rerun: `all`, `failed`, or a list of job names and numbers.
        states: the states of its jobs.

    Raises:
        UsageError: `rerun` names a job that is not in this sweep.
    """
    if rerun == "all":
        return list(sweep.jobs)
    if rerun == "failed":
        return [state.job for state in states if state.status in (Status.FAILED, Status.DIVERGED)]
    selected = []
    for key in rerun:
        found = [job for job in sweep.jobs if key in (job.name, job.index, str(job.index))]
        if not found:
            raise UsageError(f"sweep.rerun={key}: no job of this sweep; sweep.dry_run=true lists them")
        selected += found
    return selected


def archive_attempts(folder: Path, monitor: LeaseMonitor) -> None:
    """Move the files of earlier attempts in a job folder to its `attempt-N` subfolder, so that the job starts over.

    Raises:
        UsageError: a process is running the job.
    """
    if not folder.exists():
        return
    lease = acquire_lease(folder, monitor)
    if lease is None:
        raise UsageError(f"sweep.rerun={folder.name}: {monitor.observe(folder).holder}; stop that process first")
    with lease:
        archive = folder / f"attempt-{lease.number - 1}"
        archive.mkdir()
        # Move the result last. If this is interrupted, the job still has its old status.
        for path in sorted(folder.iterdir(), key=lambda path: path.name == RESULT):
            if path.name != ATTEMPTS and not path.name.startswith("attempt-"):
                path.rename(archive / path.name)
        if (archive / "wandb").exists():
            # The command that uploads a sweep takes all folders of this name; the archived attempt is superseded.
            (archive / "wandb").rename(archive / "wandb.superseded")
        lease.release(SET_ASIDE)
