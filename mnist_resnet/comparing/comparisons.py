"""Tests claims without a figure: whether one level of a factor does better than another in a given measure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from mnist_resnet.comparing.effects import Conclusion, Effect, correct, effect, undecided_text
from mnist_resnet.comparing.factors import other_factors
from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.measures import MEASURES, Measure, measure_of
from mnist_resnet.comparing.scale import scale_reduction
from mnist_resnet.comparing.statistics import Spread, spread
from mnist_resnet.comparing.verdicts import MIN_RUNS
from mnist_resnet.config.levels import level_text
from mnist_resnet.config.metric import declared_metrics
from mnist_resnet.job_folder import Status

KEYS = ("question", "factor", "better", "worse", "measure", "words")
"""Required keys of an entry of a config's `comparisons`."""


class Finding(StrEnum):
    """The result of testing "this level does better than that one" on paired runs."""

    SHOWN = "shown"
    REVERSED = "the other way round"
    EQUIVALENT = "no difference that matters"
    UNDECIDED = "undecided"
    MIXED = "depends on the other factors"
    DIVERGES = "a side diverges more often than not"
    NO_SPREAD = "no spread to judge by"
    TOO_FEW = "too few runs"
    NOT_AT_SCALE = "not at full scale"
    NO_PAIRS = "can't be decided here"


DECIDED_BY_P = (
    Finding.SHOWN,
    Finding.REVERSED,
    Finding.EQUIVALENT,
    Finding.UNDECIDED,
)
"""Findings that rest on a p value, so that they count for its correction."""


@dataclass(frozen=True)
class Comparison:
    """A claim that one level of a factor does better than another.

    Attributes:
        question: the question that the sweep answers.
        factor: config group or key.
        better, worse: the levels that are claimed to be better and worse.
        measure: a key of `MEASURES`, or a metric that has a direction.
        words: the claim as published.
    """

    question: str
    factor: str
    better: Any
    worse: Any
    measure: str
    words: str


@dataclass(frozen=True)
class Answer:
    """A comparison and its result.

    Attributes:
        comparison: the claim.
        measure: the measure that decides it.
        finding: the result.
        reason: one line that explains the finding.
        better, worse: the measure over the completed jobs of each level.
        effect: paired effect of going from the worse level to the better one; None if no job has the factor.
    """

    comparison: Comparison
    measure: Measure
    finding: Finding
    reason: str
    better: Spread
    worse: Spread
    effect: Effect | None


def answers(jobs: Sequence[Job]) -> tuple[list[Answer], list[str]]:
    """Return an answer to each comparison in the jobs' configs, and a remark for each unusable entry."""
    remarks: list[str] = []
    comparisons: dict[str, Comparison] = {}
    for job in jobs:
        entries = job.config.get("comparisons")
        for entry in entries if isinstance(entries, list) else []:
            if repr(entry) not in comparisons and (comparison := _read(entry, jobs, remarks)):
                comparisons[repr(entry)] = comparison
    found = [answer(comparison, jobs) for comparison in comparisons.values()]
    return _as_family(found), list(dict.fromkeys(remarks))


def answer(comparison: Comparison, jobs: Sequence[Job]) -> Answer:
    """Test one comparison on pairs of jobs that agree in the seed and in all other factors.

    Jobs of a smaller scale than the report's decide nothing: they are left out, unless there are no others. No p value
    is corrected yet for other comparisons.
    """
    full_scale = [job for job in jobs if not scale_reduction(job)]
    found = _answer(comparison, full_scale) if full_scale else None
    if found and found.effect and found.effect.seeds:
        left_out = len(jobs) - len(full_scale)
        return replace(found, reason=f"{found.reason}; {left_out} smaller jobs are left out") if left_out else found
    found = _answer(comparison, jobs)
    if not (found.effect and found.effect.seeds):
        return found
    reductions = list(dict.fromkeys(text for job in jobs if (text := scale_reduction(job))))
    return replace(found, finding=Finding.NOT_AT_SCALE, reason="; ".join(reductions))


