"""Judgements as sections of the report: claims, effects, comparisons, image by image."""

from collections.abc import Mapping, Sequence

import pandas as pd

from mnist_resnet.comparing.cells import HEADINGS, cell
from mnist_resnet.comparing.changes import BASES, changes
from mnist_resnet.comparing.comparisons import Answer
from mnist_resnet.comparing.effects import Effect, effects, interactions
from mnist_resnet.comparing.factors import others, varying
from mnist_resnet.comparing.frame import UNNAMED, Job, level_text
from mnist_resnet.comparing.jobs_table import count_text
from mnist_resnet.comparing.mcnemar import ImageByImage
from mnist_resnet.comparing.measures import MEASURES
from mnist_resnet.comparing.report import ABSENT, Section
from mnist_resnet.comparing.statistics import Spread
from mnist_resnet.comparing.verdicts import FEWEST_RUNS, WIDEST, Judgement, Swing, Verdict

MOST_LEVELS = 12
"""Levels of a factor up to which each is set against the first; a factor of more is read from a plot."""

EPOCH_BY_EPOCH = (
    "All epochs of all completed runs. Accuracy swings from one epoch to the next, so a claim may be one unlucky or "
    "lucky epoch: the count says how often a figure like it, or further from our mean, came up."
)


def claims_sections(judgements: Sequence[Judgement]) -> list[Section]:
    """Each claim against what was measured, then against every epoch; nothing where nothing is claimed."""
    if not judgements:
        return []
    lines = [
        "A claim is one run: it stands if it lies in the prediction interval, where one further run falls with 95 % "
        "probability (t). An approximate claim means all values that round to it as it is written. "
        "Accuracies are in per cent.",
        f"A verdict needs {FEWEST_RUNS} completed runs; an interval whose ends lie more than {WIDEST:g}-fold apart in "
        "error rate confirms nothing.",
    ]
    reasons: dict[tuple[str, str], list[str]] = {}
    # the verdicts by the interval speak for themselves in the table
    for found in judgements:
        if found.verdict in (Verdict.TOO_VARIABLE, Verdict.NOT_AT_SCALE, Verdict.ANOTHER_CONFIG):
            reasons.setdefault((found.verdict, found.reason), []).append(found.group)
    for (verdict, reason), groups in reasons.items():
        lines.append(f"{verdict.capitalize()} ({', '.join(dict.fromkeys(groups))}): {reason}.")
    by_epoch = [_swing_row(found, found.swing) for found in judgements if found.swing]
    return [
        Section("Claims", lines, pd.DataFrame(map(_claim_row, judgements), dtype=object)),
        Section("Claims, epoch by epoch", [EPOCH_BY_EPOCH], pd.DataFrame(by_epoch, dtype=object)),
    ]


def _short(metric: str) -> str:
    return HEADINGS.get(metric, metric).removesuffix(", %")


def _claim_row(judgement: Judgement) -> dict[str, str]:
    claim, measured = judgement.claim, judgement.measured
    best = "best " if claim.epoch == "best" else ""
    picked = " (picked on test)" if best and not claim.metric.startswith("train") and _picked_on_test(judgement) else ""
    return {
        "config": judgement.group,
        "metric": best + _short(claim.metric) + picked,
        "claimed": claim.words,
        "n": str(measured.n) if measured.n == len(judgement.jobs) else f"{measured.n} ({count_text(judgement.jobs)})",
        "measured": _mean_text(claim.metric, measured),
        "one further run": _range_text(claim.metric, measured.prediction_low, measured.prediction_high),
        "verdict": str(judgement.verdict),
    }


def _swing_row(found: Judgement, swing: Swing) -> dict[str, str]:
    metric = found.claim.metric
    best = "best " if found.claim.epoch == "best" else ""
    return {
        "config": found.group,
        "metric": best + _short(metric),
        "claimed": found.claim.words,
        "epochs at or beyond the claim": swing.words or ABSENT,
        "lowest": cell(metric, swing.lowest),
        "median": cell(metric, swing.median),
        "highest": cell(metric, swing.highest),
    }


def _picked_on_test(judgement: Judgement) -> bool:
    return any(job.best.get("picked_on", "test") == "test" for job in judgement.jobs)


def _mean_text(metric: str, measured: Spread) -> str:
    half = (measured.high - measured.low) / 2
    return cell(metric, measured.mean) + (f" ± {cell(metric, half)}" if measured.n > 1 else "")


def _range_text(metric: str, low: float, high: float) -> str:
    return f"{cell(metric, low)} to {cell(metric, high)}" if low == low else ABSENT


def effects_section(frame: pd.DataFrame, metric: str, by: Sequence[str] | None = None) -> Section | None:
    """What each factor contributes by itself, and each two together; None where no factor varies.

    An experiment's name stands for several factors at once, and is no factor unless `by` asks for it.
    """
    asked = by if by is not None else [name for name in varying(frame) if name not in ("experiment", "sweep")]
    asked = [factor for factor in asked if factor != "seed"]
    few = [factor for factor in asked if frame[factor].map(level_text).nunique() <= MOST_LEVELS]
    found = [found for factor in few for found in effects(frame, factor, others(frame, factor), metric)]
    if not found:
        return None
    lines = [_effects_words(metric, len(found))]
    lines += [f"No two jobs differ in {what} alone: no effect can be told." for what in _untold(found)]
    lines += [f"{factor} has more than {MOST_LEVELS} levels and is left out." for factor in asked if factor not in few]
    alike = [factor for factor in varying(frame) if factor not in (*few, "experiment")]
    together = interactions(frame, few, metric, alike)
    told = [effect for effect in [*found, *together] if effect.seeds]
    return Section("Effects", lines, pd.DataFrame([_effect_row(effect) for effect in told], dtype=object))


