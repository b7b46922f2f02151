"""A sweep folder: its frozen job list, what is to be done of it, and the doing."""

import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import FORMAT, SWEEP, Status, UnreadableFolder, read_json, write_atomically
from mnist_resnet.running.claim import ATTEMPTS, Watch, attempts, try_claim
from mnist_resnet.running.environment import code_version
from mnist_resnet.running.frozen import FrozenJob
from mnist_resnet.running.names import distinct_names
from mnist_resnet.running.record import read_result
from mnist_resnet.running.signature import identity

LAUNCHES = "launches"
"""Claimed while the job list is read and written: two launches of one sweep come one after the other."""


@dataclass(frozen=True)
class Sweep:
    """A sweep folder with its jobs, in the order in which they were frozen."""

    folder: Path
    content: dict[str, Any]
    jobs: list[FrozenJob]

    def folder_of(self, job: FrozenJob) -> Path:
        """Where `job` leaves what it does."""
        return self.folder / job.name


@dataclass(frozen=True)
class Standing:
    """How a job stands, and what a launch does about it.

    Attributes:
        job: the job.
        status: of its `result.json`, or `queued`, or `unreadable`.
        action: for people: `skip`, `run`, `run again`, `go on`, `leave`.
        remark: why, where the action does not say it.
        attempt: the last one's number, 0 if it was never begun.
    """

    job: FrozenJob
    status: str
    action: str
    remark: str = ""
    attempt: int = 0

    @property
    def is_due(self) -> bool:
        """Whether a launch has to run it, or to wait for the one who does."""
        return self.action != "skip" and self.status != "unreadable"


def read_sweep(folder: Path) -> Sweep:
    """The sweep in `folder`.

    Raises:
        UnreadableFolder: it holds none.
    """
    content = read_json(folder / SWEEP)
    try:
        jobs = [FrozenJob(**job) for job in content["jobs"]]
    except (KeyError, TypeError) as error:
        raise UnreadableFolder(f"{folder / SWEEP}: its job list can't be read ({error})") from None
    for job in jobs:
        if Path(job.name).name != job.name or job.name in ("", "..", "."):
            raise UnreadableFolder(f"{folder / SWEEP}: job name {job.name!r} would lead out of the sweep folder")
    return Sweep(folder, content, jobs)


def freeze(folder: Path, composed: Sequence[FrozenJob], swept: Sequence[str], command: Sequence[str]) -> Sweep:
    """Add the jobs that the sweep does not have yet to its list; those that it has keep the config they were given.

    Returns:
        The sweep, with the jobs of `composed` alone, in that order.
    """
    watch = Watch()
    while (claim := try_claim(folder / LAUNCHES, watch)) is None:
        time.sleep(0.1)
    with claim:
        sweep = plan(folder, composed, swept, command)
        if not (folder / SWEEP).exists() or sweep.content != read_sweep(folder).content:
            write_atomically(folder / SWEEP, json.dumps(sweep.content, indent=1, ensure_ascii=False) + "\n")
    return sweep


def plan(folder: Path, composed: Sequence[FrozenJob], swept: Sequence[str], command: Sequence[str]) -> Sweep:
    """The sweep as `freeze` would make it; nothing is written.

    Raises:
        UnreadableFolder: the folder holds a sweep that this version can't read.
    """
    code = code_version()
    before = read_sweep(folder) if (folder / SWEEP).exists() else None
    content = dict(before.content) if before else _new_content(folder, command, code)
    known = before.jobs if before else []
    wanted, added = _matched(folder.name, composed, known, swept, code)
    content["swept"] = list(dict.fromkeys([*content.get("swept", []), *swept]))
    content["jobs"] = [job.as_dict() for job in [*known, *added]]
    return Sweep(folder, content, wanted)


def _new_content(folder: Path, command: Sequence[str], code: dict[str, Any]) -> dict[str, Any]:
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return {"format": FORMAT, "name": folder.name, "created": created, "command": list(command), **code}


