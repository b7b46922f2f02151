"""Results of the sweep for the page: groups of seeds, claims, effects; computed by the other modules of `comparing`."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from mnist_resnet.comparing.changes import BASE_NAMES, Change, changes, short_names
from mnist_resnet.comparing.comparisons import Answer, answers
from mnist_resnet.comparing.effect_family import effect_family
from mnist_resnet.comparing.effects import Effect
from mnist_resnet.comparing.factors import varying_factors
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.reported import metric_of, own_metrics, summarised
from mnist_resnet.comparing.sections.effects import conclusion_text
from mnist_resnet.comparing.sequential import sequential_section
from mnist_resnet.comparing.sources import judged_jobs, sources_section
from mnist_resnet.comparing.statistics import Spread, seeds_summary
from mnist_resnet.comparing.verdicts import Judgement, judgements
from mnist_resnet.config.levels import level_text, levels_text

MAX_GROUPS = 300
"""Largest number of groups of seeds to list."""

GROUP_METRICS = ("test_accuracy", "train_accuracy", "best_test_accuracy", "training_seconds")
"""Metrics in the image classifier's table of groups, beside those that jobs declare."""


def compared(frame: pd.DataFrame) -> str:
    """Return the name of the metric on which effects are shown."""
    return next(iter(summarised(frame)), "seconds")


def groups(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return mean, interval and extremes over the seeds of each config; empty if no config has two jobs."""
    by = varying_factors(frame) if len(frame) else []
    metrics = [name for name in dict.fromkeys([*GROUP_METRICS, *own_metrics(frame)]) if name in frame]
    summary = seeds_summary(frame, by, metrics)
    if summary.empty or summary["jobs"].max() < 2 or len(summary) > MAX_GROUPS:
        return []
    short = short_names(changes(frame, compared(frame)))
    return [
        {
            "levels": [level_text(row[factor]) for factor in by],
            "jobs": row["jobs"],
            "n": row["n"],
            "short": short.get(tuple(level_text(row[factor]) for factor in by)),
            **{metric: _columns(row, metric) for metric in metrics},
        }
        for row in summary.to_dict("records")
    ]


def _columns(row: dict[Any, Any], metric: str) -> dict[str, float]:
    return {name: row[f"{metric}_{name}"] for name in ("mean", "sd", "low", "high", "min", "max")}


def spread_tables(jobs: Sequence[Job], frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the report's tables of what sources of randomness contribute, and of seeds that were added."""
    sections = [sources_section(frame, compared(frame)), sequential_section(jobs)] if len(frame) else []
    return [
        {
            "title": section.title,
            "lines": list(section.lines),
            "heads": list(section.table),
            "rows": section.table.to_numpy().tolist(),
        }
        for section in sections
        if section is not None
    ]


def claims(jobs: Sequence[Job]) -> list[dict[str, Any]]:
    """Return each claimed figure with the measurements, the verdict, and the numbers of its jobs (`members`)."""
    number = {id(job): index for index, job in enumerate(jobs)}
    found = judgements(judged_jobs(jobs))
    return [_claim(judgement, [number[id(job)] for job in judgement.jobs]) for judgement in found]


def _claim(judgement: Judgement, members: list[int]) -> dict[str, Any]:
    claim, counts = judgement.claim, judgement.epoch_counts
    return {
        "members": members,
        "group": judgement.group,
        "sweep": judgement.sweep,
        "metric": claim.metric.name,
        "epoch": claim.epoch,
        "accuracy": claim.metric.is_share,
        "value": claim.value,
        "words": claim.words,
        "verdict": judgement.verdict_text,
        "reason": judgement.reason,
        "epochs": counts.text if counts else "",
        "swing": [counts.lowest, counts.median, counts.highest] if counts else None,
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
    """Return each claim without a figure with its measure and answer, and remarks on unusable claims."""
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
        "measure": answer.measure.description,
        "finding": str(answer.finding),
        "reason": answer.reason,
        "effect": _effect(answer.effect) if answer.effect else None,
    }


def effects(frame: pd.DataFrame, one_by_one: bool = False) -> dict[str, Any]:
    """Return the effects on the test error of single factors (`alone`) and the interactions of two (`together`).

    `unpaired` names factors that never change alone, `left_out` those with too many levels, `crowded` is the number of
    interactions if there are too many. `one_by_one` says that `one_at_a_time` lists every change of a single factor.
    """
    family = effect_family(frame, compared(frame), one_by_one=one_by_one)
    return {
        "alone": [_effect(found) for found in family.listed if len(found.factors) == 1],
        "together": [_effect(found) for found in family.listed if len(found.factors) == 2],
        "unpaired": list(dict.fromkeys(found.factors[0] for found in family.alone if not found.seeds)),
        "left_out": family.many_levels,
        "crowded": family.crowded,
    }


def shown_metrics(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return heading and form of each metric that jobs declare."""
    return [
        {"name": name, "title": metric.title, "share": metric.is_share, "better": metric.better}
        for name in own_metrics(frame)
        for metric in [metric_of(frame, name)]
    ]


def effect_unit(frame: pd.DataFrame) -> dict[str, Any]:
    """Return what effects are changes of, for headings, and the factor to show them with."""
    metric = metric_of(frame, compared(frame))
    what = metric.error if metric.counts_errors else metric.label
    left = metric.counts_errors or metric.better == "lower"
    return {
        "what": what,
        "unit": "points" if metric.is_share else metric.unit,
        "factor": 100 if metric.is_share else 1,
        "better": "left" if left else "right" if metric.better else None,
    }


def one_at_a_time(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the changes of one factor at a time; empty for a complete design (see `changes`)."""
    return [_change(change) for change in changes(frame, compared(frame))] if len(frame) else []


def _change(change: Change) -> dict[str, Any]:
    return {
        "base": BASE_NAMES[change.base],
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
        "corrected": found.adjusted,
        "seeds": found.seeds,
        "cells": found.cells,
        "left_out": found.left_out,
        "where": levels_text(found.where),
        "shown": found.significant,
        "conclusion": conclusion_text(found),
    }
