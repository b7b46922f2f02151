"""Report sections with judgements: claims, effects, comparisons, McNemar's test."""

from collections.abc import Sequence

import pandas as pd

from mnist_resnet.comparing.cells import HEADINGS, format_cell
from mnist_resnet.comparing.changes import BASE_NAMES, changes
from mnist_resnet.comparing.comparisons import Answer
from mnist_resnet.comparing.effects import Effect, effects, interactions
from mnist_resnet.comparing.factors import other_factors, varying_factors
from mnist_resnet.comparing.job import SINGLE_RUNS, Job
from mnist_resnet.comparing.jobs_table import count_text
from mnist_resnet.comparing.levels import level_text, levels_text
from mnist_resnet.comparing.mcnemar import McNemarResult
from mnist_resnet.comparing.measures import MEASURES
from mnist_resnet.comparing.report import ABSENT, Section
from mnist_resnet.comparing.statistics import Spread
from mnist_resnet.comparing.verdicts import MAX_RATIO, MIN_RUNS, EpochCounts, Judgement, Verdict

MAX_LEVELS = 12
"""Largest number of levels for which each level of a factor is compared with the first; for more, see the plots."""

EPOCH_BY_EPOCH = (
    "All epochs of all completed runs. Accuracy varies from one epoch to the next, so a claim may come from a single "
    "lucky or unlucky epoch: the count says how often a figure at least as far from our mean occurred."
)


def claims_sections(judgements: Sequence[Judgement]) -> list[Section]:
    """Return each claim compared with the measurements, then with every epoch; nothing without claims."""
    if not judgements:
        return []
    lines = [
        "A claim is treated as one run: it stands if it lies in the 95 % prediction interval for one further run "
        "(Student's t). An approximate claim covers all values that round to the stated figure. "
        "Accuracies are in per cent.",
        f"A verdict needs {MIN_RUNS} completed runs; an interval whose ends lie more than {MAX_RATIO:g}-fold apart in "
        "error rate confirms nothing.",
    ]
    reasons: dict[tuple[str, str], list[str]] = {}
    # verdicts that follow from the interval need no reason beside the table
    for judgement in judgements:
        if judgement.verdict in (Verdict.TOO_VARIABLE, Verdict.NOT_AT_SCALE, Verdict.ANOTHER_CONFIG):
            reasons.setdefault((judgement.verdict, judgement.reason), []).append(judgement.group)
    for (verdict, reason), groups in reasons.items():
        lines.append(f"{verdict.capitalize()} ({', '.join(dict.fromkeys(groups))}): {reason}.")
    by_epoch = [_epochs_row(judgement, counts) for judgement in judgements if (counts := judgement.epoch_counts)]
    return [
        Section("Claims", lines, pd.DataFrame(map(_claim_row, judgements), dtype=object)),
        Section("Claims, epoch by epoch", [EPOCH_BY_EPOCH], pd.DataFrame(by_epoch, dtype=object)),
    ]


def _metric_text(metric: str) -> str:
    return HEADINGS.get(metric, metric).removesuffix(", %")


def _claim_row(judgement: Judgement) -> dict[str, str]:
    claim, measured = judgement.claim, judgement.measured
    best = "best " if claim.epoch == "best" else ""
    picked = " (picked on test)" if best and not claim.metric.startswith("train") and _picked_on_test(judgement) else ""
    return {
        "config": judgement.group,
        "metric": best + _metric_text(claim.metric) + picked,
        "claimed": claim.words,
        "n": str(measured.n) if measured.n == len(judgement.jobs) else f"{measured.n} ({count_text(judgement.jobs)})",
        "measured": _mean_text(claim.metric, measured),
        "one further run": _range_text(claim.metric, measured.prediction_low, measured.prediction_high),
        "verdict": str(judgement.verdict),
    }


