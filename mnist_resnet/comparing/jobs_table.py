"""The table of jobs, the lines above it, and the summary over seeds."""

import math
from collections.abc import Sequence
from typing import Any

import pandas as pd

from mnist_resnet.comparing.best_epoch import gain_text, picked_text
from mnist_resnet.comparing.cells import format_cell, format_metric, format_table
from mnist_resnet.comparing.factors import distinguishing_factors, shared_values, varying_factors
from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job import QUEUED, Job
from mnist_resnet.comparing.report import ABSENT, Section
from mnist_resnet.comparing.reported import metric_of
from mnist_resnet.comparing.searched import judged_columns
from mnist_resnet.comparing.statistics import FEW_RUNS, grouped_rows, seeds_summary
from mnist_resnet.config.levels import level_text
from mnist_resnet.config.metric import BEST, BUILT_IN, Metric, declared_metrics, is_image_classifier
from mnist_resnet.job_folder import Status

SHOWN_WHEN_CONSTANT = (
    "optim.lr", "trainer.epochs", "data.batch_size", "data.train_size",
    "data.test_size", "model.block_norm", "model.width", "regularization.dropout", "seed",
)  # fmt: skip
"""Config keys named above the table when all jobs share their value; `results.csv` holds the other keys."""

TRAINING_SECONDS = "Training seconds: the mean time of the steps alone, without evaluation and start-up."

UNFINISHED = (Status.INTERRUPTED, Status.RUNNING, QUEUED)
"""Statuses of jobs that have not ended."""

NEW_IMAGES = (
    "On new images: the interval for the network, tested on other images of the same kind. It adds what so many test "
    "images leave open, p (1 − p) / images, which no number of seeds reduces."
)

FEW_RUNS_TEXT = (
    f"With {FEW_RUNS} runs or fewer, an interval rests on the runs being normally distributed, which so few can't show."
)

DIFFERENT_LEVELS = (
    "Rows are averaged over different combinations of the other factors' levels, so that they can't be compared: "
    "“Effects” compares like with like."
)
"""Said where a group lacks some combinations that others are averaged over."""

NAMED_WITH_NOTE = 3
"""Largest number of jobs to name with a note."""

NO_VALUE = ("null", "absent")
"""Levels that are not worth naming above the table."""


def sweep_table(jobs: Sequence[Job]) -> pd.DataFrame:
    """Return one row per job, in the sweep's order, with raw values.

    Returns:
        The varying factors (an experiment's name covers the factors it sets), then the metrics, the best epoch's, what
        a search judges its trials by, and `seconds`; `numerics`, `processor` and `code` if they differ, and `status` if
        not every job is completed. Shares are fractions of one.
    """
    frame = jobs_frame(jobs)
    columns = [*distinguishing_factors(frame), *(["seed"] if _differs(frame, "seed") else [])] or ["name"]
    shown = [*frame.attrs["in_table"], "seconds"]
    judged = {metric: values for metric, values in judged_columns(jobs).items() if metric.name not in shown}
    frame = frame.assign(**{metric.name: pd.Series(values, dtype=float) for metric, values in judged.items()})
    frame.attrs["metrics"] = frame.attrs["metrics"] | {metric.name: metric for metric in judged}
    columns += [*shown[:-1], *(metric.name for metric in judged), "seconds"]
    columns += [column for column in ("numerics", "processor", "code") if len(_found(frame, column)) > 1]
    table: pd.DataFrame = frame[columns].copy()
    if not all(job.completed for job in jobs):
        table["status"] = [status_text(job) for job in jobs]
    return table


def status_text(job: Job) -> str:
    """Return a job's status with its progress; the reason of a failure stands below the tables."""
    done = "" if job.completed or not job.history.epochs else f" after {reports_text(job)}"
    return f"{job.status}{done}"


def reports_text(job: Job) -> str:
    """Return how far a job has come, such as `3 of 10 epochs`, `its last epoch` or `3 reports`."""
    done = len(job.history.epochs)
    if is_image_classifier(job.config) and done == job.result.get("epochs"):
        return "its last epoch"
    if is_image_classifier(job.config):
        return f"{done} of {job.result.get('epochs') or '?'} epochs"
    return f"{done} report{'s' * (done != 1)}"


def jobs_section(jobs: Sequence[Job]) -> Section:
    """Return the table of jobs with the header lines above it."""
    return Section("Jobs", header_lines(jobs), format_table(sweep_table(jobs)))


