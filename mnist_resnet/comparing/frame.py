"""Job folders as a pandas frame: one row a job, or one an epoch."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from numbers import Real
from pathlib import Path
from types import NoneType
from typing import Any

import pandas as pd

from mnist_resnet.job_folder import RESULT, SWEEP, Metrics, Status, UnreadableFolder, read_json, read_metrics
from mnist_resnet.jobs.lease import LeaseMonitor

QUEUED = "queued"
"""Status of a job that `sweep.json` lists and nobody has started."""

UNREADABLE = "unreadable"
"""Status of a job that `sweep.json` lists and whose `result.json` can't be read."""

UNNAMED = "single runs"
"""Stands for the sweep of a job that belongs to none."""

JOB_COLUMNS = (
    "name", "sweep", "status", "folder", "index", "signature", "epochs", "epochs_completed",
    "seconds", "training_seconds", "images_per_second", "parameters", "numerics", "error",
)  # fmt: skip
"""Columns of the frame that are neither factors nor metrics."""

METRIC_COLUMNS = (
    "train_loss", "train_accuracy", "test_loss", "test_accuracy", "val_loss", "val_accuracy",
    "best_test_accuracy", "best_val_accuracy", "best_epoch", "best_picked_on",
)  # fmt: skip
"""Columns of the frame that were measured: of the last epoch, and of the best one."""

NO_FACTORS = ("sweep", "tracking", "claims", "comparisons", "hydra", "data.root", "data.verify")
"""Config keys, with all below them, that change no experiment: who listens, where data lies, what is claimed."""


SHAPE: Mapping[str, tuple[type, ...]] = {
    "status": (str,),
    "config": (dict,),
    "name": (str, NoneType),
    "sweep": (str, NoneType),
    "signature": (str, NoneType),
    **dict.fromkeys(("choices", "swept", "numerics", "environment", "last", "best", "error"), (dict, NoneType)),
    **dict.fromkeys(("epochs", "epochs_completed", "parameters"), (int, NoneType)),
    **dict.fromkeys(("seconds", "training_seconds", "images_per_second"), (int, float, NoneType)),
    **dict.fromkeys(("overrides", "notes"), (list, NoneType)),
}
"""What the entries of `result.json`, and of a job in `sweep.json`, are; only the first two must be there."""


@dataclass(frozen=True)
class Job:
    """One job of a sweep, or a single run, as its folder tells it.

    Attributes:
        folder: of the job; need not exist while the job is queued.
        sweep: the sweep's name; None for a single run.
        status: a `Status`, `QUEUED` or `UNREADABLE`.
        result: `result.json`; for a job without one, its entry in `sweep.json`.
    """

    folder: Path
    sweep: str | None
    status: str
    result: dict[str, Any]

    @property
    def name(self) -> str:
        """What people call it, such as `model=stem3x3,optim.lr=0.02`."""
        return str(self.result.get("name") or self.folder.name)

    @property
    def config(self) -> dict[str, Any]:
        """The whole resolved config."""
        return self.result.get("config") or {}

    @property
    def choices(self) -> dict[str, Any]:
        """The option taken from every config group."""
        return self.result.get("choices") or {}

    @property
    def swept(self) -> dict[str, Any]:
        """What the sweep set in this job: key or group to value."""
        return self.result.get("swept") or {}

    @property
    def seed(self) -> int | None:
        """The seed; None where the config has none."""
        seed = self.config.get("seed")
        return seed if isinstance(seed, int) else None

    @property
    def claims(self) -> list[dict[str, Any]]:
        """The figures that this job's config puts to the test."""
        claims = self.config.get("claims")
        return [claim for claim in claims if isinstance(claim, dict)] if isinstance(claims, list) else []

    @property
    def numerics(self) -> dict[str, Any]:
        """Device, precision, threads, compiled or eager; empty before the job's first start."""
        return self.result.get("numerics") or {}

    @property
    def environment(self) -> dict[str, Any]:
        """Versions, commit, host."""
        return self.result.get("environment") or {}

    @property
    def signature(self) -> str | None:
        """Hash of everything in the config that can change the job's numbers."""
        return self.result.get("signature")

    @property
    def completed(self) -> bool:
        """Whether it trained all its epochs."""
        return self.status == Status.COMPLETED

    @cached_property
    def metrics(self) -> list[Metrics]:
        """Its epochs so far, read when first asked for."""
        return [_numbers(epoch) for epoch in read_metrics(self.folder)]

    @property
    def last(self) -> Metrics:
        """The last epoch's metrics; empty before the first epoch's end."""
        # result.json is written at changes of status only, so while a job runs metrics.jsonl knows more
        if self.completed or not self.metrics:
            return _numbers(self.result.get("last") or {})
        return self.metrics[-1]

    @property
    def best(self) -> dict[str, Any]:
        """The best epoch's metrics, and in `picked_on` which images picked it; empty before the first epoch's end."""
        best = self.result.get("best")
        if self.completed and best:
            return {**_numbers(best), "picked_on": str(best.get("picked_on", "test"))}
        picked_on = "val" if any("val_accuracy" in epoch for epoch in self.metrics) else "test"
        key = f"{picked_on}_accuracy"
        epochs = [epoch for epoch in self.metrics if key in epoch]
        return {**max(epochs, key=lambda epoch: epoch[key]), "picked_on": picked_on} if epochs else {}

    @property
    def error(self) -> str | None:
        """Why it did not complete, in one line; None where nothing went wrong."""
        if self.status == Status.INTERRUPTED and self.result.get("status") == Status.RUNNING:
            return "its process died"
        error = self.result.get("error")
        if not error:
            return None
        if self.status == Status.DIVERGED:
            return f"loss {error.get('loss')} in epoch {error.get('epoch')}, step {error.get('step')}"
        lines = str(error.get("message") or "").splitlines()
        return f"{error.get('type', 'error')}: {lines[0] if lines else ''}"


