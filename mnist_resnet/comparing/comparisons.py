"""Tests claims without a figure: whether one level of a factor does better than another in a given measure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mnist_resnet.comparing.effects import Effect, effect
from mnist_resnet.comparing.factors import other_factors
from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.levels import level_text
from mnist_resnet.comparing.measures import MEASURES
from mnist_resnet.comparing.scale import scale_reduction
from mnist_resnet.comparing.statistics import Spread, spread
from mnist_resnet.comparing.verdicts import MIN_RUNS

KEYS = ("question", "factor", "better", "worse", "measure", "words")
"""Required keys of an entry of a config's `comparisons`."""


class Finding(StrEnum):
    """The result of testing "this level does better than that one" on paired runs."""

    SHOWN = "shown"
    REVERSED = "the other way round"
    NOT_SHOWN = "not shown"
    TOO_FEW = "too few runs"
    NOT_AT_SCALE = "not at the report's scale"
    UNDECIDED = "can't be decided here"


@dataclass(frozen=True)
class Comparison:
    """A claim that one level of a factor does better than another.

    Attributes:
        question: the question that the sweep answers.
        factor: config group or key.
        better, worse: the levels that are claimed to be better and worse.
        measure: a key of `MEASURES`.
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
        finding: the result.
        reason: one line that explains the finding.
        better, worse: the measure over the completed jobs of each level.
        effect: paired effect of going from the worse level to the better one; None if no job has the factor.
    """

    comparison: Comparison
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
            if repr(entry) not in comparisons and (comparison := _read(entry, remarks)):
                comparisons[repr(entry)] = comparison
    return [answer(comparison, jobs) for comparison in comparisons.values()], list(dict.fromkeys(remarks))


def answer(comparison: Comparison, jobs: Sequence[Job]) -> Answer:
    """Test one comparison on pairs of jobs that agree in the seed and in all other factors."""
    measure = MEASURES[comparison.measure]
    frame = jobs_frame(jobs)
    if comparison.factor not in frame:
        none = spread([])
        return Answer(comparison, Finding.UNDECIDED, f"no job has {comparison.factor}", none, none, None)
    others = other_factors(frame, comparison.factor)
    frame["measure"] = [measure.value(job) if job.completed else float("nan") for job in jobs]
    levels = frame[comparison.factor].map(level_text)
    sides = [spread(frame["measure"][levels == level_text(level)]) for level in (comparison.better, comparison.worse)]
    paired = effect(frame, comparison.factor, (comparison.worse, comparison.better), others, "measure")
    finding, reason = _finding(paired, measure.higher_is_better, jobs)
    return Answer(comparison, finding, reason, sides[0], sides[1], paired)


def _finding(paired: Effect, higher_is_better: bool, jobs: Sequence[Job]) -> tuple[Finding, str]:
    if not paired.seeds:
        return Finding.UNDECIDED, "no two completed jobs differ in this factor alone"
    reductions = list(dict.fromkeys(text for job in jobs if (text := scale_reduction(job))))
    if reductions:
        return Finding.NOT_AT_SCALE, "; ".join(reductions)
    if paired.seeds < MIN_RUNS:
        return Finding.TOO_FEW, f"{paired.seeds} seeds have a pair, and a finding needs {MIN_RUNS}"
    if not paired.significant:
        return Finding.NOT_SHOWN, "the interval of the difference spans zero"
    if (paired.mean > 0) == higher_is_better:
        return Finding.SHOWN, "the interval of the difference excludes zero"
    return Finding.REVERSED, "the interval of the difference excludes zero, on the other side"


def _read(entry: Any, remarks: list[str]) -> Comparison | None:
    missing = [key for key in KEYS if key not in entry] if isinstance(entry, dict) else list(KEYS)
    if missing:
        remarks.append(f"comparisons: an entry lacks {', '.join(missing)}; skipped")
        return None
    if entry["measure"] not in MEASURES:
        remarks.append(f"comparisons: measure {entry['measure']} is unknown; choose from {', '.join(MEASURES)}")
        return None
    return Comparison(**{key: entry[key] for key in KEYS})
