"""Seeds that are added until a config's interval is narrow enough: when to look, and what the looks cost."""

import math
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from mnist_resnet.comparing.cells import format_metric
from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.methods import Method
from mnist_resnet.comparing.report import ABSENT, Section
from mnist_resnet.comparing.reported import metric_of, summarised
from mnist_resnet.comparing.statistics import CONFIDENCE, Spread, count_test_images, spread
from mnist_resnet.comparing.verdicts import group_by_config, group_name
from mnist_resnet.config.metric import Metric
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import DONE, SWEEP, UnreadableFolder, read_json

AUTO = "auto"
"""Value of `sweep.seeds` by which seeds are added until the interval is narrow enough."""

FIRST_LOOK = 5
"""Number of seeds at the first look; fewer say too little about their spread."""

GROWTH = 1.5
"""Factor from the number of seeds at one look to that at the next."""


@dataclass(frozen=True)
class Target:
    """How narrow an interval is wanted.

    Attributes:
        width: largest distance of its ends, in the metric's own unit; of shares in percentage points.
        maximum: number of seeds at which to stop in any case.
    """

    width: float
    maximum: int

    @property
    def looks(self) -> list[int]:
        """Numbers of seeds at which the interval is looked at, `maximum` last."""
        counts = [min(FIRST_LOOK, self.maximum)]
        while counts[-1] < self.maximum:
            counts.append(min(math.ceil(GROWTH * counts[-1]), self.maximum))
        return counts

    @property
    def confidence(self) -> float:
        """Level of the interval at each look, by which all of them contain the mean in 95 % of studies.

        Whoever stops when an interval happens to be narrow has looked at all the others, too. So each look spends an
        equal part of the allowed 5 % (Lan and DeMets, Discrete sequential boundaries for clinical trials, Biometrika 70
        (1983) 659), and the parts are added up (Bonferroni), which holds whatever the rule to stop.
        """
        return 1 - (1 - CONFIDENCE) / len(self.looks)


@dataclass(frozen=True)
class Progress:
    """How far a config has come.

    Attributes:
        seeds: number of seeds that are to be run by now, counted from seed 1.
        runs: the metric of those of them that completed; empty while some have not ended.
        interval: of its mean, at the level for so many looks; nan without one.
        is_narrow: whether it is as narrow as wanted, so that no seed is added.
        is_open: whether some of the seeds have not ended.
    """

    seeds: int
    runs: Spread
    interval: tuple[float, float]
    is_narrow: bool
    is_open: bool = False


def progress(
    values: Mapping[int, float | None], target: Target, metric: Metric | None = None, images: int | None = None
) -> Progress:
    """Return how far a config has come.

    The looks are made again one after the other, so that it depends on the results alone, and not on when they came in.

    Args:
        values: the metric by seed, for the seeds that have ended; None for one without result, such as a diverged one.
        target: how narrow the interval is to be.
        metric: decides the scale of the interval.
        images: number of images that an accuracy is a share of, if known.
    """
    width = target.width / 100 if metric is not None and metric.is_share else target.width
    for count in target.looks:
        seeds = range(1, count + 1)
        if not all(seed in values for seed in seeds):
            return Progress(count, spread([]), (math.nan, math.nan), is_narrow=False, is_open=True)
        measured = (values[seed] for seed in seeds)
        runs = spread([value for value in measured if value is not None], metric, images)
        low, high = interval = runs.interval_at(target.confidence)
        if high - low <= width:
            return Progress(count, runs, interval, True)
    return Progress(count, runs, interval, False)


def target_of(settings: Mapping[str, Any]) -> Target | None:
    """Return how narrow an interval a config's `sweep` wants; None unless seeds are added for it.

    Raises:
        UsageError: it wants it, and does not say how narrow.
    """
    if settings.get("seeds") != AUTO:
        return None
    width = settings.get("interval_width")
    if width is None:
        raise UsageError(
            "sweep.seeds=auto: adds seeds until each config's 95 % interval is narrow enough; say how narrow, as in "
            "sweep.interval_width=0.2 (percentage points of accuracy)"
        )
    return Target(float(width), int(settings.get("max_seeds", 30)))