def _matched(
    sweep: str, composed: Sequence[FrozenJob], known: Sequence[FrozenJob], swept: Sequence[str], code: dict[str, Any]
) -> tuple[list[FrozenJob], list[FrozenJob]]:
    """For each composed job the known one that it is, or a new one; and the new ones."""
    free: dict[str, list[FrozenJob]] = defaultdict(list)
    for job in known:
        free[identity(job.config)].append(job)
    names = iter(_names(composed, known, free, swept))
    wanted: list[FrozenJob] = []
    added: list[FrozenJob] = []
    for job in composed:
        same = free[identity(job.config)]
        if same:
            # Jobs may differ in nothing that moves a number, such as the tracker: then the overrides tell them apart.
            twin = next((other for other in same if other.overrides == job.overrides), same[0])
            same.remove(twin)
            wanted.append(twin)
            continue
        new = replace(job, name=next(names), index=len(known) + len(added), sweep=sweep, code=code)
        wanted.append(new)
        added.append(new)
    return wanted, added


def _names(
    composed: Sequence[FrozenJob], known: Sequence[FrozenJob], free: dict[str, list[FrozenJob]], swept: Sequence[str]
) -> list[str]:
    """Folder names for the composed jobs that are new: by what is swept, or by all overrides where that is taken."""
    taken = {job.name for job in known}
    left = {key: len(jobs) for key, jobs in free.items()}
    names = []
    for job in composed:
        key = identity(job.config)
        if left.get(key, 0):
            left[key] -= 1
            continue
        typed = [override for override in job.overrides if override.partition("=")[0].lstrip("+") in swept]
        short = distinct_names([typed], set())[0]
        long = [override.lstrip("+") for override in job.overrides]
        names += distinct_names([typed if short not in taken else long], taken)
        taken.add(names[-1])
    return names


def standing(sweep: Sweep, job: FrozenJob, watch: Watch) -> Standing:
    """How `job` stands now."""
    folder = sweep.folder_of(job)
    try:
        result = read_result(folder)
    except UnreadableFolder as error:
        return Standing(job, "unreadable", "leave", str(error))
    seen = watch.look(folder)
    if seen.state == "held":
        return Standing(job, Status.RUNNING, "leave", held_by(folder), seen.number)
    if result is None:
        return Standing(job, "queued", "run", attempt=seen.number)
    status = str(result["status"])
    if status in (Status.COMPLETED, Status.DIVERGED, Status.PRUNED):
        return Standing(job, status, "skip", attempt=seen.number)
    if status == Status.FAILED:
        return Standing(job, status, "run again", attempt=seen.number)
    remark = "its process died" if status == Status.RUNNING else ""
    return Standing(job, Status.INTERRUPTED, "go on", remark, seen.number)


def held_by(folder: Path) -> str:
    """Who runs the job in `folder`, for people."""
    last = (attempts(folder) or [{}])[-1]
    return f"held by process {last.get('pid')} on {last.get('host')}"


def chosen_for_rerun(sweep: Sweep, asked: Sequence[str | int] | str, standings: Sequence[Standing]) -> list[FrozenJob]:
    """The jobs that `sweep.rerun` names: by name, by number, `failed`, or `all`.

    Raises:
        UsageError: it names a job that is not in this sweep.
    """
    if asked == "all":
        return list(sweep.jobs)
    if asked == "failed":
        return [one.job for one in standings if one.status in (Status.FAILED, Status.DIVERGED)]
    chosen = []
    for wanted in asked:
        found = [job for job in sweep.jobs if wanted in (job.name, job.index, str(job.index))]
        if not found:
            raise UsageError(f"sweep.rerun={wanted}: no job of this sweep; sweep.dry_run=true lists them")
        chosen += found
    return chosen


def set_aside(folder: Path, watch: Watch) -> None:
    """Move what the attempts so far left in a job folder into `attempt-N` in it, so that the job starts anew.

    Raises:
        UsageError: somebody runs the job at present.
    """
    if not folder.exists():
        return
    claim = try_claim(folder, watch)
    if claim is None:
        raise UsageError(f"sweep.rerun={folder.name}: {held_by(folder)}; stop that one first")
    with claim:
        aside = folder / f"attempt-{claim.number - 1}"
        aside.mkdir()
        for path in list(folder.iterdir()):
            if path != aside and path.name != ATTEMPTS and not path.name.startswith("attempt-"):
                path.rename(aside / path.name)
        if (aside / "wandb").exists():
            # The line that uploads a sweep takes what lies under this name; the attempt is superseded.
            (aside / "wandb").rename(aside / "wandb.superseded")
