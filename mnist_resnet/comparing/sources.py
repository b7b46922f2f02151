"""What each source of randomness contributes to the spread between runs: weights, order, dropout, data split."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from mnist_resnet.comparing.cells import format_metric
from mnist_resnet.comparing.factors import distinguishing_factors
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.methods import Method
from mnist_resnet.comparing.report import ABSENT, Section
from mnist_resnet.comparing.reported import measured_columns, metric_of
from mnist_resnet.comparing.statistics import CONFIDENCE, Spread, count_test_images, grouped, spread
from mnist_resnet.config.levels import level_text, levels_text
from mnist_resnet.config.metric import Metric
from mnist_resnet.config.seed_sources import SEEDS, SOURCES

TOGETHER = "all together"

BINOMIAL = "(binomial)"

LARGEST_SD = 0.5
"""Largest standard deviation of a fraction of one: half of the runs at 0, half at 1."""

SPEED = ("seconds", "training_seconds", "images_per_second")
"""Columns that differ between runs of equal numbers."""


@dataclass(frozen=True)
class Contribution:
    """The spread between runs that differ in one source of randomness, or in all of them.

    Attributes:
        source: what was varied.
        runs: the metric of those runs.
        low, high: 95 % interval of their standard deviation; nan below two runs.
        share: their variance over that of all sources together, on the scale of the intervals; nan if not known.
        share_low, share_high: its 95 % interval.
    """

    source: str
    runs: Spread
    low: float
    high: float
    share: float
    share_low: float
    share_high: float


def contribution(source: str, runs: Spread, together: Spread | None) -> Contribution:
    """Return what a source contributes, with intervals for normally distributed runs.

    The standard deviation's is from the chi-square distribution, the share's from Fisher's F (Snedecor and Cochran,
    Statistical Methods, 8th edition, 1989, sections 5.11 and 6.12). Sources are varied one at a time, as in Bouthillier
    et al., Accounting for variance in machine learning benchmarks, MLSys 2021.
    """
    from scipy import stats

    low = high = share = share_low = share_high = float("nan")
    df, tails = runs.n - 1, np.array([(1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2])
    if df > 0:
        low, high = (runs.sd * np.sqrt(df / stats.chi2.ppf(tails, df))).tolist()
    if df > 0 and together is not None and together is not runs and together.varies:
        share = _variance(runs) / _variance(together)
        share_low, share_high = (share / stats.f.ppf(tails, df, together.n - 1)).tolist()
    return Contribution(source, runs, low, high, share, share_low, share_high)


def _variance(runs: Spread) -> float:
    return float(np.var(runs.transform.forward(runs.values), ddof=1))


def varied_sources(levels: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the sources whose own seeds differ between runs.

    Args:
        levels: of each run, the seeds that were set, by source.
    """
    return [source for source in SOURCES if len({level_text(own.get(source)) for own in levels}) > 1]


def source_seeds(job: Job) -> dict[str, Any]:
    """Return a job's seeds of single sources, by source; empty if none was ever set."""
    seeds = job.config.get("seeds")
    return seeds if isinstance(seeds, dict) else {}


def judged_jobs(jobs: Sequence[Job]) -> list[Job]:
    """Return the jobs that count as independent runs of their config.

    Where several sources are varied one at a time, those are the runs in which all of them vary together. All others
    share all but one of their seeds, so that they spread less.
    """
    levels = [source_seeds(job) for job in jobs]
    varied = varied_sources(levels)
    if len(varied) < 2:
        return list(jobs)
    kinds = _kinds(levels, varied)
    return [job for job, kind in zip(jobs, kinds, strict=True) if kind in ("", TOGETHER)]


def _kinds(levels: Sequence[Mapping[str, Any]], varied: Sequence[str]) -> list[str | None]:
    """Return what is varied in each run: a source, all of them, nothing (the empty text), or some of them (None)."""
    texts = [tuple(level_text(own.get(source)) for source in varied) for own in levels]
    base = [max(dict.fromkeys(column), key=column.count) for column in zip(*texts, strict=True)]
    kinds: list[str | None] = []
    for own in texts:
        changed = [source for source, level, usual in zip(varied, own, base, strict=True) if level != usual]
        alone = changed[0] if len(changed) == 1 else None
        kinds.append("" if not changed else TOGETHER if len(changed) == len(varied) > 1 else alone)
    return kinds


