"""Tests claimed figures against runs of the claimed config with several seeds."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from mnist_resnet.comparing.claim import Claim
from mnist_resnet.comparing.factors import NON_FACTORS, is_under
from mnist_resnet.comparing.frame import precisions
from mnist_resnet.comparing.job import SINGLE_RUNS, Job
from mnist_resnet.comparing.labels import label_sweeps
from mnist_resnet.comparing.scale import HARMLESS_KEYS, changed_settings, scale_reduction
from mnist_resnet.comparing.significance import LEVEL, holm
from mnist_resnet.comparing.statistics import Spread, spread
from mnist_resnet.comparing.transform import count_images
from mnist_resnet.config.levels import flatten, level_text
from mnist_resnet.config.metric import known_metrics
from mnist_resnet.config.seed_sources import SEEDS, seed_label
from mnist_resnet.job_folder import Status

MIN_RUNS = 3
"""Completed runs that a verdict requires."""

MAX_RATIO = 10.0
"""Largest ratio of a prediction interval's ends, as error rates, at which a claim inside it counts as confirmed.

A factor of ten in error rate separates 99 % from 90 %: a wider interval would confirm either figure.
"""

ROUNDING = 1e-9
"""Tolerance of comparisons of figures, which carry floating-point rounding."""


class Verdict(StrEnum):
    """The result of testing a claimed figure against several runs."""

    STANDS = "stands"
    HIGHER = "higher than we find"
    LOWER = "lower than we find"
    UNDECIDED = "undecided"
    NOT_STATED = "not stated"
    TOO_FEW = "too few runs"
    TOO_VARIABLE = "too variable to judge"
    NO_SPREAD = "no spread to judge by"
    DIVERGES = "diverges more often than not"
    NOT_AT_SCALE = "not at full scale"
    ANOTHER_CONFIG = "not the claimed config"


@dataclass(frozen=True)
class EpochCounts:
    """How often a figure at or beyond the claimed one occurred in any epoch of the completed runs.

    A single lucky or unlucky last epoch may have produced the claim.

    Attributes:
        side: `at or below` or `at or above`, away from the runs' mean, and above for a maximum; None if no value is
            claimed.
        hits: number of epochs whose figure was at or beyond the claimed value.
        epochs: number of epochs of all runs.
        runs_hit: number of runs with such an epoch.
        runs: number of completed runs.
        lowest, median, highest: of the figure over all epochs.
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
    def text(self) -> str:
        """The counts as text; empty if no value is claimed."""
        if not self.side:
            return ""
        epochs, runs = _count(self.epochs, "epoch"), _count(self.runs, "run")
        return f"{self.side} in {self.hits} of {epochs}, {self.runs_hit} of {runs}"


@dataclass(frozen=True)
class Judgement:
    """A claim, the runs that test it, and the verdict.

    Attributes:
        claim: the claimed figure.
        group: the tested config: its experiment's name, or the values that its sweep set.
        sweep: the name of the runs' sweep.
        verdict: the verdict on the claim.
        reason: one line that explains the verdict.
        measured: the claimed metric over the completed runs; the verdict compares the claim with its prediction
            interval (`prediction_low` to `prediction_high`), or with `best_of` for a claim of a maximum.
        jobs: all jobs of the config, whatever their status.
        epoch_counts: the figure in every epoch; None if no epoch recorded it.
        p: p value of one further run (for a maximum: the best of as many) giving the claim; nan if not tested.
        adjusted: the same after Holm's correction for the number of claims tested; it decides the verdict.
    """

    claim: Claim
    group: str
    sweep: str
    verdict: Verdict
    reason: str
    measured: Spread
    jobs: tuple[Job, ...]
    epoch_counts: EpochCounts | None
    p: float = float("nan")
    adjusted: float = float("nan")

    @property
    def verdict_text(self) -> str:
        """The verdict, with the number of runs it rests on if some did not complete."""
        statuses = seed_statuses(self.jobs)
        others = Counter(status for status in statuses if status != Status.COMPLETED)
        if not others or self.verdict in (Verdict.NOT_STATED, Verdict.NOT_AT_SCALE, Verdict.ANOTHER_CONFIG):
            return str(self.verdict)
        counts = ", ".join(f"{count} {status}" for status, count in others.items())
        return f"{self.verdict} ({len(statuses) - others.total()} of {_count(len(statuses), 'run')}; {counts})"


