"""Jobs as pandas frames: one row per job, or one row per epoch."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd

from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.labels import label_sweeps
from mnist_resnet.comparing.reported import describe_metrics
from mnist_resnet.comparing.searched import searched_intervals
from mnist_resnet.config.levels import flatten
from mnist_resnet.config.metric import BEST, Metric
from mnist_resnet.config.seed_sources import seed_label
from mnist_resnet.config.signature import NEUTRAL, NEUTRAL_CHOICES, NEUTRAL_VALUES

JOB_COLUMNS = (
    "name", "sweep", "status", "folder", "index", "signature", "data_sha256", "epochs", "epochs_completed",
    "seconds", "training_seconds", "images_per_second", "parameters", "numerics", "processor", "code", "error",
)  # fmt: skip
"""Columns of the frame that are neither factors nor metrics."""

METRIC_COLUMNS = (
    "train_loss", "train_accuracy", "test_loss", "test_accuracy", "val_loss", "val_accuracy",
    "best_test_accuracy", "best_val_accuracy", "best_epoch", "best_picked_on",
)  # fmt: skip
"""Columns of the frame that hold the image classifier's measurements, from the last epoch and from the best one."""


PRECISION = "trainer.precision"
"""Config key of the precision, which is `auto` until a job first starts."""


def load_sweep(folder: Path | str | Sequence[Path | str], epochs: bool = False) -> pd.DataFrame:
    """Load one or several sweeps (or single runs) as a frame.

    Args:
        folder: a sweep folder, a job folder, or a folder that contains either; or a sequence of them.
        epochs: return one row per epoch instead of one per job.

    Returns:
        One row per job with `JOB_COLUMNS`, the metrics (shares as fractions of one; for image classifiers, all of
        `METRIC_COLUMNS`), the selected option of each config group (`model`) and every config key (`optim.lr`).
        `attrs["remarks"]` lists what could not be read, `attrs["metrics"]` has the metrics by name.
    """
    folders = [folder] if isinstance(folder, (str, Path)) else list(folder)
    jobs, remarks = load_jobs([Path(path) for path in folders])
    frame = epochs_frame(jobs) if epochs else jobs_frame(jobs)
    frame.attrs["remarks"] = remarks
    return frame


def jobs_frame(jobs: Sequence[Job]) -> pd.DataFrame:
    """Return one row per job, in the order of `jobs`; see `load_sweep`."""
    reported = describe_metrics(jobs)
    metrics: dict[str, Metric] = reported["metrics"]
    measured = [name for name in metrics if name not in JOB_COLUMNS]
    are_classifiers = "best_epoch" in reported["in_table"]
    columns = list(dict.fromkeys([*(METRIC_COLUMNS if are_classifiers else ()), *measured]))
    rows = [_row(job, columns, metrics) | {"sweep": label} for job, label in zip(jobs, label_sweeps(jobs), strict=True)]
    rows = _with_later_groups(rows)
    keys = dict.fromkeys([*JOB_COLUMNS, *columns, *(key for row in rows for key in row)])
    frame = pd.DataFrame(rows, columns=list(keys), dtype=object)
    # infer dtypes of full columns only: one missing train_size would turn all the others into floats
    full = [key for key in keys if frame[key].notna().all()]
    frame[full] = frame[full].infer_objects()
    if PRECISION in frame:
        frame[PRECISION] = precisions(jobs)
    numbers = [column for column in columns if column != "best_picked_on"]
    for column in [*numbers, "seconds", "training_seconds", "images_per_second", "epochs", "epochs_completed"]:
        frame[column] = pd.to_numeric(frame[column], errors="coerce")
    frame.attrs |= reported | {"metrics": {name: _as_measured(metric, frame) for name, metric in metrics.items()}}
    frame.attrs["swept"] = list(dict.fromkeys(key for job in jobs for key in job.swept))
    frame.attrs["intervals"] = searched_intervals(jobs)
    return frame