def sources_section(frame: pd.DataFrame, name: str) -> Section | None:
    """Return what each source of randomness contributes to the spread of a metric; None unless a source is varied."""
    if name not in frame:
        return None
    columns = {source: f"{SEEDS}.{source}" for source in SOURCES if f"{SEEDS}.{source}" in frame}
    levels = [
        {source: row[column] for source, column in columns.items()}
        for row in frame[[*columns.values()]].to_dict("records")
    ]
    varied = varied_sources(levels)
    if not varied:
        return None
    metric, by = metric_of(frame, name), distinguishing_factors(frame)
    rows = []
    kinds = pd.Series(_kinds(levels, varied), index=frame.index, dtype=object)
    for group, members in grouped(frame, by):
        done = members[(members["status"] == "completed") & members[name].notna()]
        images = count_test_images(done) if "test_accuracy" in name else None
        of = kinds.loc[done.index]
        runs = {kind: spread(done.loc[of.isin(["", kind]), name], metric, images) for kind in [*varied, TOGETHER]}
        together = runs.pop(TOGETHER) if len(varied) > 1 else None
        found = [contribution(SOURCES[source], runs[source], together) for source in varied]
        found += [contribution(TOGETHER, together, together)] if together else []
        config = {"config": levels_text(dict(zip(by, group, strict=True)))} if by else {}
        unmoved = {SOURCES[kind] for kind in varied if _changes_nothing(done.loc[of.isin(["", kind])])}
        rows += [config | _row(entry, metric, entry.source in unmoved) for entry in found]
        if together and together.images and together.varies:
            rows.append(config | _images_row(together, metric))
    lines = [
        f"Standard deviation of {metric.label} between runs that differ in one source of randomness alone, all other "
        "seeds being the same; its 95 % interval is from the chi-square distribution, so that it rests on normally "
        "distributed runs" + (", cut at 50 points, the most there can be." if metric.is_share else "."),
    ]
    if len(varied) > 1:
        lines.append(
            "Share: the variance over that of runs in which all of these sources differ; its interval is from Fisher's "
            "F, and both are cut at 100 %. Shares need not add up to 100 %: sources act together, and each is known "
            "from few runs only. Effects, intervals and verdicts are on the runs in which all sources differ."
        )
    if any(row["source"].endswith(BINOMIAL) for row in rows):
        lines.append(
            "All of these runs are scored on the same test images. Other images of the same kind would add the "
            "variance of their row to that of all together: in per cent of it, which may be more than 100."
        )
    methods = [
        method
        for method, column in ((Method.SOURCES, "sd"), (Method.SHARES, "its 95 % interval"))
        if any(row[column] != ABSENT for row in rows)
    ]
    return Section("Variance by source", lines, pd.DataFrame(rows, dtype=object).fillna(ABSENT), methods)


def _changes_nothing(runs: pd.DataFrame) -> bool:
    """Return whether runs are the same in every figure: an accuracy alone is too coarse to tell that."""
    figures = [name for name in measured_columns(runs) if name not in SPEED]
    return "train_loss" in figures and all(runs[name].nunique(dropna=False) == 1 for name in figures)


def _row(entry: Contribution, metric: Metric, changes_nothing: bool) -> dict[str, str]:
    runs = entry.runs
    known = runs.n > 1
    row = {
        "source": entry.source,
        "runs": str(runs.n),
        "mean": format_metric(metric, runs.mean),
        "sd": format_metric(metric, runs.sd) if known else ABSENT,
        "95 % interval of sd": ABSENT,
        "share": ABSENT,
        "its 95 % interval": ABSENT,
    }
    if known and not runs.varies:
        word = "no effect: all runs are equal" if changes_nothing else "nothing to judge by: all runs agree exactly"
        return row | {"95 % interval of sd": word}
    if known:
        low, high = (min(end, LARGEST_SD) if metric.is_share else end for end in (entry.low, entry.high))
        row["95 % interval of sd"] = f"{format_metric(metric, low)} to {format_metric(metric, high)}"
    if entry.share_low > 1:
        row |= {"share": "over 100 %", "its 95 % interval": "spreads more than all together"}
    elif entry.share == entry.share:
        row["share"] = f"{100 * min(1.0, entry.share):.0f} %"
        row["its 95 % interval"] = f"{100 * entry.share_low:.0f} to {100 * min(1.0, entry.share_high):.0f} %"
    return row


def _images_row(together: Spread, metric: Metric) -> dict[str, str]:
    """Return what a finite test set adds for other images of the same kind: the binomial standard error."""
    assert together.images
    sd = float(np.sqrt(together.mean * (1 - together.mean) / together.images))
    share = (sd / together.sd) ** 2
    return {
        "source": f"which {together.images:,} test images {BINOMIAL}",
        "runs": ABSENT,
        "mean": ABSENT,
        "sd": format_metric(metric, sd),
        "95 % interval of sd": ABSENT,
        "share": f"+{100 * share:.0f} %",
        "its 95 % interval": ABSENT,
    }