def judgements(jobs: Sequence[Job]) -> list[Judgement]:
    """Return one judgement for each claim of each config among the jobs; seeds of a config are taken together.

    The claims of all these jobs are one family: the more of them are tested, the stronger the evidence must be that
    contradicts one (Holm's correction).
    """
    labels = dict(zip((job.folder for job in jobs), label_sweeps(jobs), strict=True))
    swept = _swept_keys(jobs)
    several = len({job.precision for job in jobs if job.precision}) > 1
    found = []
    for group in group_by_config(jobs):
        for entry in claims_of(group[0]):
            judgement = judge(Claim.read(entry, known_metrics(group[0].config)), group, swept[labels[group[0].folder]])
            name = f"{judgement.group}, {group[0].precision}" if several and group[0].precision else judgement.group
            found.append(replace(judgement, group=name, sweep=labels[group[0].folder]))
    adjusted = holm([judgement.p for judgement in found])
    return [_corrected(judgement, p) for judgement, p in zip(found, adjusted, strict=True)]


def _corrected(judgement: Judgement, adjusted: float) -> Judgement:
    """Return the judgement with the verdict that follows from the corrected p value."""
    if not judgement.p <= LEVEL < adjusted:
        return replace(judgement, adjusted=adjusted)
    reason = f"p = {judgement.p:.3f} for this claim alone, {adjusted:.3f} after Holm's correction for all claims"
    return replace(judgement, adjusted=adjusted, verdict=Verdict.UNDECIDED, reason=reason)


def claims_of(job: Job) -> list[dict[str, Any]]:
    """Return the entries of the config's `claims`; malformed ones are ignored."""
    claims = job.config.get("claims")
    return [claim for claim in claims if isinstance(claim, dict)] if isinstance(claims, list) else []


def group_by_config(jobs: Sequence[Job]) -> list[list[Job]]:
    """Group the jobs of each sweep that differ only in seed and numerics, in order of appearance.

    Precision is no mere matter of numerics: runs in bf16 and in fp32 are two configs. A job that has not started takes
    its sweep's most common one.
    """
    # numerics that a sweep varies on purpose are a factor, also in a launch that named a single level
    no_factors = ("seed", *NON_FACTORS)
    varied = {
        sweep: tuple(key for key in keys if not is_under(key, no_factors)) for sweep, keys in _swept_keys(jobs).items()
    }
    groups: dict[tuple[Any, ...], list[Job]] = {}
    for job, sweep, precision in zip(jobs, label_sweeps(jobs), precisions(jobs), strict=True):
        leaves = {
            key: value
            for key, value in flatten(job.config).items()
            if is_under(key, varied[sweep]) or not is_under(key, HARMLESS_KEYS)
        }
        key = (sweep, repr(job.choices.get("experiment")), precision, repr(sorted(leaves.items(), key=str)))
        groups.setdefault(key, []).append(job)
    return list(groups.values())


def _swept_keys(jobs: Sequence[Job]) -> dict[str, list[str]]:
    """Return the keys that each sweep varies in any of its launches."""
    swept: dict[str, dict[str, None]] = {}
    for job, sweep in zip(jobs, label_sweeps(jobs), strict=True):
        swept.setdefault(sweep, {}).update(dict.fromkeys(job.swept))
    return {sweep: list(keys) for sweep, keys in swept.items()}