def _epochs_row(judgement: Judgement, counts: EpochCounts) -> dict[str, str]:
    metric = judgement.claim.metric
    best = "best " if judgement.claim.epoch == "best" else ""
    return {
        "config": judgement.group,
        "metric": best + _metric_text(metric),
        "claimed": judgement.claim.words,
        "epochs at or beyond the claim": counts.text or ABSENT,
        "lowest": format_cell(metric, counts.lowest),
        "median": format_cell(metric, counts.median),
        "highest": format_cell(metric, counts.highest),
    }


def _picked_on_test(judgement: Judgement) -> bool:
    return any(job.history.best.get("picked_on", "test") == "test" for job in judgement.jobs)


def _mean_text(metric: str, measured: Spread) -> str:
    half = (measured.high - measured.low) / 2
    return format_cell(metric, measured.mean) + (f" ± {format_cell(metric, half)}" if measured.n > 1 else "")


def _range_text(metric: str, low: float, high: float) -> str:
    return f"{format_cell(metric, low)} to {format_cell(metric, high)}" if low == low else ABSENT


def effects_section(frame: pd.DataFrame, metric: str, by: Sequence[str] | None = None) -> Section | None:
    """Return the effects of single factors and the interactions of two; None if no factor varies.

    An experiment's name stands for several factors at once, and is a factor only if `by` names it.
    """
    factors = by if by is not None else [name for name in varying_factors(frame) if name not in ("experiment", "sweep")]
    factors = [factor for factor in factors if factor != "seed"]
    few_levels = [factor for factor in factors if frame[factor].map(level_text).nunique() <= MAX_LEVELS]
    alone = [effect for factor in few_levels for effect in effects(frame, factor, other_factors(frame, factor), metric)]
    if not alone:
        return None
    lines = [_effects_text(metric, len(alone))]
    lines += [f"No two jobs differ in {name} alone: its effect can't be determined." for name in _undetermined(alone)]
    lines += [
        f"{factor} has more than {MAX_LEVELS} levels and is left out." for factor in factors if factor not in few_levels
    ]
    rest = [factor for factor in varying_factors(frame) if factor not in (*few_levels, "experiment")]
    together = interactions(frame, few_levels, metric, rest)
    rows = [_effect_row(effect) for effect in [*alone, *together] if effect.seeds]
    return Section("Effects", lines, pd.DataFrame(rows, dtype=object))


def changes_section(frame: pd.DataFrame, metric: str) -> Section | None:
    """Return the changes of one factor at a time, with their effect on the training time; None without changes."""
    found = changes(frame, metric)
    if not found:
        return None
    bases = dict.fromkeys((change.base, levels_text(change.levels)) for change in found)
    lines = [f"{BASE_NAMES[base]} is {levels}." for base, levels in bases]
    lines.append(
        f"{_effects_text(metric, len(found)).removesuffix('.')}. Training seconds are those of the steps alone, "
        "without evaluation and start-up."
    )
    rows = []
    for change in found:
        row = {"from": BASE_NAMES[change.base]} | _effect_row(change.metric)
        seconds = change.seconds
        if seconds.seeds:
            interval = ABSENT if seconds.low != seconds.low else f"{seconds.low:+.3g} to {seconds.high:+.3g}"
            row |= {"training, s": f"{seconds.mean:+.3g}", "its 95 % interval": interval}
        rows.append(row)
    return Section("One change at a time", lines, pd.DataFrame(rows, dtype=object))


def _undetermined(found: Sequence[Effect]) -> list[str]:
    """Return the changes that no pair of jobs shows; the factor's name alone if none of its changes has a pair."""
    determined = {effect.factors for effect in found if effect.seeds}
    unpaired = [effect for effect in found if not effect.seeds]
    names = [_change_text(effect) if effect.factors in determined else effect.factors[0] for effect in unpaired]
    return list(dict.fromkeys(names))


