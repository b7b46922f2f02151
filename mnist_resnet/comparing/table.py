"""The whole report on one or several sweeps, and the files that it becomes in a sweep's folder."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mnist_resnet.comparing.comparisons import answers
from mnist_resnet.comparing.factors import telling, varying
from mnist_resnet.comparing.frame import (
    JOB_COLUMNS,
    METRIC_COLUMNS,
    QUEUED,
    UNNAMED,
    Job,
    jobs_frame,
    level_text,
    load_jobs,
)
from mnist_resnet.comparing.jobs_table import experiments_section, jobs_section, numerics_lines, seeds_section
from mnist_resnet.comparing.mcnemar import image_by_image, side
from mnist_resnet.comparing.report import Report, Section
from mnist_resnet.comparing.sections import (
    changes_section,
    claims_sections,
    comparisons_section,
    effects_section,
    image_section,
    remarks_section,
)
from mnist_resnet.comparing.side_by_side import side_by_side, side_by_side_section
from mnist_resnet.comparing.statistics import grouped_rows
from mnist_resnet.comparing.verdicts import judgements
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import PREDICTIONS, RESULTS, TABLE, Status, UnreadableFolder, write_atomically

METRICS = ("test_accuracy", "train_accuracy")
"""Summarised over seeds unless others are asked for; the first one is judged by its effects."""


def sweep_report(
    jobs: Sequence[Job],
    remarks: Sequence[str] = (),
    by: Sequence[str] | None = None,
    metrics: Sequence[str] = METRICS,
    pair: tuple[str, str] | None = None,
) -> Report:
    """Everything that can be said about these jobs.

    Args:
        jobs: of one or several sweeps, in any state.
        remarks: what could not be read, in one line each.
        by: factors to group by, in place of all that vary.
        metrics: to summarise over seeds; the first one is compared between factors and sweeps.
        pair: two sides to compare image by image, each a job's name or levels such as `model=stem3x3`.

    Raises:
        UsageError: a factor, metric or side that the jobs don't have, or sides tested on different images.
        UnreadableFolder: a job of `pair` has no predictions.
    """
    frame = jobs_frame(jobs)
    _check(frame, [*(by or [])], "factor", [*varying(frame), "seed"])
    _check(frame, metrics, "metric", [name for name in METRIC_COLUMNS if frame[name].notna().any()])
    factors = list(by) if by is not None else telling(frame)
    found, unusable = answers(jobs)
    sections = [
        experiments_section(frame),
        seeds_section(frame, factors, metrics) if jobs else None,
        *claims_sections(judgements(jobs)),
        comparisons_section(found),
        changes_section(frame, metrics[0]) if by is None else None,
        effects_section(frame, metrics[0], by),
        *(side_by_side_section(pair, metrics[0]) for pair in side_by_side(jobs, metrics[0])),
        *(_pair_section(jobs, pair) if pair else _image_sections(jobs, frame, factors)),
        remarks_section([*remarks, *unusable], jobs),
    ]
    told = [jobs_section(jobs), *(_with_numerics(section, frame) for section in sections if section is not None)]
    return Report(_title(jobs), told, results(frame))


def results(frame: pd.DataFrame) -> pd.DataFrame:
    """What `results.csv` holds: one row a job, raw values; what varies first, then what was measured."""
    factors = varying(frame)
    shown = ["name", "sweep", "status", *(factor for factor in factors if factor != "sweep"), "seed"]
    measured = [*METRIC_COLUMNS, "epochs", "epochs_completed", "seconds"]
    measured += ["training_seconds", "images_per_second", "numerics", "error"]
    columns = [column for column in [*shown, *measured] if column in frame]
    table: pd.DataFrame = frame[columns]
    return table


def write_table(sweep_folder: Path) -> Report:
    """(Re)write `table.md` and `results.csv` of a sweep, and return the report, which prints itself on a rich console.

    Both files are replaced whole. Safe at any time, also while the sweep runs.
    """
    report = sweep_report(*load_jobs([sweep_folder]))
    write_atomically(sweep_folder / TABLE, report.markdown())
    write_atomically(sweep_folder / RESULTS, report.jobs.to_csv(index=False).encode(errors="replace"))
    return report


def _with_numerics(section: Section, frame: pd.DataFrame) -> Section:
    # a table gets copied out of its page, and its figures hold for these numerics
    return replace(section, lines=[*section.lines, *numerics_lines(frame)]) if len(section.table) else section


def _check(frame: pd.DataFrame, names: Sequence[str], kind: str, known: Sequence[str]) -> None:
    columns = METRIC_COLUMNS + JOB_COLUMNS
    for name in names:
        if not len(frame) or (name in frame and (kind == "metric") == (name in columns and name != "sweep")):
            continue
        raise UsageError(f"{name}: no {kind} of these jobs; there are {', '.join(known) or 'none'}")


def _title(jobs: Sequence[Job]) -> str:
    names = ", ".join(dict.fromkeys(job.sweep or UNNAMED for job in jobs)) or "No jobs"
    unfinished = sum(job.status in (Status.RUNNING, QUEUED) for job in jobs)
    return f"{names} (not finished: {unfinished} of {len(jobs)} jobs to come)" if unfinished else names


def _image_sections(jobs: Sequence[Job], frame: pd.DataFrame, factors: Sequence[str]) -> list[Section]:
    """Image by image, where there are just two sides that could be compared: two jobs, or two groups of seeds."""
    groups = [[jobs[row] for row in rows] for rows in grouped_rows(frame, factors)]
    sides = groups if len(groups) == 2 else [[job] for job in jobs] if len(jobs) == 2 else []
    sides = [[job for job in side if (job.folder / PREDICTIONS).exists()] for side in sides]
    if len(sides) != 2 or not all(sides):
        return []
    first, second = (_levels(frame, side, jobs, factors) if len(groups) == 2 else side[0].name for side in sides)
    try:
        return [image_section(first, second, image_by_image(*sides))]
    except (UsageError, UnreadableFolder) as error:
        return [Section("Image by image", [str(error)])]


def _levels(frame: pd.DataFrame, side: Sequence[Job], jobs: Sequence[Job], factors: Sequence[str]) -> str:
    """What the jobs of one side have in common, and the other side does not."""
    row = next(number for number, job in enumerate(jobs) if job is side[0])
    return ", ".join(f"{factor}={level_text(frame.iloc[row][factor])}" for factor in factors)


def _pair_section(jobs: Sequence[Job], pair: tuple[str, str]) -> list[Section]:
    return [image_section(pair[0], pair[1], image_by_image(side(jobs, pair[0]), side(jobs, pair[1])))]