def judge(claim: Claim, jobs: Sequence[Job], swept: Sequence[str] = ()) -> Judgement:
    """Test one claim against the jobs that ran its config.

    Args:
        claim: the claim to judge.
        jobs: jobs of one config with different seeds.
        swept: the keys that the sweep varies, including keys that were added after these jobs were frozen.
    """
    completed = _one_per_seed(jobs)
    values = [claimed_metric(claim, job) for job in completed]
    counted = [value for job in completed for value in _by_epoch(claim, job)] + values
    images = count_images(counted) if claim.is_accuracy else None
    measured = spread(values, claim.metric, images)
    p = _p_value(claim, measured)
    verdict, reason = _verdict(claim, jobs, measured, p)
    is_tested = verdict in (Verdict.STANDS, Verdict.HIGHER, Verdict.LOWER)
    left_out = sum(job.completed for job in jobs) - len(completed)
    return Judgement(
        claim=claim,
        group=group_name(jobs[0], swept),
        sweep=jobs[0].sweep or SINGLE_RUNS,
        verdict=verdict,
        reason=reason + (f"; repeats of a seed left out: {left_out}, the first of each counts" if left_out else ""),
        measured=measured,
        jobs=tuple(jobs),
        epoch_counts=_count_epochs(claim, completed, measured),
        p=p if is_tested else float("nan"),
        adjusted=p if is_tested else float("nan"),
    )


def seed_statuses(jobs: Sequence[Job]) -> list[str]:
    """Return one status for each seed: `completed` if any of its jobs is, else its last job's."""
    statuses: dict[str, str] = {}
    for job in jobs:
        if statuses.get(seed := repr(_seed(job))) != Status.COMPLETED:
            statuses[seed] = job.status
    return list(statuses.values())


def diverges(jobs: Sequence[Job]) -> bool:
    """Return whether more seeds of a config diverged than completed."""
    counts = Counter(seed_statuses(jobs))
    return counts[Status.DIVERGED] > counts[Status.COMPLETED]


def _one_per_seed(jobs: Sequence[Job]) -> list[Job]:
    """Return the first completed job of each seed: a repeated seed repeats its figures, so it is not another run."""
    first: dict[str, Job] = {}
    for job in jobs:
        if job.completed:
            first.setdefault(repr(_seed(job)), job)
    return list(first.values())


def claimed_metric(claim: Claim, job: Job) -> float:
    """Return the job's own value of the claimed metric; nan if it has none.

    A claim of a maximum may come from any epoch, so it is the run's highest figure.
    """
    if claim.is_maximum:
        value = max(_by_epoch(claim, job), default=None)
    elif claim.epoch != "best":
        value = job.history.value(claim.metric)
    elif claim.metric.name.startswith("train_"):
        value = (max if claim.is_accuracy else min)(_by_epoch(claim, job), default=None)
    else:
        value = job.history.best.get(claim.metric.name)
    return float(value) if _is_number(value) and value is not None else float("nan")


def group_name(job: Job, swept: Sequence[str] = ()) -> str:
    """Return a name for a config without its seeds: its experiment, else the swept values, else the sweep or run."""
    values = {**job.choices, **flatten(job.config), **job.swept}
    unnamed = ("seed", SEEDS, "experiment")
    keys = [key for key in dict.fromkeys([*job.swept, *swept]) if not is_under(key, unnamed) and key in values]
    parts = [str(job.choices["experiment"])] if job.choices.get("experiment") else []
    parts += [f"{key}={level_text(values[key])}" for key in keys]
    return ", ".join(parts) or job.sweep or job.name


def is_too_wide(claim: Claim, measured: Spread) -> bool:
    """Return whether the ends of the prediction interval are more than `MAX_RATIO`-fold apart.

    Accuracies are compared as error rates, other metrics as they are.
    """
    ends = [measured.prediction_low, measured.prediction_high]
    low, high = sorted(1 - end if claim.is_accuracy else end for end in ends)
    # half an image wrong is the least that can be told from none
    low = max(low, 0.5 / measured.images) if claim.is_accuracy and measured.images else low
    return measured.varies and (low <= 0 or high / low > MAX_RATIO)


def _seed(job: Job) -> int | str | None:
    seed = seed_label(job.config)
    return seed if isinstance(seed, int | str) else None


def _by_epoch(claim: Claim, job: Job) -> list[float]:
    name = claim.metric.name
    return [epoch[name] for epoch in job.history.epochs if _is_number(epoch.get(name))]


