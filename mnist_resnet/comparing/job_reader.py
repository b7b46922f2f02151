"""Reads jobs from sweep and job folders; anything unreadable becomes a one-line remark."""

import os
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.comparing.job import QUEUED, UNREADABLE, Job
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


def load_jobs(folders: Sequence[Path]) -> tuple[list[Job], list[str]]:
    """Read the jobs in sweep folders, job folders, and folders that contain either.

    Never raises and never deletes anything, whatever the folders contain.

    Returns:
        The jobs, each once, and a remark for each problem found.
    """
    jobs: dict[Path, Job] = {}
    remarks: list[str] = []
    for folder in folders:
        for job in _jobs_in(Path(folder), remarks, depth=2):
            jobs.setdefault(job.folder.resolve(), job)
    return list(jobs.values()), remarks


def _jobs_in(folder: Path, remarks: list[str], depth: int) -> list[Job]:
    if (folder / SWEEP).exists():
        try:
            return _jobs_of_sweep(folder, remarks)
        except UnreadableFolder as error:
            remarks.append(str(error))
    elif (folder / RESULT).exists():
        return _readable_jobs([folder], None, remarks)
    elif not folder.is_dir():
        remarks.append(f"{folder}: no such folder")
        return []
    subfolders = _subfolders(folder, remarks)
    jobs = _readable_jobs([path for path in subfolders if (path / RESULT).exists()], None, remarks)
    if depth:
        deeper = [path for path in subfolders if not (path / RESULT).exists()]
        jobs += [job for path in deeper for job in _jobs_in(path, remarks, depth - 1)]
    if not jobs and depth == 2:
        remarks.append(f"{folder}: neither a sweep nor a job folder, and it contains none")
    return jobs


def _subfolders(folder: Path, remarks: list[str]) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            folders = (entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
            names = list(islice(folders, MAX_JOBS + 1))
    except OSError:
        return []
    if len(names) > MAX_JOBS:
        remarks.append(f"{folder}: has more than {MAX_JOBS:,} folders, and the others are left out")
    return [folder / name for name in sorted(names[:MAX_JOBS])]


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
    return jobs[0] if jobs else Job(folder, sweep, UNREADABLE, entry)


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
    return jobs


def _actual_status(folder: Path, recorded: str) -> str:
    """Return `interrupted` for a job recorded as running whose process on this machine has died."""
    if recorded == Status.RUNNING and LeaseMonitor().state(folder) in ("dead", "released"):
        return Status.INTERRUPTED
    return recorded
