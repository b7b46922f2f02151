"""Whether a claimed figure stands, put to the test by runs of the claimed config with several seeds."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from mnist_resnet.comparing.frame import NO_FACTORS, UNNAMED, Job, flatten
from mnist_resnet.comparing.scale import HARMLESS, altered, below, reduced
from mnist_resnet.comparing.statistics import Spread, spread

FEWEST_RUNS = 3
"""Completed runs that a verdict needs."""

WIDEST = 10.0
"""Ratio of a prediction interval's ends, as error rates, above which nothing within it is called confirmed.

Tenfold in error rate is what tells 99 % from 90 %: an interval wider than that would let either figure stand.
"""

ROUNDING = 1e-9
"""Slack of comparisons: equal runs have an interval of no width, and their mean is off by rounding."""


class Verdict(StrEnum):
    """What several runs say about a claimed figure."""

    STANDS = "stands"
    HIGHER = "higher than we find"
    LOWER = "lower than we find"
    NOT_STATED = "not stated"
    TOO_FEW = "too few runs"
    TOO_VARIABLE = "too variable to judge"
    NOT_AT_SCALE = "not at the report's scale"
    ANOTHER_CONFIG = "not the claimed config"


@dataclass(frozen=True)
class Claim:
    """A figure that somebody states for a config.

    Attributes:
        metric: a key of `metrics.jsonl`, such as `test_accuracy`.
        epoch: `last`, or `best`: the highest training figure, or the test figure in the epoch picked as best.
        value: in the metric's own unit, accuracies as fractions of one; None where the words state none.
        approximate: whether the words say so ("about", "up to").
        words: as they were published.
    """

    metric: str
    epoch: str
    value: float | None
    approximate: bool
    words: str

    @classmethod
    def read(cls, entry: dict[str, Any]) -> "Claim":
        """The claim in one entry of the config's `claims`."""
        value = entry.get("value")
        return cls(
            metric=str(entry.get("metric", "test_accuracy")),
            epoch=str(entry.get("epoch") or "last"),
            value=float(value) if isinstance(value, (int, float)) else None,
            approximate=bool(entry.get("approximate", False)),
            words=str(entry.get("words") or ("" if value is None else value)),
        )

    @property
    def accuracy(self) -> bool:
        """Whether the metric is an accuracy, to be judged by its error rate."""
        return self.metric.endswith("_accuracy")

    @property
    def bounds(self) -> tuple[float, float]:
        """The values that the claim may mean: an approximate one, all that round to the figure as it is written.

        "About 85 %" is written in whole per cent, so it means 84.5 to 85.5 %; an exact claim means its value.
        """
        if self.value is None:
            return float("nan"), float("nan")
        half = self._unit / 2 if self.approximate else 0.0
        return self.value - half, self.value + half

    @property
    def _unit(self) -> float:
        """One in the last decimal place that the figure is written with."""
        percent = 100.0 if self.accuracy else 1.0
        value = (self.value or 0.0) * percent
        written = re.findall(r"\d+(?:[.,]\d+)?", self.words)
        same = [number for number in written if abs(float(number.replace(",", ".")) - value) < 1e-9]
        decimals = re.split("[.,]", same[0] if same else f"{value:.10g}")[1:]
        return float(10.0 ** -len("".join(decimals)) / percent)


@dataclass(frozen=True)
class Swing:
    """A claimed figure over all epochs of the completed runs: one unlucky last epoch may have made the claim.

    Attributes:
        side: `at or below` or `at or above`: away from what the runs find on average; None where no value is claimed.
        hits: epochs whose figure was at or beyond the claimed value.
        epochs: of all runs.
        runs_hit: runs with such an epoch.
        runs: that were completed.
        lowest, median, highest: the figure over all epochs.
    """

    side: str | None
    hits: int
    epochs: int
    runs_hit: int
    runs: int
    lowest: float
    median: float
    highest: float

    @property
    def words(self) -> str:
        """The count as text; empty where no value is claimed."""
        if not self.side:
            return ""
        return f"{self.side} in {self.hits} of {self.epochs} epochs, {self.runs_hit} of {self.runs} runs"


@dataclass(frozen=True)
class Judgement:
    """A claim, the runs that test it, and what they say.

    Attributes:
        claim: the figure.
        group: the config that it is about, in words: its experiment's name, or what its sweep set.
        sweep: that the runs are of.
        verdict: on the claim.
        reason: one line that says why.
        measured: the claimed metric over the completed runs; `prediction_low` and `prediction_high` judge.
        jobs: of that config, whatever became of them.
        swing: what the figure did from epoch to epoch; None where no epoch tells.
    """

    claim: Claim
    group: str
    sweep: str
    verdict: Verdict
    reason: str
    measured: Spread
    jobs: tuple[Job, ...]
    swing: Swing | None

    @property
    def epochs(self) -> str:
        """In how many epochs of how many runs the figure was at or beyond the claimed one; empty if none tells."""
        return self.swing.words if self.swing else ""


def judgements(jobs: Sequence[Job]) -> list[Judgement]:
    """One judgement for each claim of each config among the jobs, seeds taken together."""
    swept: dict[str | None, dict[str, None]] = {}
    for job in jobs:
        swept.setdefault(job.sweep, {}).update(dict.fromkeys(job.swept))
    found = []
    for group in same_config(jobs):
        for entry in group[0].claims:
            found.append(judge(Claim.read(entry), group, list(swept[group[0].sweep])))
    return found