def _verdict(claim: Claim, jobs: Sequence[Job], measured: Spread, p: float) -> tuple[Verdict, str]:
    if claim.value is None:
        return Verdict.NOT_STATED, "no figure is claimed"
    reductions, changes = (
        [text for job in jobs if (text := describe(job))] for describe in (scale_reduction, changed_settings)
    )
    if reductions or changes:
        verdict = Verdict.NOT_AT_SCALE if reductions else Verdict.ANOTHER_CONFIG
        return verdict, "; ".join(dict.fromkeys(reductions + changes))
    if diverges(jobs):
        return Verdict.DIVERGES, "more seeds diverged than completed, so no figure speaks for this config"
    if measured.n < MIN_RUNS:
        return Verdict.TOO_FEW, f"{measured.n} completed, and a verdict needs {MIN_RUNS}"
    if not measured.varies:
        return _compare_with_equal_runs(claim, measured)
    return _compare(claim, measured, p)


def _compare(claim: Claim, measured: Spread, p: float) -> tuple[Verdict, str]:
    return _compare_with_best(claim, measured, p) if claim.is_maximum else _compare_with_prediction(claim, measured, p)


def _grain(measured: Spread) -> float:
    return 1 / measured.images if measured.images else 0.0


def _p_value(claim: Claim, measured: Spread) -> float:
    if claim.value is None or measured.n < MIN_RUNS:
        return float("nan")
    low, high = claim.bounds(_grain(measured))
    return measured.best_of_p(low, measured.n) if claim.is_maximum else measured.prediction_p(low, high)


def _compare_with_equal_runs(claim: Claim, measured: Spread) -> tuple[Verdict, str]:
    low, high = claim.bounds(_grain(measured))
    figure = _figure(claim, measured.mean)
    if low - ROUNDING <= measured.mean <= high + ROUNDING:
        return Verdict.STANDS, f"all runs show {figure}, which the claim rounds to"
    return Verdict.NO_SPREAD, f"all runs show {figure}: how far a further run may lie from it can't be told"


def _compare_with_best(claim: Claim, measured: Spread, p: float) -> tuple[Verdict, str]:
    supposed = f"the best epoch of {measured.n} runs, as many as ours (one-sided)"
    bound = _figure(claim, measured.best_of(measured.n))
    if p <= LEVEL:
        return Verdict.HIGHER, f"above {bound}, which {supposed}, stays below in 95 % of cases"
    if is_too_wide(claim, measured):
        return Verdict.TOO_VARIABLE, _too_wide_text(claim, measured)
    return Verdict.STANDS, f"not above {bound}, which {supposed}, stays below in 95 % of cases"


def _compare_with_prediction(claim: Claim, measured: Spread, p: float) -> tuple[Verdict, str]:
    if p <= LEVEL:
        is_above = claim.bounds()[0] > measured.mean
        verdict = Verdict.HIGHER if is_above else Verdict.LOWER
        return verdict, f"{'above' if is_above else 'below'} the prediction interval"
    if is_too_wide(claim, measured):
        return Verdict.TOO_VARIABLE, _too_wide_text(claim, measured)
    return Verdict.STANDS, "within the prediction interval"


def _too_wide_text(claim: Claim, measured: Spread) -> str:
    runs = ", ".join(_figure(claim, value) for value in measured.values)
    return f"the interval is so wide that nearly any claim would stand; the runs: {runs}"


def _count_epochs(claim: Claim, jobs: Sequence[Job], measured: Spread) -> EpochCounts | None:
    runs = [_by_epoch(claim, job) for job in jobs]
    figures = np.asarray([value for run in runs for value in run], dtype=float)
    if not len(figures):
        return None
    low, high = claim.bounds(_grain(measured))
    # without a claimed value the bounds are nan, and no epoch is beyond them
    downwards = claim.value is not None and claim.value < measured.mean and not claim.is_maximum
    hits = [sum(value <= high if downwards else value >= low for value in run) for run in runs]
    side = ("at or below" if downwards else "at or above") if claim.value is not None else None
    extremes = float(figures.min()), float(np.median(figures)), float(figures.max())
    return EpochCounts(side, sum(hits), len(figures), sum(map(bool, hits)), len(runs), *extremes)


def _figure(claim: Claim, value: float) -> str:
    return f"{100 * value:.2f}" if claim.metric.is_share else f"{value:.4g}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