def _numbers(entries: Mapping[str, Any]) -> Metrics:
    """The entries that are numbers: what is absent, or no number, was not measured."""
    return {key: value for key, value in entries.items() if type(value) in (int, float)}


def load_jobs(folders: Sequence[Path]) -> tuple[list[Job], list[str]]:
    """The jobs of sweep folders, job folders, and folders that hold either; and a line for each thing amiss.

    Nothing is raised and nothing is deleted, whatever the folders hold.
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
        return _readable([folder], None, remarks)
    elif not folder.is_dir():
        remarks.append(f"{folder}: no such folder")
        return []
    inside = _folders_in(folder)
    jobs = _readable([path for path in inside if (path / RESULT).exists()], None, remarks)
    if depth:
        deeper = [path for path in inside if not (path / RESULT).exists()]
        jobs += [job for path in deeper for job in _jobs_in(path, remarks, depth - 1)]
    if not jobs and depth == 2:
        remarks.append(f"{folder}: neither a sweep nor a job folder, and none in it")
    return jobs


def _folders_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))
    except OSError:
        return []


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
            remarks.append(f"{folder / SWEEP}: job {number} has no usable name and is left out")
            continue
        try:
            _check_shape(folder / SWEEP, {**entry, "status": QUEUED})
        except UnreadableFolder as error:
            remarks.append(f"{error}; job {number} is left out")
            continue
        jobs.append(_listed_job(folder / name, sweep, entry, remarks))
    return jobs


def _is_file_name(name: str) -> bool:
    """Whether a name from elsewhere stays inside the sweep's folder and can exist there (255 bytes at most)."""
    return Path(name).name == name != "" and name != ".." and len(name.encode(errors="replace")) <= 255


def _listed_job(folder: Path, sweep: str, entry: dict[str, Any], remarks: list[str]) -> Job:
    if not (folder / RESULT).exists():
        return Job(folder, sweep, QUEUED, entry)
    found = _readable([folder], sweep, remarks)
    return found[0] if found else Job(folder, sweep, UNREADABLE, entry)


def _readable(folders: Iterable[Path], sweep: str | None, remarks: list[str]) -> list[Job]:
    jobs = []
    for folder in folders:
        try:
            result = read_json(folder / RESULT)
            _check_shape(folder / RESULT, result)
            jobs.append(Job(folder, sweep or result.get("sweep"), _status(folder, result["status"]), result))
        except UnreadableFolder as error:
            remarks.append(str(error))
    return jobs


def _status(folder: Path, told: str) -> str:
    """What became of a job, where its process may have died without a word: on this machine that is known at once."""
    if told == Status.RUNNING and LeaseMonitor().state(folder) in ("dead", "released"):
        return Status.INTERRUPTED
    return told


def _check_shape(path: Path, entries: Mapping[str, Any]) -> None:
    for key, types in SHAPE.items():
        if not isinstance(entries.get(key), types):
            raise UnreadableFolder(f"{path}: not a job's, its {key} is {type(entries.get(key)).__name__}")
    if entries["status"] not in (*Status, QUEUED):
        raise UnreadableFolder(f"{path}: status {entries['status']} is unknown")