def _effects_text(metric: str, count: int) -> str:
    errors = f"{metric.removesuffix('_accuracy').replace('_', ' ')} error rate in percentage points"
    return (
        f"Change of the last epoch's {errors if metric.endswith('_accuracy') else metric}, paired by seed and by the "
        "other factors' levels, averaged within each seed; 95 % interval over seeds (paired t); p values are not "
        f"corrected for their number ({count} effect{'s' * (count != 1)})."
    )


def _change_text(effect: Effect) -> str:
    return " × ".join(
        f"{factor}: {level_text(levels[0])} → {level_text(levels[1])}"
        for factor, levels in zip(effect.factors, effect.levels, strict=True)
    )


def _effect_row(effect: Effect) -> dict[str, str]:
    unknown = effect.low != effect.low
    interval = f"{_signed(effect.metric, effect.low)} to {_signed(effect.metric, effect.high)}"
    return {
        "change": _change_text(effect),
        "effect": _signed(effect.metric, effect.mean),
        "95 % interval": ABSENT if unknown else interval,
        "p": ABSENT if unknown else (f"{effect.p:.3f}" if effect.p >= 0.001 else "< 0.001"),
        "seeds": str(effect.seeds),
        "pairs": f"{effect.seeds * effect.cells}" + (f" ({effect.left_out} left out)" if effect.left_out else ""),
        "": "shown" if effect.significant else "not shown",
    }


def _signed(metric: str, value: float) -> str:
    return f"{100 * value:+.2f}" if metric.endswith("_accuracy") else f"{value:+.4g}"


def comparisons_section(answers: Sequence[Answer]) -> Section | None:
    """Return claims without a figure, each with the measure that decides it; None if there are none."""
    if not answers:
        return None
    lines = ["Paired by seed and by the other factors' levels; 95 % interval of the difference over seeds (paired t)."]
    lines += [
        f"{answer.comparison.question} “{answer.comparison.words}”: {answer.finding} ({answer.reason})."
        for answer in answers
    ]
    return Section("Claims without a figure", lines, pd.DataFrame(map(_answer_row, answers), dtype=object))


def _answer_row(answer: Answer) -> dict[str, str]:
    claim = answer.comparison
    sides = ((claim.better, answer.better), (claim.worse, answer.worse))
    means = [f"{level_text(level)}: {_number_text(side.mean)} (n = {side.n})" for level, side in sides]
    effect = answer.effect
    has_interval = effect is not None and effect.low == effect.low
    return {
        "question": claim.question,
        "measure": MEASURES[claim.measure].description,
        "claimed better": means[0],
        "claimed worse": means[1],
        "difference": f"{effect.mean:+.4g}" if effect and effect.seeds else ABSENT,
        "95 % interval": f"{effect.low:+.4g} to {effect.high:+.4g}" if effect and has_interval else ABSENT,
        "finding": str(answer.finding),
    }


def _number_text(value: float) -> str:
    return ABSENT if value != value else f"{value:.4g}"


def image_section(first: str, second: str, result: McNemarResult) -> Section:
    """Return McNemar's test of two jobs, or of two groups by majority."""
    p = f"{result.p:.3f}" if result.p >= 0.001 else f"{result.p:.1e}"
    lines = [
        f"Of {result.images} test images, {result.only_first} are classified correctly by {first} alone and "
        f"{result.only_second} by {second} alone; both are right on {result.both_right} and wrong on "
        f"{result.both_wrong}.",
        f"McNemar's exact test of equal error rates: p = {p}. It compares these trained networks and does not predict "
        "the result with other seeds; a group counts as right on an image if more than half of its jobs are.",
    ]
    return Section("Image by image", lines)


def remarks_section(remarks: Sequence[str], jobs: Sequence[Job]) -> Section | None:
    """Return one line for each remark and each job that failed, diverged or is unreadable; None without any."""
    bad = [job for job in jobs if job.status in ("failed", "diverged", "unreadable")]
    lines = [f"{job.sweep or SINGLE_RUNS}, {job.name}: {job.status}: {job.error or 'no result to read'}" for job in bad]
    return Section("Failed, or not readable", [*lines, *remarks]) if lines or remarks else None