def _answer(comparison: Comparison, jobs: Sequence[Job]) -> Answer:
    measure = _measure(comparison.measure, jobs)
    assert measure is not None
    frame = jobs_frame(jobs)
    if comparison.factor not in frame:
        none = spread([])
        return Answer(comparison, measure, Finding.NO_PAIRS, f"no job has {comparison.factor}", none, none, None)
    others = other_factors(frame, comparison.factor)
    frame["measure"] = [measure.value(job) if job.completed else float("nan") for job in jobs]
    levels = frame[comparison.factor].map(level_text)
    at_level = [levels == level_text(level) for level in (comparison.better, comparison.worse)]
    sides = [spread(frame["measure"][chosen]) for chosen in at_level]
    paired = effect(frame, comparison.factor, (comparison.worse, comparison.better), others, "measure")
    (paired,) = correct([replace(paired, ends=measure.ends)])
    finding, reason = _finding(paired, measure.higher_is_better)
    compared = [job for number, job in enumerate(jobs) if job.completed and any(side.iloc[number] for side in at_level)]
    lacking = sum(math.isnan(measure.value(job)) for job in compared)
    if lacking:
        what = f"usable {measure.file}" if measure.file else "figure of it"
        text = f"{lacking} of {len(compared)} completed jobs have no {what}"
        reason = f"{reason}; {text}" if paired.seeds else text
    for level, chosen in zip((comparison.better, comparison.worse), at_level, strict=True):
        members = [job for job, is_member in zip(jobs, chosen, strict=True) if is_member]
        diverged = sum(job.status == Status.DIVERGED for job in members)
        if diverged > (completed := sum(job.completed for job in members)):
            reason = f"of {level_text(level)}, {diverged} jobs diverged and {completed} completed"
            finding = Finding.DIVERGES
    missing = _missing_text(paired, "can be used" if lacking else "completed")
    return Answer(comparison, measure, finding, reason + missing, sides[0], sides[1], paired)


def _as_family(found: Sequence[Answer]) -> list[Answer]:
    """Return the answers with findings that follow from p values corrected for the number of comparisons."""
    tested = [answer for answer in found if answer.finding in DECIDED_BY_P and answer.effect]
    effects = correct([answer.effect for answer in tested if answer.effect])
    by_comparison = {id(answer): (answer, paired) for answer, paired in zip(tested, effects, strict=True)}
    return [_corrected(*by_comparison[id(answer)]) if id(answer) in by_comparison else answer for answer in found]


def _corrected(answer: Answer, paired: Effect) -> Answer:
    finding, reason = _finding(paired, answer.measure.higher_is_better)
    # what else was said of the pairs stays
    _, separator, more = answer.reason.partition("; ")
    return replace(answer, finding=finding, reason=reason + separator + more, effect=paired)


def _measure(name: str, jobs: Sequence[Job]) -> Measure | None:
    """Return the measure with this name; None if it is unknown, or a metric without a direction."""
    return next(filter(None, (measure_of(name, job.config) for job in jobs)), None)


def _missing_text(paired: Effect, word: str) -> str:
    used = paired.seeds * paired.cells
    texts = [f"; {used} of {used + paired.left_out} pairs {word}"] if paired.left_out else []
    if paired.cells > 1 and not paired.complete:
        texts.append(f"; over {paired.cells} combinations of the other factors, not all")
    return "".join(texts)


def _finding(paired: Effect, higher_is_better: bool) -> tuple[Finding, str]:
    if not paired.seeds:
        return Finding.NO_PAIRS, "no two completed jobs differ in this factor alone"
    if paired.seeds < MIN_RUNS:
        return Finding.TOO_FEW, f"{paired.seeds} of the {MIN_RUNS} seeds with a pair that a finding needs"
    if paired.is_mixed:
        cells = ", ".join(f"{cell.mean:+.3g}" for cell in paired.within)
        return Finding.MIXED, f"its effect differs between the combinations of the others: {cells}"
    if paired.conclusion == Conclusion.NO_INTERVAL:
        return Finding.NO_SPREAD, "all seeds show exactly the same difference"
    corrected = f"corrected p = {paired.adjusted:.3g}"
    if paired.conclusion == Conclusion.EQUIVALENT:
        return Finding.EQUIVALENT, f"no difference larger than {paired.margin:.2g}, a tenth of the claimed worse"
    if not paired.significant:
        return Finding.UNDECIDED, f"{corrected}, {undecided_text(paired, f'{paired.margin:.2g}')}"
    is_better = (paired.mean > 0) == higher_is_better
    return (Finding.SHOWN if is_better else Finding.REVERSED), corrected


def _read(entry: Any, jobs: Sequence[Job], remarks: list[str]) -> Comparison | None:
    missing = [key for key in KEYS if key not in entry] if isinstance(entry, dict) else list(KEYS)
    if missing:
        remarks.append(f"comparisons: an entry lacks {', '.join(missing)}; skipped")
        return None
    if _measure(entry["measure"], jobs) is None:
        declared = [name for job in jobs for name in declared_metrics(job.config)]
        known = ", ".join(dict.fromkeys([*declared, *MEASURES]))
        remarks.append(f"comparisons: measure {entry['measure']} is unknown or has no direction; choose from {known}")
        return None
    return Comparison(**{key: entry[key] for key in KEYS})