def experiments_section(frame: pd.DataFrame) -> Section | None:
    """Return a table of what each experiment sets; None unless several experiments are compared."""
    factors = varying_factors(frame)
    set_by = [factor for factor in factors if factor not in distinguishing_factors(frame)]
    if "experiment" not in factors or not set_by:
        return None
    rows = frame[["experiment", *set_by]].drop_duplicates("experiment")
    return Section("What the experiments set", [], format_table(rows))


def header_lines(jobs: Sequence[Job]) -> list[str]:
    """Return the lines above the table: shared values, numerics, job counts, how the best epoch is picked, notes."""
    frame = jobs_frame(jobs)
    lines = [f"In all jobs: {constant_text(frame, jobs)}."] if jobs else []
    lines += numerics_lines(frame)
    lines.append(f"{count_text(jobs)}.")
    if "best_picked_on" in frame and frame["best_picked_on"].isin(["val", "test"]).any():
        lines.append(" ".join(filter(None, [picked_text(frame), gain_text(jobs)])))
    lines += _without_number_lines(frame, jobs)
    return lines + _note_lines(jobs)


def _note_lines(jobs: Sequence[Job]) -> list[str]:
    """Return a line for each note, with the names of the jobs that have it unless all have."""
    having: dict[str, list[str]] = {}
    for job in jobs:
        for note in dict.fromkeys(job.result.get("notes") or []):
            having.setdefault(note, []).append(job.name)
    return [f"Note{_on(names) if len(names) < len(jobs) else ''}: {note}" for note, names in having.items()]


def _on(names: Sequence[str]) -> str:
    more = len(names) - NAMED_WITH_NOTE
    return f" on {'; '.join(names[:NAMED_WITH_NOTE])}{f' and {more} more' if more > 0 else ''}"


def _without_number_lines(frame: pd.DataFrame, jobs: Sequence[Job]) -> list[str]:
    """Return a line for each metric of which completed jobs reported no finite number."""
    metrics = [frame.attrs["metrics"][name] for name in frame.attrs["in_table"] if name in frame.attrs["metrics"]]
    completed = [job for job in jobs if job.completed]
    lacking = {metric.name: sum(_lacks(job, metric) for job in completed) for metric in metrics}
    return [
        f"{name}: {count} of {len(completed)} completed jobs reported no finite number (nan, or nothing), and have no "
        "part in its figures."
        for name, count in lacking.items()
        if count
    ]


def _lacks(job: Job, metric: Metric) -> bool:
    value = job.history.value(metric)
    return metric.name in declared_metrics(job.config) if value is None else not math.isfinite(value)


def numerics_lines(frame: pd.DataFrame) -> list[str]:
    """Return a line with device, precision and threads, and one with the processors and code versions if they differ.

    There is no line before any job has started.
    """
    numerics, processors, code = (_found(frame, column) for column in ("numerics", "processor", "code"))
    lines = [f"Numerics: {'; '.join(numerics)}."] if numerics else []
    if len(processors) > 1:
        lines.append(f"Processors: {'; '.join(processors)}. Times on different processors can't be compared.")
    return [*lines, f"Code: {'; '.join(code)}."] if len(code) > 1 else lines


def constant_text(frame: pd.DataFrame, jobs: Sequence[Job]) -> str:
    """Return what all jobs share as `key=value` pairs: the options of config groups, and the most important keys."""
    values = shared_values(frame)
    for key in ("seed", "epochs"):
        values |= {key: frame[key].tolist()[0]} if key in frame and not _differs(frame, key) else {}
    overridden = {key for job in jobs for key in job.swept}
    if values.get("epochs") == values.get("trainer.epochs"):
        values.pop("epochs", None)
    shown = [key for key in values if "." not in key or key in SHOWN_WHEN_CONSTANT or key in overridden]
    return ", ".join(
        f"{key}={format_cell(key, values[key])}" for key in shown if level_text(values[key]) not in NO_VALUE
    )


def unfinished_text(jobs: Sequence[Job]) -> str:
    """Return such as `not finished: 2 of 12 jobs are running or queued, 1 failed`; empty if all jobs have a result."""
    found = [status for status in UNFINISHED if any(job.status == status for job in jobs)]
    count, failed = (sum(job.status in statuses for job in jobs) for statuses in (UNFINISHED, [Status.FAILED]))
    if not found:
        return f"not finished: {failed} of {len(jobs)} jobs failed" if failed else ""
    statuses = " or ".join(filter(None, [", ".join(found[:-1]), found[-1]]))
    return f"not finished: {count} of {len(jobs)} jobs are {statuses}{f', {failed} failed' if failed else ''}"