def same_config(jobs: Sequence[Job]) -> list[list[Job]]:
    """The jobs of each sweep that differ in nothing but seed and numerics, in order of appearance."""
    groups: dict[tuple[Any, ...], list[Job]] = {}
    for job in jobs:
        leaves = {key: value for key, value in flatten(job.config).items() if not below(key, HARMLESS)}
        # a numeric that was swept on purpose is a factor after all
        leaves |= {key: value for key, value in job.swept.items() if key != "seed" and not below(key, NO_FACTORS)}
        key = (job.sweep, repr(job.choices.get("experiment")), repr(sorted(leaves.items(), key=str)))
        groups.setdefault(key, []).append(job)
    return list(groups.values())


def judge(claim: Claim, jobs: Sequence[Job], swept: Sequence[str] = ()) -> Judgement:
    """Put one claim to the test of the jobs that ran its config.

    Args:
        claim: to be judged.
        jobs: of one config, seeds apart.
        swept: what the sweep varies, also where these jobs were frozen before it did.
    """
    # a seed that was run twice gives its figures twice, and is no further run
    completed = list({repr(job.seed): job for job in reversed(jobs) if job.completed}.values())[::-1]
    measured = spread(claimed_figure(claim, job) for job in completed)
    verdict, reason = _verdict(claim, jobs, measured)
    return Judgement(
        claim=claim,
        group=group_name(jobs[0], swept),
        sweep=jobs[0].sweep or UNNAMED,
        verdict=verdict,
        reason=reason,
        measured=measured,
        jobs=tuple(jobs),
        swing=_swing(claim, completed, measured),
    )


def claimed_figure(claim: Claim, job: Job) -> float:
    """What a job measured of the metric that is claimed; nan where it has none."""
    if claim.epoch != "best":
        value = job.last.get(claim.metric)
    elif claim.metric.startswith("train_"):
        values = [epoch[claim.metric] for epoch in job.metrics if _is_number(epoch.get(claim.metric))]
        value = (max if claim.accuracy else min)(values, default=None)
    else:
        value = job.best.get(claim.metric)
    return float(value) if _is_number(value) and value is not None else float("nan")


def group_name(job: Job, swept: Sequence[str] = ()) -> str:
    """A config in words, without its seed: its experiment, else what was swept, else the sweep's or run's name."""
    told = {**job.choices, **flatten(job.config), **job.swept}
    keys = [key for key in dict.fromkeys([*job.swept, *swept]) if key not in ("seed", "experiment") and key in told]
    parts = [str(job.choices["experiment"])] if job.choices.get("experiment") else []
    parts += [f"{key}={told[key]}" for key in keys]
    return ", ".join(parts) or job.sweep or job.name


def _verdict(claim: Claim, jobs: Sequence[Job], measured: Spread) -> tuple[Verdict, str]:
    if claim.value is None:
        return Verdict.NOT_STATED, "no figure is claimed"
    smaller, other = ([reason for job in jobs if (reason := problem(job))] for problem in (reduced, altered))
    if smaller or other:
        verdict = Verdict.NOT_AT_SCALE if smaller else Verdict.ANOTHER_CONFIG
        return verdict, "; ".join(dict.fromkeys(smaller + other))
    if measured.n < FEWEST_RUNS:
        return Verdict.TOO_FEW, f"{measured.n} completed, and a verdict needs {FEWEST_RUNS}"
    return _against_prediction(claim, measured)


def _against_prediction(claim: Claim, measured: Spread) -> tuple[Verdict, str]:
    low, high = claim.bounds
    if low > measured.prediction_high + ROUNDING:
        return Verdict.HIGHER, "above the prediction interval"
    if high < measured.prediction_low - ROUNDING:
        return Verdict.LOWER, "below the prediction interval"
    if too_wide(claim, measured):
        runs = ", ".join(_figure(claim, value) for value in measured.values)
        return Verdict.TOO_VARIABLE, f"the interval is so wide that nearly any claim would stand; the runs: {runs}"
    return Verdict.STANDS, "within the prediction interval"


def too_wide(claim: Claim, measured: Spread) -> bool:
    """Whether the prediction interval spans more than `WIDEST` in error rate (or in the metric, if no accuracy)."""
    ends = [measured.prediction_low, measured.prediction_high]
    low, high = sorted(1 - end if claim.accuracy else end for end in ends)
    return measured.sd > 0 and (low <= 0 or high / low > WIDEST)


def _swing(claim: Claim, jobs: Sequence[Job], measured: Spread) -> Swing | None:
    runs = [[epoch[claim.metric] for epoch in job.metrics if _is_number(epoch.get(claim.metric))] for job in jobs]
    figures = np.asarray([value for run in runs for value in run], dtype=float)
    if not len(figures):
        return None
    low, high = claim.bounds
    # with no value claimed the bounds are nan, and no epoch lies beyond them
    downwards = claim.value is not None and claim.value < measured.mean
    hits = [sum(value <= high if downwards else value >= low for value in run) for run in runs]
    side = ("at or below" if downwards else "at or above") if claim.value is not None else None
    ends = float(figures.min()), float(np.median(figures)), float(figures.max())
    return Swing(side, sum(hits), len(figures), sum(map(bool, hits)), len(runs), *ends)


def _figure(claim: Claim, value: float) -> str:
    return f"{100 * value:.2f}" if claim.accuracy else f"{value:.4g}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
