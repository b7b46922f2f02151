"""The table of a sweep: one row a job, one column for each thing that varies; and its summary over seeds."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from mnist_resnet.comparing.cells import HEADINGS, cell, displayed
from mnist_resnet.comparing.factors import constant, telling, varying
from mnist_resnet.comparing.frame import Job, jobs_frame, level_text
from mnist_resnet.comparing.report import ABSENT, Section
from mnist_resnet.comparing.statistics import grouped_rows, seeds_summary

SHOWN_WHEN_CONSTANT = (
    "optim.lr", "trainer.epochs", "data.batch_size", "data.train_size",
    "data.test_size", "model.block_norm", "model.width", "regularization.dropout", "seed",
)  # fmt: skip
"""Config keys worth a word above the table when all jobs share their value; all others stand in `results.csv`."""


TRAINING_SECONDS = "Training seconds are of the steps alone, without evaluation and start-up; their mean."

NOTHING = ("null", "absent")


def sweep_table(jobs: Sequence[Job]) -> pd.DataFrame:
    """One row a job, in the sweep's order, with raw values.

    Returns:
        What varies (an experiment's name stands for what it sets), then `train_accuracy`, `test_accuracy` (last
        epoch), `best_test_accuracy`, `best_epoch`, `seconds`; `numerics` where they differ, and `status` where not
        every job is completed. Accuracies are fractions of one.
    """
    frame = jobs_frame(jobs)
    columns = [*telling(frame), *(["seed"] if _differs(frame, "seed") else [])] or ["name"]
    columns += ["train_accuracy", "test_accuracy", "best_test_accuracy", "best_epoch", "seconds"]
    columns += ["numerics"] if frame["numerics"].dropna().nunique() > 1 else []
    table: pd.DataFrame = frame[columns].copy()
    if not all(job.completed for job in jobs):
        table["status"] = [status_text(job) for job in jobs]
    return table


def status_text(job: Job) -> str:
    """A job's status with how far it came and what stopped it."""
    if job.completed or not job.metrics:
        done = ""
    else:
        done = f" after {len(job.metrics)} of {job.result.get('epochs') or '?'} epochs"
    error = f": {job.error}" if job.error else ""
    return f"{job.status}{done}{error}"


def jobs_section(jobs: Sequence[Job]) -> Section:
    """The sweep's table, with what is constant, and the numerics, said once above it."""
    return Section("Jobs", header_lines(jobs), displayed(sweep_table(jobs)))


def experiments_section(frame: pd.DataFrame) -> Section | None:
    """What each experiment sets, where several are compared."""
    factors = varying(frame)
    set_by = [factor for factor in factors if factor not in telling(frame)]
    if "experiment" not in factors or not set_by:
        return None
    rows = frame[["experiment", *set_by]].drop_duplicates("experiment")
    return Section("What the experiments set", [], displayed(rows))


def header_lines(jobs: Sequence[Job]) -> list[str]:
    """What a reader must know to read any table of these jobs: what all share, the numerics, what did not complete."""
    frame = jobs_frame(jobs)
    lines = [f"In all jobs: {constant_text(frame, jobs)}."] if jobs else []
    lines += numerics_lines(frame)
    lines.append(f"{count_text(jobs)}.")
    if frame["best_test_accuracy"].notna().any():
        lines.append(picked_text(frame))
    lines += list(dict.fromkeys(f"Note: {note}" for job in jobs for note in job.result.get("notes") or []))
    return lines


def numerics_lines(frame: pd.DataFrame) -> list[str]:
    """Device, precision and threads that the figures come from, in one line; no line before any job has started."""
    found = sorted(frame["numerics"].dropna().unique())
    return [f"Numerics: {'; '.join(found)}."] if found else []


def constant_text(frame: pd.DataFrame, jobs: Sequence[Job]) -> str:
    """What all jobs share, as `key=value` pairs: the config groups' options, and the keys that most readers ask for."""
    values = constant(frame)
    for key in ("seed", "epochs"):
        values |= {key: frame[key].tolist()[0]} if key in frame and not _differs(frame, key) else {}
    overridden = {key for job in jobs for key in job.swept}
    if values.get("epochs") == values.get("trainer.epochs"):
        values.pop("epochs", None)
    shown = [key for key in values if "." not in key or key in SHOWN_WHEN_CONSTANT or key in overridden]
    return ", ".join(f"{key}={cell(key, values[key])}" for key in shown if level_text(values[key]) not in NOTHING)


def count_text(jobs: Sequence[Job]) -> str:
    """How many jobs there are and what became of them, such as `12 jobs: 11 completed, 1 diverged`."""
    counts = pd.Series([job.status for job in jobs], dtype=object).value_counts()
    parts = ", ".join(f"{count} {status}" for status, count in counts.items())
    return f"{len(jobs)} job{'' if len(jobs) == 1 else 's'}{': ' + parts if parts else ''}"


def picked_text(frame: pd.DataFrame) -> str:
    """On which images the best epoch was picked; on the test images, it flatters. Empty where no job has one yet."""
    picked = set(frame["best_picked_on"].dropna())
    if not picked:
        return ""
    if picked == {"val"}:
        return "The best epoch is picked on held-out training images."
    where = "the test set itself" if picked == {"test"} else "the test set itself in some jobs, on held-out in others"
    return f"The best epoch is picked on {where}: best test accuracy flatters."


def seeds_section(frame: pd.DataFrame, by: Sequence[str], metrics: Sequence[str]) -> Section | None:
    """Each group of seeds with its mean, deviation, interval and extremes; None where no group has two jobs."""
    shown = [*metrics, *(["best_test_accuracy"] if "best_test_accuracy" not in metrics else [])]
    if all(len(rows) < 2 for rows in grouped_rows(frame, by)):
        return None
    summary = seeds_summary(frame, by, [*shown, "training_seconds"])
    rows = [_seeds_row(row, by, metric) for metric in shown for _, row in summary.iterrows()]
    lines = [
        "Last epoch, but for best test accuracy; accuracies in per cent. Mean of n completed jobs, with a 95 % "
        "interval of the mean (Student's t); sd is between seeds.",
        picked_text(frame),
        *([TRAINING_SECONDS] if frame["training_seconds"].notna().any() else []),
    ]
    return Section("Over seeds", lines, pd.DataFrame(rows))


def _seeds_row(row: "pd.Series[Any]", by: Sequence[str], metric: str) -> dict[str, str]:
    def shown(name: str) -> str:
        return cell(metric, row[f"{metric}_{name}"])

    # a row of numbers alone comes as floats
    n, jobs = int(row["n"]), int(row["jobs"])
    return {
        **{factor: cell(factor, row[factor]) for factor in by},
        "metric": HEADINGS.get(metric, metric).removesuffix(", %"),
        "n": f"{n} of {jobs}" if n < jobs else str(n),
        "mean": shown("mean"),
        "sd": shown("sd"),
        "95 % interval": f"{shown('low')} to {shown('high')}" if n > 1 else ABSENT,
        "min": shown("min"),
        "max": shown("max"),
        **(
            {}
            if pd.isna(seconds := row["training_seconds_mean"])
            else {"training, s": cell("training_seconds", seconds)}
        ),
    }


def _differs(frame: pd.DataFrame, column: str) -> bool:
    return column in frame and frame[column].map(level_text).nunique() > 1
