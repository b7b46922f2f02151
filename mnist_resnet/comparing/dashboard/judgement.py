"""What the sweep says: groups of seeds, claims against measurement, effects. All figures come from the rooms beside."""

from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pandas as pd

from mnist_resnet.comparing.changes import BASES, Change, changes, short_names
from mnist_resnet.comparing.comparisons import Answer, answers
from mnist_resnet.comparing.effects import Effect, interactions
from mnist_resnet.comparing.effects import effects as factor_effects
from mnist_resnet.comparing.factors import others, varying
from mnist_resnet.comparing.frame import Job, level_text
from mnist_resnet.comparing.measures import MEASURES
from mnist_resnet.comparing.sections import MOST_LEVELS
from mnist_resnet.comparing.statistics import Spread, seeds_summary
from mnist_resnet.comparing.verdicts import Judgement, judgements

MOST_INTERACTIONS = 60
"""Pairs of level changes; nobody would read a table of more."""

MOST_GROUPS = 300
GROUP_METRICS = ("test_accuracy", "train_accuracy", "best_test_accuracy", "training_seconds")


def groups(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean, interval and extremes over the seeds of each config; empty where no config ran twice."""
    by = varying(frame) if len(frame) else []
    summary = seeds_summary(frame, by, GROUP_METRICS)
    if summary.empty or summary["jobs"].max() < 2 or len(summary) > MOST_GROUPS:
        return []
    short = short_names(changes(frame, GROUP_METRICS[0]))
    return [
        {
            "levels": [level_text(row[factor]) for factor in by],
            "jobs": row["jobs"],
            "n": row["n"],
            "short": short.get(tuple(level_text(row[factor]) for factor in by)),
            **{metric: _named(row, metric) for metric in GROUP_METRICS},
        }
        for row in summary.to_dict("records")
    ]


def _named(row: dict[Any, Any], metric: str) -> dict[str, float]:
    return {name: row[f"{metric}_{name}"] for name in ("mean", "sd", "low", "high", "min", "max")}


def claims(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Each claimed figure with what was measured, and the verdict on it."""
    return [_claim(judgement) for judgement in judgements(jobs)]


def _claim(judgement: Judgement) -> dict[str, Any]:
    claim, swing = judgement.claim, judgement.swing
    return {
        "group": judgement.group,
        "sweep": judgement.sweep,
        "metric": claim.metric,
        "epoch": claim.epoch,
        "accuracy": claim.accuracy,
        "value": claim.value,
        "words": claim.words,
        "verdict": str(judgement.verdict),
        "reason": judgement.reason,
        "epochs": judgement.epochs,
        "swing": [swing.lowest, swing.median, swing.highest] if swing else None,
        "jobs": len(judgement.jobs),
        **_spread(judgement.measured),
    }


def _spread(measured: Spread) -> dict[str, Any]:
    return {
        "n": measured.n,
        "values": measured.values,
        "mean": measured.mean,
        "sd": measured.sd,
        "interval": [measured.low, measured.high],
        "prediction": [measured.prediction_low, measured.prediction_high],
    }


def questions(jobs: Sequence[Job]) -> tuple[list[dict[str, Any]], list[str]]:
    """Each claim without a figure with the measure that decides it and the answer; and what could not be read."""
    found, remarks = answers(jobs)
    return [_answer(answer) for answer in found], remarks


def _answer(answer: Answer) -> dict[str, Any]:
    comparison = answer.comparison
    return {
        "question": comparison.question,
        "words": comparison.words,
        "factor": comparison.factor,
        "better": {"level": level_text(comparison.better), **_spread(answer.better)},
        "worse": {"level": level_text(comparison.worse), **_spread(answer.worse)},
        "measure": MEASURES[comparison.measure].words,
        "finding": str(answer.finding),
        "reason": answer.reason,
        "effect": _effect(answer.effect) if answer.effect else None,
    }


def effects(frame: pd.DataFrame) -> dict[str, Any]:
    """The effects on the test error: of each factor of few levels `alone`, and of each two `together`.

    A factor that never changes alone is named in `unpaired`, one of more than `MOST_LEVELS` levels in `left_out`.
    """
    factors = [factor for factor in varying(frame) if factor not in ("experiment", "sweep")] if len(frame) else []
    steps = {factor: frame[factor].map(level_text).nunique() - 1 for factor in factors}
    few = [factor for factor in factors if steps[factor] < MOST_LEVELS]
    alone = [found for factor in few for found in factor_effects(frame, factor, others(frame, factor))]
    crossed = sum(steps[first] * steps[second] for first, second in combinations(few, 2))
    alike = [factor for factor in varying(frame) if factor not in (*few, "experiment")] if few else []
    together = interactions(frame, few, others=alike) if crossed <= MOST_INTERACTIONS else []
    return {
        "alone": [_effect(found) for found in alone if found.seeds],
        "together": [_effect(found) for found in together if found.seeds],
        "unpaired": list(dict.fromkeys(found.factors[0] for found in alone if not found.seeds)),
        "left_out": [factor for factor in factors if factor not in few],
    }


def one_at_a_time(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Each factor changed by itself, from each group where several changes begin; empty for a design without holes."""
    return [_change(change) for change in changes(frame, GROUP_METRICS[0])] if len(frame) else []


def _change(change: Change) -> dict[str, Any]:
    return {
        "base": BASES[change.base],
        "levels": {factor: level_text(level) for factor, level in change.levels.items()},
        "metric": _effect(change.metric),
        "seconds": _effect(change.seconds),
    }


def _effect(found: Effect) -> dict[str, Any]:
    return {
        "factors": found.factors,
        "levels": [[level_text(level) for level in pair] for pair in found.levels],
        "mean": found.mean,
        "interval": [found.low, found.high],
        "p": found.p,
        "seeds": found.seeds,
        "cells": found.cells,
        "left_out": found.left_out,
        "shown": found.shown,
    }