def count_text(jobs: Sequence[Job]) -> str:
    """Return the number of jobs by status, such as `12 jobs: 11 completed, 1 diverged`."""
    counts = pd.Series([job.status for job in jobs], dtype=object).value_counts()
    parts = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{len(jobs)} job{'' if len(jobs) == 1 else 's'}{': ' + parts if parts else ''}"


def seeds_section(frame: pd.DataFrame, by: Sequence[str], metrics: Sequence[str]) -> Section | None:
    """Return mean, deviation, interval and extremes of each group of seeds; None if no group has two jobs."""
    best = [name for name in frame.attrs["in_table"] if name.startswith(BEST) and name in frame.attrs["metrics"]]
    all_metrics = list(dict.fromkeys([*metrics, *best]))
    if all(len(rows) < 2 for rows in grouped_rows(frame, by)):
        return None
    summary = seeds_summary(frame, by, [*all_metrics, "training_seconds"])
    if not summary["n"].any():
        return Section("Over seeds", ["No job has completed: means and intervals are of completed jobs."])
    is_pooled = bool((summary["averaged"] > 1).any())
    rows = [
        _seeds_row(row, by, metric_of(frame, metric), is_pooled)
        for metric in all_metrics
        for _, row in summary.iterrows()
    ]
    lines = [
        _figures_text(frame, all_metrics),
        *filter(None, [picked_text(frame)]),
        *([TRAINING_SECONDS] if any("training, s" in row for row in rows) else []),
    ]
    if is_pooled:
        others = ", ".join(name for name in varying_factors(frame) if name not in (*by, "experiment"))
        lines.insert(1, f"Averaged within each seed over {others}: n counts seeds, and sd is between them alone.")
        if len({cells for metric in all_metrics for cells in summary[f"{metric}_cells"]} - {()}) > 1:
            lines.insert(2, DIFFERENT_LEVELS)
    if any("on new images" in row for row in rows):
        lines.insert(1, NEW_IMAGES)
    if any(2 <= int(row["n"].split()[0]) <= FEW_RUNS for row in rows):
        lines.insert(1, FEW_RUNS_TEXT)
    return Section("Over seeds", lines, pd.DataFrame(rows).fillna(ABSENT))


def _figures_text(frame: pd.DataFrame, names: Sequence[str]) -> str:
    metrics = [metric_of(frame, name) for name in names]
    if any(metric.name in BUILT_IN and metric.is_share for metric in metrics):
        figures = "Figures of the last epoch, except best test accuracy; accuracies in per cent."
        interval = "mean's over seeds, for these test images (Student's t; accuracies on the log of right over wrong)"
    else:
        best = [metric.label for metric in metrics if metric.pick == "best" or metric.name.startswith(BEST)]
        figures = f"Figures of the last report{f', except {chr(44).join(best)}' if best else ''}."
        interval = "mean's over seeds (Student's t; shares on the log of right over wrong)"
    return (
        f"{figures} Mean of n completed jobs; sd is the standard deviation between seeds. The 95 % interval is the "
        f"{interval}. Runs that are all equal have none: with few runs, that is rounding or chance."
    )


def _seeds_row(row: "pd.Series[Any]", by: Sequence[str], metric: Metric, is_pooled: bool) -> dict[str, str]:
    def text(name: str) -> str:
        return format_metric(metric, row[f"{metric.name}_{name}"])

    # pandas returns a row of numbers only as floats
    n, jobs = int(row[f"{metric.name}_n"]), int(row["jobs"])
    return {
        **{factor: format_cell(factor, row[factor]) for factor in by},
        "metric": metric.title.removesuffix(", %"),
        **({"averaged over": row[f"{metric.name}_over"] or ABSENT} if is_pooled else {}),
        "n": f"{n} of {jobs}" if n < jobs else str(n),
        "mean": text("mean"),
        "sd": text("sd"),
        "95 % interval": ABSENT if pd.isna(row[f"{metric.name}_low"]) else f"{text('low')} to {text('high')}",
        **(
            {}
            if pd.isna(row[f"{metric.name}_new_low"])
            else {"on new images": f"{text('new_low')} to {text('new_high')}"}
        ),
        "min": text("min"),
        "max": text("max"),
        **(
            {}
            if pd.isna(seconds := row["training_seconds_mean"])
            else {"training, s": format_metric(BUILT_IN["training_seconds"], seconds)}
        ),
    }


def _found(frame: pd.DataFrame, column: str) -> list[str]:
    return sorted(frame[column].dropna().unique())


def _differs(frame: pd.DataFrame, column: str) -> bool:
    return column in frame and frame[column].map(level_text).nunique() > 1