def stored_target(jobs: Sequence[Job]) -> Target | None:
    """Return how narrow an interval the last launch of these jobs' sweep wanted; None unless they are all of one sweep.

    Of some jobs of a sweep it can't be told how far their configs have come.
    """
    folders = {job.folder.parent for job in jobs}
    return target_of(_stored_settings(folders.pop(), {job.folder.name for job in jobs})) if len(folders) == 1 else None


def _stored_settings(folder: Path, names: Set[str]) -> Mapping[str, Any]:
    try:
        entries = read_json(folder / SWEEP)["jobs"]
        settings = entries[0]["config"]["sweep"] if {entry["name"] for entry in entries} <= names else {}
    except (UnreadableFolder, OSError, LookupError, TypeError):
        return {}
    known = isinstance(settings, dict) and isinstance(settings.get("interval_width"), (int, float))
    return settings if known else {}


def progress_of_jobs(jobs: Sequence[Job], target: Target) -> list[tuple[list[Job], Progress]]:
    """Return the jobs of each config with how far it has come, by the first of the metrics that are summarised."""
    frame = jobs_frame(jobs)
    name = next(iter(summarised(frame)), None)
    row = {id(job): number for number, job in enumerate(jobs)}
    found = []
    for group in group_by_config(jobs):
        rows = frame.iloc[[row[id(job)] for job in group]]
        values = {
            int(job.config["seed"]): _value(job, rows[name].iloc[number]) if name else None
            for number, job in enumerate(group)
            if job.status in DONE
        }
        metric = metric_of(frame, name) if name else None
        found.append((group, progress(values, target, metric, count_test_images(rows))))
    return found


def _value(job: Job, value: Any) -> float | None:
    return float(value) if job.completed and not pd.isna(value) else None


def sequential_section(jobs: Sequence[Job]) -> Section | None:
    """Return how far each config has come; None unless seeds are added until an interval is narrow enough."""
    target = stored_target(jobs)
    if target is None:
        return None
    frame = jobs_frame(jobs)
    name = next(iter(summarised(frame)), None)
    if name is None:
        return None
    metric = metric_of(frame, name)
    groups = progress_of_jobs(jobs, target)
    rows = [_row(group, found, metric) for group, found in groups]
    unit = " points" if metric.is_share else f" {metric.unit}".rstrip()
    level = f"{100 * target.confidence:.4g} %"
    looks = ", ".join(map(str, target.looks))
    lines = [
        f"Seeds were added to each config until the interval of its {metric.label} was no wider than {target.width:g}"
        f"{unit}, up to {target.maximum} seeds (sweep.seeds=auto). It was looked at with {looks} seeds.",
        f"So that the interval at which one stops contains the mean in 95 % of studies, each of the "
        f"{len(target.looks)} looks has an interval of {level} (equal parts of 5 %, added up). Intervals and tests in "
        "the other sections are for a number of seeds that was fixed beforehand.",
    ]
    methods = [Method.SEQUENTIAL] if any(low == low for low, _ in (found.interval for _, found in groups)) else []
    return Section("Seeds until the interval is narrow", lines, pd.DataFrame(rows, dtype=object), methods)


def _row(group: Sequence[Job], found: Progress, metric: Metric) -> dict[str, str]:
    low, high = found.interval
    known, interval = low == low, f"{format_metric(metric, low)} to {format_metric(metric, high)}"
    left = found.seeds - sum(job.status in DONE for job in group)
    if found.is_narrow:
        word = "narrow enough"
    elif found.is_open:
        word = f"{left} of {found.seeds} seeds have not ended"
    else:
        word = "wider, with the most seeds" if known else "no interval, with the most seeds"
    return {
        "config": group_name(group[0]),
        "n": f"{found.runs.n}" if found.runs.n else ABSENT,
        "mean": format_metric(metric, found.runs.mean) if found.runs.n else ABSENT,
        "corrected 95 % interval": interval if known else ABSENT,
        "its width": f"{(100 if metric.is_share else 1) * (high - low):.3g}" if known else ABSENT,
        "state": word,
    }
