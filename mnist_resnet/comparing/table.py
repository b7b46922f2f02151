"""The report on one or several sweeps, and the files it is written to in a sweep's folder."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd

from mnist_resnet.comparing.comparisons import answers
from mnist_resnet.comparing.factors import distinguishing_factors, varying_factors
from mnist_resnet.comparing.frame import JOB_COLUMNS, METRIC_COLUMNS, jobs_frame
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.jobs_table import (
    experiments_section,
    jobs_section,
    numerics_lines,
    seeds_section,
    unfinished_text,
)
from mnist_resnet.comparing.labels import label_sweeps
from mnist_resnet.comparing.mcnemar import compare_predictions, select_jobs
from mnist_resnet.comparing.methods import methods_paragraphs
from mnist_resnet.comparing.pareto import pareto_section
from mnist_resnet.comparing.report import Report, Section
from mnist_resnet.comparing.reported import measured_columns, metric_of, summarised
from mnist_resnet.comparing.sections.aggregates import aggregate_section
from mnist_resnet.comparing.sections.claims import claims_sections
from mnist_resnet.comparing.sections.comparisons import comparisons_section
from mnist_resnet.comparing.sections.effects import ONE_BY_ONE, changes_section, effects_section
from mnist_resnet.comparing.sections.expected_best import expected_best_section
from mnist_resnet.comparing.sections.images import image_section
from mnist_resnet.comparing.sections.problems import remarks_section
from mnist_resnet.comparing.sections.variance import VARIANCE, variance_section
from mnist_resnet.comparing.sequential import sequential_section
from mnist_resnet.comparing.side_by_side import side_by_side, side_by_side_section
from mnist_resnet.comparing.sources import judged_jobs, sources_section
from mnist_resnet.comparing.statistics import grouped_rows
from mnist_resnet.comparing.verdicts import judgements
from mnist_resnet.config.levels import level_text
from mnist_resnet.config.seed_sources import SEEDS
from mnist_resnet.errors import UsageError, wording
from mnist_resnet.job_folder import PREDICTIONS, RESULTS, TABLE, UnreadableFolder, write_atomically

READ_AS_MISSING = frozenset({
    "", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "None", "n/a", "nan", "null",
})  # fmt: skip
"""Texts that pandas takes for a missing value, NA also R."""

COUNTS = ("best_epoch", "best_step", "epochs", "epochs_completed")
"""Columns of whole numbers, which pandas holds as floats where one is missing."""

OWN_COLUMNS = tuple(name for name in JOB_COLUMNS if name != "sweep")
"""Columns of the frame that are no factors."""


def sweep_report(
    jobs: Sequence[Job],
    remarks: Sequence[str] = (),
    by: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
    pair: tuple[str, str] | None = None,
    smallest_effect: float | None = None,
) -> Report:
    """Return the report on these jobs.

    Args:
        jobs: jobs of one or several sweeps, with any status.
        remarks: one line for each thing that could not be read.
        by: factors to group by; all varying factors by default.
        metrics: metrics to summarise over seeds; the first one is compared between factors and sweeps. None: the
            task's own.
        smallest_effect: smallest difference of interest of the first metric, in its own unit (shares as fractions of
            one); by default a share of the first level's mean.
        pair: two sides to compare image by image, each a job's name or levels such as `model=stem3x3`.

    Raises:
        UsageError: the jobs lack a factor, metric or side, or the sides have different test sets.
        UnreadableFolder: a job of `pair` has no predictions.
    """
    everything, judged = jobs_frame(jobs), judged_jobs(jobs)
    frame = jobs_frame(judged) if len(judged) < len(jobs) else everything
    _check(frame, [*(by or [])], "factor", [*varying_factors(frame), "seed"])
    # Before any job has ended, no metric has a value; the defaults are then no mistake of the user's.
    defaults = summarised(frame)
    measured = [name for name in measured_columns(frame) if frame[name].notna().any() and name != "images_per_second"]
    _check(frame, [name for name in metrics or () if name not in defaults], "metric", measured)
    metrics = list(metrics or defaults)
    first = metrics[0] if metrics else "seconds"
    compared = metric_of(frame, first)
    factors = list(by) if by is not None else distinguishing_factors(frame)
    one_by_one = _part(ONE_BY_ONE, lambda: [changes_section(frame, first, smallest_effect)] if by is None else [])
    unusable: list[str] = []

    def without_figure() -> list[Section | None]:
        found, more = answers(judged)
        unusable.extend(more)
        return [comparisons_section(found)]

    parts: dict[str, Callable[[], Sequence[Section | None]]] = {
        "What the experiments set": lambda: [experiments_section(frame)],
        "Over seeds": lambda: [seeds_section(frame, factors, metrics)] if jobs and metrics else [],
        "Variance by source": lambda: [sources_section(everything, first)],
        "Seeds until the interval is narrow": lambda: [sequential_section(jobs)],
        "Pareto front": lambda: [pareto_section(jobs)],
        "Claims": lambda: claims_sections(judgements(judged)),
        "Claims without a figure": without_figure,
        ONE_BY_ONE: lambda: one_by_one,
        "Effects": lambda: [effects_section(frame, first, by, smallest_effect, one_by_one=bool(one_by_one))],
        VARIANCE: lambda: [variance_section(frame, first)] if by is None else [],
        "Aggregates over data sets": lambda: [aggregate_section(frame, first)] if by is None else [],
        "Expected best value by number of trials": lambda: [expected_best_section(jobs, frame)],
        "Sweeps side by side": lambda: [
            side_by_side_section(sweeps, compared) for sweeps in side_by_side(judged, compared)
        ],
        "Image by image": lambda: _pair_section(jobs, pair) if pair else _image_sections(judged, frame, factors),
        "Failed, or not readable": lambda: [remarks_section([*remarks, *unusable], jobs)],
    }
    sections = [section for title, build in parts.items() for section in _part(title, build)]
    shown = [jobs_section(jobs), *(_with_numerics(section, frame) for section in sections)]
    runs = _completed_runs(frame, factors)
    methods = methods_paragraphs([method for section in shown for method in section.methods], compared, runs)
    return Report(_title(jobs), shown, results(everything), methods)


def _part(title: str, build: Callable[[], Sequence[Section | None]]) -> list[Section]:
    """Return the sections that `build` returns; where it fails by a fault of ours, a line instead.

    A table is written after hours of training: one part's fault must not take the others along.
    """
    try:
        return [section for section in build() if section is not None]
    except (UsageError, UnreadableFolder, OSError):
        raise
    except Exception as error:
        return [Section(title, [f"Left out by a fault of this program ({type(error).__name__}: {wording(error)})."])]


def _completed_runs(frame: pd.DataFrame, factors: Sequence[str]) -> list[int]:
    """Return the number of completed runs of each config."""
    completed = (frame["status"] == "completed").tolist()
    return [sum(completed[row] for row in rows) for rows in grouped_rows(frame, factors)]


def results(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the content of `results.csv`: one row per job with raw values, factors first, then measurements.

    A missing value is an empty cell: readers take it for one, and a column of integers stays one. A null level is a
    level like others, as is a text such as `None` or `NA`: in parentheses, no reader takes it for a missing value.
    """
    factors = varying_factors(frame)
    sources = [
        name for name in map(str, frame) if name.startswith(f"{SEEDS}.") and frame[name].map(level_text).nunique() > 1
    ]
    settings = ["name", "sweep", "status", *(factor for factor in factors if factor != "sweep"), "seed", *sources]
    measured = [
        *METRIC_COLUMNS,
        *(name for name in measured_columns(frame) if name not in JOB_COLUMNS),
        "epochs",
        "epochs_completed",
        "seconds",
    ]
    measured += ["training_seconds", "images_per_second", "numerics", "processor", "code", "error"]
    columns = [column for column in dict.fromkeys([*settings, *measured]) if column in frame]
    table: pd.DataFrame = frame[columns].copy()
    for column in table:
        if column in factors:
            table[column] = table[column].map(lambda level: _as_read("null" if level is None else level))
        elif column in settings:
            table[column] = table[column].map(_as_read)
        elif column in COUNTS:
            table[column] = table[column].astype("Int64")
    return table