def with_columns(frame: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Return those columns that there are, each once; selecting rows of all hundred of them takes most of its time."""
    return frame[[name for name in dict.fromkeys(names) if name in frame]]


def epochs_frame(jobs: Sequence[Job]) -> pd.DataFrame:
    """Return one row per epoch: the job's columns without its last and best metrics, then the epoch's metrics."""
    frame = jobs_frame(jobs)
    dropped = {*METRIC_COLUMNS, *frame.attrs["metrics"], "epochs"}
    of_job = frame.drop(columns=[column for column in frame if column in dropped])
    lengths = [len(job.history.epochs) for job in jobs]
    repeated: pd.DataFrame = of_job.loc[of_job.index.repeat(lengths)].reset_index(drop=True)
    rows = [epoch for job in jobs for epoch in job.history.epochs]
    epochs = pd.DataFrame(rows).apply(pd.to_numeric, errors="coerce")
    joined: pd.DataFrame = pd.concat([repeated, epochs[[key for key in epochs if key not in repeated]]], axis="columns")
    joined.attrs = dict(frame.attrs)
    return joined


def _with_later_groups(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Give jobs that are older than a config group or key what they computed with, so that it is no factor."""
    later = {
        group: {**flatten({group: NEUTRAL[group]}), group: NEUTRAL_CHOICES[group]}
        for group in NEUTRAL
        if any(group in row for row in rows)
    }
    values = {key: value for key, value in NEUTRAL_VALUES.items() if any(key in row for row in rows)}
    filled = []
    for row in rows:
        missing = [levels for group, levels in later.items() if group not in row and "optim" in row]
        later_values = values if "optim" in row else {}
        filled.append({key: value for levels in missing for key, value in levels.items()} | later_values | row)
    return filled


def _row(job: Job, columns: Sequence[str], metrics: Mapping[str, Metric]) -> dict[str, Any]:
    last, best = job.history.last, job.history.best
    of_best = {name: best.get(name.removeprefix(BEST)) for name in columns if name.startswith(BEST)}
    done = job.result.get("epochs_completed", 0) if job.completed else len(job.history.epochs)
    return {
        **flatten(job.config),
        **{group: option and str(option) for group, option in job.choices.items() if "/" not in group},
        **({"seed": seed_label(job.config)} if "seed" in job.config else {}),
        "name": job.name,
        "status": job.status,
        "folder": str(job.folder),
        "index": job.result.get("index"),
        "signature": job.signature,
        "data_sha256": _text(str(job.result.get("data_sha256") or "")[:12]),
        "epochs": job.result.get("epochs"),
        "epochs_completed": done,
        "seconds": job.result.get("seconds") if job.completed else _seconds(job),
        "training_seconds": job.result.get("training_seconds"),
        "images_per_second": job.result.get("images_per_second") or last.get("images_per_second"),
        "parameters": job.result.get("parameters"),
        "numerics": _numerics_text(job.numerics),
        "processor": _text(job.environment.get("gpu") or job.environment.get("cpu")),
        "code": _code_text(job.environment),
        "error": job.error,
        **{name: job.history.value(metrics[name]) for name in columns if name in metrics},
        **of_best,
    }


def _as_measured(metric: Metric, frame: pd.DataFrame) -> Metric:
    """Return a metric with a scale that its values can be on: zero has no place on the log scale."""
    has_no_log = metric.scale in ("positive", "seconds") and metric.name in frame and (frame[metric.name] <= 0).any()
    return replace(metric, scale="free") if has_no_log else metric


def precisions(jobs: Sequence[Job]) -> list[str | None]:
    """Return the precision that each job computed in; for one that has not started, the others' most common one."""
    recorded = Counter(job.precision for job in jobs if job.precision)
    usual = recorded.most_common(1)[0][0] if recorded else "auto"
    return [job.precision or usual for job in jobs]


def _numerics_text(numerics: dict[str, Any]) -> str | None:
    """Return a description such as `cpu, fp32, 2 threads, eager`; None before the job first starts."""
    if not numerics:
        return None
    threads = numerics.get("threads")
    parts = [numerics.get("device"), numerics.get("precision")]
    parts += [f"{threads} thread{'' if threads == 1 else 's'}"] if threads else []
    parts += ["compiled" if numerics["compiled"] else "eager"] if "compiled" in numerics else []
    parts += ["CUDA graph"] if numerics.get("graphed") else []
    parts += [f"convolutions {numerics['convolutions']}"] if numerics.get("convolutions") else []
    return ", ".join(str(part) for part in parts if part)


def _seconds(job: Job) -> Any:
    """Return the seconds of the epochs so far: `result.json` has those of the last change of status."""
    epochs = job.history.epochs
    return sum(epoch.get("seconds", 0.0) for epoch in epochs) if epochs else job.result.get("seconds")


def _text(value: object) -> str | None:
    return str(value) if value else None


def _code_text(environment: dict[str, Any]) -> str | None:
    """Return a description such as `060681102a` or `060681102a, changed`; None if the commit is not known."""
    commit = environment.get("commit")
    return f"{str(commit)[:10]}{', changed' if environment.get('dirty') else ''}" if commit else None