def load_sweep(folder: Path | str | Sequence[Path | str], epochs: bool = False) -> pd.DataFrame:
    """One or several sweeps (or single runs) as a frame.

    Args:
        folder: a sweep folder, a job folder, or a folder that holds either; or several of them.
        epochs: one row an epoch instead of one a job.

    Returns:
        One row a job: `JOB_COLUMNS`, `METRIC_COLUMNS` (accuracies as fractions of one), the option taken from each
        config group (`model`), every config key (`optim.lr`). What could not be read stands in `attrs["remarks"]`.
    """
    folders = [folder] if isinstance(folder, (str, Path)) else list(folder)
    jobs, remarks = load_jobs([Path(path) for path in folders])
    frame = epochs_frame(jobs) if epochs else jobs_frame(jobs)
    frame.attrs["remarks"] = remarks
    return frame


def jobs_frame(jobs: Sequence[Job]) -> pd.DataFrame:
    """One row a job, in the order of `jobs`; see `load_sweep`."""
    rows = [_row(job) for job in jobs]
    keys = dict.fromkeys([*JOB_COLUMNS, *METRIC_COLUMNS, *(key for row in rows for key in row)])
    frame = pd.DataFrame(rows, columns=list(keys), dtype=object)
    # one missing train_size must not turn all the others into floats
    whole = [key for key in keys if frame[key].notna().all()]
    frame[whole] = frame[whole].infer_objects()
    measured = [column for column in METRIC_COLUMNS if column != "best_picked_on"]
    for column in [*measured, "seconds", "training_seconds", "images_per_second", "epochs", "epochs_completed"]:
        frame[column] = pd.to_numeric(frame[column], errors="coerce")
    frame.attrs["swept"] = list(dict.fromkeys(key for job in jobs for key in job.swept))
    return frame


def epochs_frame(jobs: Sequence[Job]) -> pd.DataFrame:
    """One row an epoch: the job's columns but for its last and best metrics, then the epoch's own."""
    frame = jobs_frame(jobs)
    of_job = frame.drop(columns=[*METRIC_COLUMNS, "seconds", "training_seconds", "images_per_second", "epochs"])
    lengths = [len(job.metrics) for job in jobs]
    repeated: pd.DataFrame = of_job.loc[of_job.index.repeat(lengths)].reset_index(drop=True)
    epochs = pd.DataFrame([epoch for job in jobs for epoch in job.metrics]).apply(pd.to_numeric, errors="coerce")
    joined: pd.DataFrame = pd.concat([repeated, epochs[[key for key in epochs if key not in repeated]]], axis="columns")
    joined.attrs = dict(frame.attrs)
    return joined


def _row(job: Job) -> dict[str, Any]:
    last, best = job.last, job.best
    return {
        **flatten(job.config),
        **{group: option and str(option) for group, option in job.choices.items() if "/" not in group},
        "name": job.name,
        "sweep": job.sweep or UNNAMED,
        "status": job.status,
        "folder": str(job.folder),
        "index": job.result.get("index"),
        "signature": job.signature,
        "epochs": job.result.get("epochs"),
        "epochs_completed": job.result.get("epochs_completed", 0) if job.completed else len(job.metrics),
        "seconds": job.result.get("seconds"),
        "training_seconds": job.result.get("training_seconds"),
        "images_per_second": job.result.get("images_per_second") or last.get("images_per_second"),
        "parameters": job.result.get("parameters"),
        "numerics": numerics_text(job.numerics),
        "error": job.error,
        **{key: last.get(key) for key in METRIC_COLUMNS if not key.startswith("best_")},
        **{key: best.get(key.removeprefix("best_")) for key in METRIC_COLUMNS if key.startswith("best_")},
    }


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Every leaf of a config by its dotted key; lists become text, so that all can be compared and grouped by."""
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            leaves.update(flatten(value, f"{prefix}{key}."))
        else:
            leaves[f"{prefix}{key}"] = str(value) if isinstance(value, list) else value
    return leaves


def level_text(value: object) -> str:
    """A factor's level as text by which levels are told apart: 1 and 1.0 are one level, as is 0.02 typed as text."""
    if isinstance(value, float) and value != value:
        return "absent"
    if isinstance(value, Real) and not isinstance(value, bool):
        return f"{value:.12g}"
    return "null" if value is None else str(value)


def numerics_text(numerics: dict[str, Any]) -> str | None:
    """Numerics in words, such as `cpu, fp32, 2 threads, eager`; None before a job's first start."""
    if not numerics:
        return None
    threads = numerics.get("threads")
    parts = [numerics.get("device"), numerics.get("precision")]
    parts += [f"{threads} thread{'' if threads == 1 else 's'}"] if threads else []
    parts += ["compiled" if numerics.get("compiled") else "eager"]
    parts += ["CUDA graph"] if numerics.get("graphed") else []
    return ", ".join(str(part) for part in parts if part)
