"""Report sections on claims: each one beside the measurements, then beside every epoch."""

from collections.abc import Sequence

import pandas as pd

from mnist_resnet.comparing.cells import format_metric, p_text
from mnist_resnet.comparing.jobs_table import FEW_RUNS_TEXT, count_text
from mnist_resnet.comparing.methods import Method
from mnist_resnet.comparing.report import ABSENT, Section
from mnist_resnet.comparing.significance import LEVEL
from mnist_resnet.comparing.statistics import FEW_RUNS
from mnist_resnet.comparing.verdicts import MAX_RATIO, MIN_RUNS, EpochCounts, Judgement, Verdict
from mnist_resnet.config.metric import Metric

PLAIN_REASONS = tuple(f"{where} the prediction interval" for where in ("within", "above", "below"))
"""Reasons that the table itself shows."""

EPOCH_BY_EPOCH = (
    "All epochs of all completed runs. Accuracy varies from one epoch to the next, so a claim may come from a single "
    "lucky or unlucky epoch: the count says how often a figure at least as far from our mean occurred (of “up to”: how "
    "often it was reached), with figures that round to the claimed one."
)


def claims_sections(judgements: Sequence[Judgement]) -> list[Section]:
    """Return each claim compared with the measurements, then with every epoch; nothing without claims."""
    if not judgements:
        return []
    lines = [
        "A claim is treated as one run on the same test images: it stands if it lies in the 95 % prediction interval "
        "for one further run, and covers all values that round to the figure as it is written. Accuracies are in per "
        "cent, and runs are taken as normal in the log of right over wrong.",
        "“Up to” states a maximum: it is compared with the best epoch of as many runs as ours, and stands unless it "
        "is higher (one-sided).",
        f"A verdict needs {MIN_RUNS} completed runs; an interval whose ends lie more than {MAX_RATIO:g}-fold apart in "
        "error rate confirms nothing.",
    ]
    if tested := sum(judgement.p == judgement.p for judgement in judgements):
        lines.append(
            f"A claim is contradicted if its p value is below {LEVEL:.2g} after Holm's correction for the {tested} "
            "claims tested."
        )
    if any(1 < judgement.measured.n <= FEW_RUNS for judgement in judgements):
        lines.append(FEW_RUNS_TEXT)
    reasons: dict[tuple[str, str], list[str]] = {}
    for judgement in judgements:
        if judgement.verdict not in (Verdict.NOT_STATED, Verdict.TOO_FEW) and judgement.reason not in PLAIN_REASONS:
            named = f"{judgement.group}, “{judgement.claim.words}”" if judgement.claim.words else judgement.group
            reasons.setdefault((judgement.verdict, judgement.reason), []).append(named)
    for (verdict, reason), groups in reasons.items():
        lines.append(f"{verdict.capitalize()} ({'; '.join(dict.fromkeys(groups))}): {reason}.")
    by_epoch = [_epochs_row(judgement, counts) for judgement in judgements if (counts := judgement.epoch_counts)]
    methods = [Method.CLAIMS] if any(judgement.adjusted == judgement.adjusted for judgement in judgements) else []
    claims = Section("Claims", lines, pd.DataFrame(map(_claim_row, judgements), dtype=object), methods)
    epochs = Section("Claims, epoch by epoch", [EPOCH_BY_EPOCH], pd.DataFrame(by_epoch, dtype=object))
    return [claims, epochs] if by_epoch else [claims]


def _metric_text(metric: Metric) -> str:
    return metric.title.removesuffix(", %")


def _claim_row(judgement: Judgement) -> dict[str, str]:
    claim, measured = judgement.claim, judgement.measured
    best = "best " if claim.epoch == "best" or claim.is_maximum else ""
    picked = (
        " (picked on test)" if best and not claim.metric.name.startswith("train") and _picked_on_test(judgement) else ""
    )
    return {
        "config": judgement.group,
        "metric": best + _metric_text(claim.metric) + picked,
        "claimed": claim.words,
        "n": str(measured.n) if measured.n == len(judgement.jobs) else f"{measured.n} ({count_text(judgement.jobs)})",
        "mean": format_metric(claim.metric, measured.mean),
        "its 95 % interval": _range_text(claim.metric, measured.low, measured.high),
        "one further run": _range_text(claim.metric, measured.prediction_low, measured.prediction_high),
        "p": p_text(judgement.p),
        "corrected p": p_text(judgement.adjusted),
        "verdict": judgement.verdict_text,
    }


def _epochs_row(judgement: Judgement, counts: EpochCounts) -> dict[str, str]:
    metric = judgement.claim.metric
    best = "best " if judgement.claim.epoch == "best" else ""
    return {
        "config": judgement.group,
        "metric": best + _metric_text(metric),
        "claimed": judgement.claim.words,
        "epochs at or beyond the claim": counts.text or ABSENT,
        "lowest": format_metric(metric, counts.lowest),
        "median": format_metric(metric, counts.median),
        "highest": format_metric(metric, counts.highest),
    }


def _picked_on_test(judgement: Judgement) -> bool:
    return any(job.history.best.get("picked_on", "test") == "test" for job in judgement.jobs)


def _range_text(metric: Metric, low: float, high: float) -> str:
    return f"{format_metric(metric, low)} to {format_metric(metric, high)}" if low == low else ABSENT