def changes_section(frame: pd.DataFrame, metric: str) -> Section | None:
    """Each factor changed by itself, from each group where several changes begin; None where the design has no holes.

    Beside what a change does to the metric stands what it costs or saves.
    """
    found = changes(frame, metric)
    if not found:
        return None
    bases = dict.fromkeys((change.base, named(change.levels)) for change in found)
    lines = [f"{BASES[base]} is {levels}." for base, levels in bases]
    lines.append(
        f"{_effects_words(metric, len(found)).removesuffix('.')}. Training seconds are of the steps alone, without "
        "evaluation and start-up."
    )
    rows = []
    for change in found:
        row = {"from": BASES[change.base]} | _effect_row(change.metric)
        seconds = change.seconds
        if seconds.seeds:
            interval = ABSENT if seconds.low != seconds.low else f"{seconds.low:+.3g} to {seconds.high:+.3g}"
            row |= {"training, s": f"{seconds.mean:+.3g}", "its 95 % interval": interval}
        rows.append(row)
    return Section("One change at a time", lines, pd.DataFrame(rows, dtype=object))


def named(levels: Mapping[str, object]) -> str:
    """Levels as people type them."""
    return ", ".join(f"{factor}={level_text(level)}" for factor, level in levels.items())


def _untold(found: Sequence[Effect]) -> list[str]:
    """The changes that no pair of jobs shows; of a factor of which all are, its name alone."""
    shown = {effect.factors for effect in found if effect.seeds}
    changes = [effect for effect in found if not effect.seeds]
    return list(dict.fromkeys(_change(one) if one.factors in shown else one.factors[0] for one in changes))


def _effects_words(metric: str, count: int) -> str:
    errors = f"{metric.removesuffix('_accuracy').replace('_', ' ')} error rate in percentage points"
    return (
        f"Change of the last epoch's {errors if metric.endswith('_accuracy') else metric}, paired by seed and by the "
        "other factors' levels, averaged within each seed; 95 % interval over seeds (paired t); p values are not "
        f"corrected for their number ({count} effect{'s' * (count != 1)})."
    )


def _change(effect: Effect) -> str:
    return " × ".join(
        f"{factor}: {level_text(levels[0])} → {level_text(levels[1])}"
        for factor, levels in zip(effect.factors, effect.levels, strict=True)
    )


def _effect_row(effect: Effect) -> dict[str, str]:
    unknown = effect.low != effect.low
    return {
        "change": _change(effect),
        "effect": _signed(effect.metric, effect.mean),
        "95 % interval": ABSENT
        if unknown
        else f"{_signed(effect.metric, effect.low)} to {_signed(effect.metric, effect.high)}",
        "p": ABSENT if unknown else (f"{effect.p:.3f}" if effect.p >= 0.001 else "< 0.001"),
        "seeds": str(effect.seeds),
        "pairs": f"{effect.seeds * effect.cells}" + (f" ({effect.left_out} left out)" if effect.left_out else ""),
        "": "shown" if effect.shown else "not shown",
    }


def _signed(metric: str, value: float) -> str:
    return f"{100 * value:+.2f}" if metric.endswith("_accuracy") else f"{value:+.4g}"


def comparisons_section(answers: Sequence[Answer]) -> Section | None:
    """Claims without a figure, each with the measure that decides it; None where there is none."""
    if not answers:
        return None
    lines = ["Paired by seed and by the other factors' levels; 95 % interval of the difference over seeds (paired t)."]
    lines += [
        f"{found.comparison.question} “{found.comparison.words}”: {found.finding} ({found.reason})."
        for found in answers
    ]
    return Section("Claims without a figure", lines, pd.DataFrame(map(_answer_row, answers), dtype=object))


def _answer_row(found: Answer) -> dict[str, str]:
    claim = found.comparison
    sides = ((claim.better, found.better), (claim.worse, found.worse))
    means = [f"{level_text(level)}: {_plain(side.mean)} (n = {side.n})" for level, side in sides]
    effect = found.effect
    told = effect is not None and effect.low == effect.low
    return {
        "question": claim.question,
        "measure": MEASURES[claim.measure].words,
        "claimed better": means[0],
        "claimed worse": means[1],
        "difference": f"{effect.mean:+.4g}" if effect and effect.seeds else ABSENT,
        "95 % interval": f"{effect.low:+.4g} to {effect.high:+.4g}" if effect and told else ABSENT,
        "finding": str(found.finding),
    }


def _plain(value: float) -> str:
    return ABSENT if value != value else f"{value:.4g}"


def image_section(first: str, second: str, found: ImageByImage) -> Section:
    """How two jobs, or two groups by majority, differ in the test images that they read right."""
    p = f"{found.p:.3f}" if found.p >= 0.001 else f"{found.p:.1e}"
    lines = [
        f"Of {found.images} test images {first} alone reads {found.only_first} right, and {second} alone "
        f"{found.only_second}; both are right on {found.both_right} and wrong on {found.both_wrong}.",
        f"McNemar's exact test that both err equally often: p = {p}. It tells these trained networks apart, "
        "not what other seeds would give; a group reads an image right if more than half of its jobs do.",
    ]
    return Section("Image by image", lines)


def remarks_section(remarks: Sequence[str], jobs: Sequence[Job]) -> Section | None:
    """What could not be read, and every job that failed or diverged, in one line each; None where all went well."""
    bad = [job for job in jobs if job.status in ("failed", "diverged", "unreadable")]
    lines = [f"{job.sweep or UNNAMED}, {job.name}: {job.status}: {job.error or 'no result to read'}" for job in bad]
    return Section("Failed, or not readable", [*lines, *remarks]) if lines or remarks else None
