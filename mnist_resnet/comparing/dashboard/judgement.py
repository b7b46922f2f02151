"""What the sweep says: groups of seeds, claims against measurement, effects. All figures come from the rooms beside."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from mnist_resnet.comparing.comparisons import Answer, answers
from mnist_resnet.comparing.effects import Effect, effect, interactions
from mnist_resnet.comparing.factors import varying
from mnist_resnet.comparing.frame import Job, level_text
from mnist_resnet.comparing.measures import MEASURES
from mnist_resnet.comparing.statistics import Spread, seeds_summary
from mnist_resnet.comparing.verdicts import Judgement, judgements

MOST_LEVELS = 12
"""A factor with more levels is no factor to pair by: a random search never has two jobs that differ in one thing."""

MOST_INTERACTIONS = 60
MOST_GROUPS = 300
GROUP_METRICS = ("test_accuracy", "train_accuracy", "best_test_accuracy")


def groups(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Mean, interval and extremes over the seeds of each config; empty where no config ran twice."""
    by = varying(frame) if len(frame) else []
    summary = seeds_summary(frame, by, GROUP_METRICS)
    if summary.empty or summary["jobs"].max() < 2 or len(summary) > MOST_GROUPS:
        return []
    return [
        {
            "levels": [level_text(row[factor]) for factor in by],
            "jobs": row["jobs"],
            "n": row["n"],
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
    claim = judgement.claim
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


def effects(frame: pd.DataFrame, metric: str = "test_accuracy") -> dict[str, Any]:
    """The effect of each factor of few levels, each level against the first, and of each two together.

    Factors of more than `MOST_LEVELS` levels are named in `left_out`.
    """
    factors = [factor for factor in varying(frame) if factor != "experiment"] if len(frame) else []
    levels = {factor: list({level_text(value): value for value in frame[factor]}.values()) for factor in factors}
    few = [factor for factor in factors if len(levels[factor]) <= MOST_LEVELS]
    alone = [
        effect(frame, factor, (levels[factor][0], level), [other for other in factors if other != factor], metric)
        for factor in few
        for level in levels[factor][1:]
    ]
    together: list[Effect] = []
    if len(few) == len(factors) and sum(len(values) - 1 for values in levels.values()) ** 2 / 2 <= MOST_INTERACTIONS:
        together = interactions(frame, factors, metric)
    return {
        "alone": [_effect(found) for found in alone if found.seeds],
        "together": [_effect(found) for found in together if found.seeds],
        "unpaired": list(dict.fromkeys(found.factors[0] for found in alone if not found.seeds)),
        "left_out": [factor for factor in factors if factor not in few],
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