def _as_read(cell: object) -> object:
    """Return a cell in a spelling that no reader takes for a missing value."""
    return f"({cell})" if isinstance(cell, str) and cell in READ_AS_MISSING else cell


def write_table(sweep_folder: Path) -> Report:
    """Write `table.md` and `results.csv` of a sweep, and return the report.

    Both files are replaced atomically, so this is safe while the sweep runs.
    """
    report = sweep_report(*load_jobs([sweep_folder]))
    write_atomically(sweep_folder / TABLE, report.markdown())
    write_atomically(sweep_folder / RESULTS, report.jobs.to_csv(index=False).encode(errors="replace"))
    return report


def _with_numerics(section: Section, frame: pd.DataFrame) -> Section:
    # tables get copied out of the report, and their figures hold for these numerics only
    return replace(section, lines=[*section.lines, *numerics_lines(frame)]) if len(section.table) else section


def _check(frame: pd.DataFrame, names: Sequence[str], kind: str, known: Sequence[str]) -> None:
    no_factors = {*METRIC_COLUMNS, *measured_columns(frame)}
    for name in names:
        is_known = name in known if kind == "metric" else name in frame and name not in (*no_factors, *OWN_COLUMNS)
        if not len(frame) or is_known:
            continue
        raise UsageError(f"{name}: these jobs have no such {kind}; choose from {', '.join(known) or 'none'}")


def _title(jobs: Sequence[Job]) -> str:
    names = ", ".join(dict.fromkeys(label_sweeps(jobs))) or "No jobs"
    unfinished = unfinished_text(jobs)
    return f"{names} ({unfinished})" if unfinished else names


def _image_sections(jobs: Sequence[Job], frame: pd.DataFrame, factors: Sequence[str]) -> list[Section]:
    """Return McNemar's test if there are exactly two jobs, or exactly two groups of seeds, with predictions."""
    groups = [[jobs[row] for row in rows] for rows in grouped_rows(frame, factors)]
    sides = groups if len(groups) == 2 else [[job] for job in jobs] if len(jobs) == 2 else []
    sides = [[job for job in side if (job.folder / PREDICTIONS).exists()] for side in sides]
    if len(sides) != 2 or not all(sides):
        return []
    first, second = (_side_name(frame, side, jobs, factors) if len(groups) == 2 else side[0].name for side in sides)
    try:
        return [image_section(first, second, compare_predictions(*sides))]
    except (UsageError, UnreadableFolder) as error:
        return [Section("Image by image", [str(error)])]


def _side_name(frame: pd.DataFrame, side: Sequence[Job], jobs: Sequence[Job], factors: Sequence[str]) -> str:
    """Return the levels of one side's group of seeds as text."""
    row = next(number for number, job in enumerate(jobs) if job is side[0])
    return ", ".join(f"{factor}={level_text(frame.iloc[row][factor])}" for factor in factors)


def _pair_section(jobs: Sequence[Job], pair: tuple[str, str]) -> list[Section]:
    first, second = (select_jobs(jobs, selector) for selector in pair)
    return [image_section(pair[0], pair[1], compare_predictions(first, second))]
