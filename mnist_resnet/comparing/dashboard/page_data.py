"""Collects the page's data from job folders into one JSON object; each part is built in its own file."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mnist_resnet.comparing.best_epoch import gain_text, picked_text
from mnist_resnet.comparing.dashboard.curves import curves
from mnist_resnet.comparing.dashboard.factors import filter_factors
from mnist_resnet.comparing.dashboard.mistakes import mistakes
from mnist_resnet.comparing.dashboard.pairs import pairs
from mnist_resnet.comparing.dashboard.results import (
    claims,
    compared,
    effect_unit,
    effects,
    groups,
    one_at_a_time,
    questions,
    shown_metrics,
    spread_tables,
)
from mnist_resnet.comparing.dashboard.runs import count_notes, runs
from mnist_resnet.comparing.dashboard.search import front, search, space
from mnist_resnet.comparing.dashboard.sweeps import describe_sweeps
from mnist_resnet.comparing.factors import is_group, shared_values
from mnist_resnet.comparing.frame import jobs_frame
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.labels import label_sweeps
from mnist_resnet.comparing.reported import metric_of, own_metrics
from mnist_resnet.comparing.sources import judged_jobs
from mnist_resnet.config.levels import level_text


def page_data(folders: Sequence[Path]) -> dict[str, Any]:
    """Return the page's data on these folders; accuracies and errors are fractions of one, times are in seconds."""
    jobs, remarks = load_jobs(folders)
    labels = label_sweeps(jobs)
    frame, judged = jobs_frame(jobs), judged_jobs(jobs)
    judged_frame = jobs_frame(judged) if len(judged) < len(jobs) else frame
    factors = filter_factors(frame)
    numbers = {id(job): number for number, job in enumerate(jobs)}
    sweeps = describe_sweeps(jobs, labels)
    misread, unreadable_predictions = mistakes(jobs)
    changed = one_at_a_time(judged_frame)
    answered, unusable_questions = questions(judged)
    shared = shared_values(frame) if jobs else {}
    return {
        "title": " and ".join(sweep["label"] for sweep in sweeps) or "no jobs",
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "sweeps": sweeps,
        "notes": count_notes(jobs),
        "picked": " ".join(filter(None, [picked_text(frame), gain_text(jobs)])) if jobs else "",
        "remarks": remarks + unreadable_predictions + unusable_questions,
        "statuses": dict(Counter(job.status for job in jobs)),
        "numerics": dict(Counter(value for value in frame["numerics"] if isinstance(value, str))),
        "constant": [[key, level_text(value), is_group(key)] for key, value in shared.items()],
        "factors": factors,
        "jobs": runs(jobs, labels, sweeps, factors, frame),
        "metrics": shown_metrics(frame),
        "curves": curves(jobs, own_metrics(frame)),
        # what groups of seeds are made of, unless that is every run
        "judged": [numbers[id(job)] for job in judged] if len(judged) < len(jobs) else None,
        "groups": groups(judged_frame),
        "spread": spread_tables(jobs, frame),
        "claims": claims(jobs),
        "questions": answered,
        "effects": effects(judged_frame, one_by_one=bool(changed)),
        "effect_unit": effect_unit(frame),
        "changes": changed,
        "search": search(jobs),
        "front": front(jobs),
        "space": space(jobs),
        "mistakes": misread,
        "pairs": pairs(judged, metric_of(frame, compared(frame))),
    }
