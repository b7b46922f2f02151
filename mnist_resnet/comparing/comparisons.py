"""Claims without a figure: whether one level of a factor does better than another, by a measure that decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from mnist_resnet.comparing.effects import Effect, effect
from mnist_resnet.comparing.factors import others
from mnist_resnet.comparing.frame import Job, jobs_frame, level_text
from mnist_resnet.comparing.measures import MEASURES
from mnist_resnet.comparing.scale import reduced
from mnist_resnet.comparing.statistics import Spread, spread
from mnist_resnet.comparing.verdicts import FEWEST_RUNS

KEYS = ("question", "factor", "better", "worse", "measure", "words")
"""Of one entry of a config's `comparisons`."""


class Finding(StrEnum):
    """What the paired runs say about "this level does better than that"."""

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
        question: that the sweep answers.
        factor: config group or key.
        better, worse: its levels, as the claim has them.
        measure: a key of `MEASURES`.
        words: of whoever claims it.
    """

    question: str
    factor: str
    better: Any
    worse: Any
    measure: str
    words: str


@dataclass(frozen=True)
class Answer:
    """A comparison, and what the runs say.

    Attributes:
        comparison: the claim.
        finding: on it.
        reason: one line that says why.
        better, worse: the measure over the completed jobs of either level.
        effect: of going from the worse level to the better one, paired; None where nothing could be paired.
    """

    comparison: Comparison
    finding: Finding
    reason: str
    better: Spread
    worse: Spread
    effect: Effect | None


def answers(jobs: Sequence[Job]) -> tuple[list[Answer], list[str]]:
    """An answer to each comparison that the jobs' configs state, and a line for each entry that can't be used."""
    remarks: list[str] = []
    found: dict[str, Comparison] = {}
    for job in jobs:
        entries = job.config.get("comparisons")
        for entry in entries if isinstance(entries, list) else []:
            if repr(entry) not in found and (comparison := _read(entry, remarks)):
                found[repr(entry)] = comparison
    return [answer(comparison, jobs) for comparison in found.values()], list(dict.fromkeys(remarks))


def answer(comparison: Comparison, jobs: Sequence[Job]) -> Answer:
    """Decide one comparison by jobs alike in seed and in all factors but the one compared."""
    measure = MEASURES[comparison.measure]
    frame = jobs_frame(jobs)
    if comparison.factor not in frame:
        none = spread([])
        return Answer(comparison, Finding.UNDECIDED, f"no job has {comparison.factor}", none, none, None)
    alike = others(frame, comparison.factor)
    frame["measure"] = [measure.of(job) if job.completed else float("nan") for job in jobs]
    levels = frame[comparison.factor].map(level_text)
    sides = [spread(frame["measure"][levels == level_text(level)]) for level in (comparison.better, comparison.worse)]
    found = effect(frame, comparison.factor, (comparison.worse, comparison.better), alike, "measure")
    finding, reason = _finding(found, measure.more_is_better, jobs)
    return Answer(comparison, finding, reason, sides[0], sides[1], found)


def _finding(found: Effect, more_is_better: bool, jobs: Sequence[Job]) -> tuple[Finding, str]:
    if not found.seeds:
        return Finding.UNDECIDED, "no two completed jobs differ in this factor alone"
    smaller = list(dict.fromkeys(reason for job in jobs if (reason := reduced(job))))
    if smaller:
        return Finding.NOT_AT_SCALE, "; ".join(smaller)
    if found.seeds < FEWEST_RUNS:
        return Finding.TOO_FEW, f"{found.seeds} seeds have a pair, and a finding needs {FEWEST_RUNS}"
    if not found.shown:
        return Finding.NOT_SHOWN, "the interval of the difference spans zero"
    if (found.mean > 0) == more_is_better:
        return Finding.SHOWN, "the interval of the difference leaves out zero"
    return Finding.REVERSED, "the interval of the difference leaves out zero, on the other side"


def _read(entry: Any, remarks: list[str]) -> Comparison | None:
    missing = [key for key in KEYS if key not in entry] if isinstance(entry, dict) else list(KEYS)
    if missing:
        remarks.append(f"comparisons: an entry lacks {', '.join(missing)} and is left out")
        return None
    if entry["measure"] not in MEASURES:
        remarks.append(f"comparisons: measure {entry['measure']} is unknown; there are {', '.join(MEASURES)}")
        return None
    return Comparison(**{key: entry[key] for key in KEYS})
