"""Reads jobs from sweep and job folders; anything unreadable becomes a one-line remark."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.comparing.job import QUEUED, UNREADABLE, Job
from mnist_resnet.errors import wording
from mnist_resnet.job_folder import (
    MAX_JOBS,
    RESULT,
    SWEEP,
    Status,
    UnreadableFolder,
    check_job,
    check_status,
    read_json,
)

JUDGING = ("claims", "comparisons", "metrics")
"""Config keys that say how jobs are judged, and nothing of what they compute: a sweep's last launch sets them."""


def load_jobs(folders: Sequence[Path]) -> tuple[list[Job], list[str]]:
    """Read the jobs in sweep folders, job folders, and folders that contain either.

    Never raises and never deletes anything, whatever the folders contain.

    Returns:
        The jobs, each once, and a remark for each problem found.
    """
    jobs: dict[Path, Job] = {}
    finder = _Finder(MAX_JOBS)
    for folder in folders:
        for job in finder.jobs_in(Path(folder)):
            jobs.setdefault(job.folder.resolve(), job)
    return list(jobs.values()), finder.remarks


@dataclass
class _Finder:
    """Finds jobs in folders, and in folders inside of these; it looks into a bounded number of them altogether.

    Attributes:
        left: how many more folders it looks into.
        remarks: one for each problem found.
        is_at_an_end: whether folders were left out.
    """

    left: int
    remarks: list[str] = field(default_factory=list)
    is_at_an_end: bool = False

    def jobs_in(self, folder: Path, depth: int = 2) -> list[Job]:
        if (folder / SWEEP).exists():
            try:
                return _jobs_of_sweep(folder, self.remarks)
            except UnreadableFolder as error:
                self.remarks.append(str(error))
        elif (folder / RESULT).exists():
            return _readable_jobs([folder], None, self.remarks)
        elif not folder.is_dir():
            self.remarks.append(f"{folder}: no such folder")
            return []
        subfolders = self._subfolders(folder)
        jobs = _readable_jobs([path for path in subfolders if (path / RESULT).exists()], None, self.remarks)
        if depth:
            deeper = [path for path in subfolders if not (path / RESULT).exists()]
            jobs += [job for path in deeper for job in self.jobs_in(path, depth - 1)]
        if not jobs and depth == 2:
            self.remarks.append(f"{folder}: neither a sweep nor a job folder, and it contains none")
        return jobs

    def _subfolders(self, folder: Path) -> list[Path]:
        try:
            with os.scandir(folder) as entries:
                folders = (entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
                names = list(islice(folders, self.left + 1))
        except OSError:
            return []
        if len(names) > self.left and not self.is_at_an_end:
            self.is_at_an_end = True
            self.remarks.append(f"{folder}: with it there are more than {MAX_JOBS:,} folders; the others are left out")
        names = names[: self.left]
        self.left -= len(names)
        return [folder / name for name in sorted(names)]


def _jobs_of_sweep(folder: Path, remarks: list[str]) -> list[Job]:
    content = read_json(folder / SWEEP)
    entries = content.get("jobs")
    if not isinstance(entries, list):
        raise UnreadableFolder(f"{folder / SWEEP}: not a file of this program (it lists no jobs)")
    sweep = str(content.get("name") or folder.name)
    jobs = []
    for number, entry in enumerate(entries):
        name = entry.get("name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not _is_file_name(name):
            remarks.append(f"{folder / SWEEP}: job {number} has no usable name; skipped")
            continue
        try:
            check_job(folder / SWEEP, entry)
        except UnreadableFolder as error:
            remarks.append(f"{error}; job {number} skipped")
            continue
        jobs.append(_listed_job(folder / name, sweep, entry, remarks))
    return jobs


def _is_file_name(name: str) -> bool:
    """Return whether an untrusted name stays inside the sweep folder and is a valid file name (at most 255 bytes)."""
    return Path(name).name == name != "" and name != ".." and len(name.encode(errors="replace")) <= 255


def _listed_job(folder: Path, sweep: str, entry: dict[str, Any], remarks: list[str]) -> Job:
    if not (folder / RESULT).exists():
        return Job(folder, sweep, QUEUED, entry)
    jobs = _readable_jobs([folder], sweep, remarks)
    return _judged_as_listed(jobs[0], entry) if jobs else Job(folder, sweep, UNREADABLE, entry)


def _judged_as_listed(job: Job, entry: dict[str, Any]) -> Job:
    """Return the job with the claims of its sweep's list, which may be newer than those it ran with."""
    if entry.get("signature") != job.result.get("signature"):
        return job
    newer = {key: entry["config"][key] for key in JUDGING if key in entry["config"]}
    return replace(job, result=job.result | {"config": job.result["config"] | newer})


def _readable_jobs(folders: Iterable[Path], sweep: str | None, remarks: list[str]) -> list[Job]:
    jobs = []
    for folder in folders:
        try:
            result = read_json(folder / RESULT)
            check_job(folder / RESULT, result)
            check_status(folder / RESULT, result)
            status = _actual_status(folder, result["status"])
            jobs.append(Job(folder, sweep or result.get("sweep"), status, result))
        except UnreadableFolder as error:
            remarks.append(str(error))
        except OSError as error:
            remarks.append(f"{folder}: its attempts can't be read ({wording(error)})")
    return jobs


def _actual_status(folder: Path, recorded: str) -> str:
    """Return `interrupted` for a job recorded as running whose process on this machine has died."""
    if recorded == Status.RUNNING and LeaseMonitor().state(folder) in ("dead", "released"):
        return Status.INTERRUPTED
    return recorded
