"""What the page shows, gathered from sweep folders into one JSON object; each part has its own file."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mnist_resnet.comparing.dashboard.curves import curves
from mnist_resnet.comparing.dashboard.factors import factors_of
from mnist_resnet.comparing.dashboard.judgement import claims, effects, groups, one_at_a_time, questions
from mnist_resnet.comparing.dashboard.labels import label_sweeps
from mnist_resnet.comparing.dashboard.mistakes import mistakes
from mnist_resnet.comparing.dashboard.pairs import pairs
from mnist_resnet.comparing.dashboard.runs import noted, runs
from mnist_resnet.comparing.dashboard.sweeps import sweeps_of
from mnist_resnet.comparing.factors import constant, is_choice
from mnist_resnet.comparing.frame import jobs_frame, level_text, load_jobs
from mnist_resnet.comparing.jobs_table import picked_text


def content(folders: Sequence[Path]) -> dict[str, Any]:
    """The page's data about these folders; accuracies and errors in it are fractions of one, times seconds."""
    jobs, remarks = load_jobs(folders)
    labels = label_sweeps(jobs)
    frame = jobs_frame(jobs)
    frame["sweep"] = labels
    factors = factors_of(frame)
    sweeps = sweeps_of(jobs, labels)
    misread, unread = mistakes(jobs)
    asked, unasked = questions(jobs)
    return {
        "title": " and ".join(sweep["label"] for sweep in sweeps) or "no jobs",
        "written": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "sweeps": sweeps,
        "notes": noted(jobs),
        "picked": picked_text(frame) if jobs else "",
        "remarks": remarks + unread + unasked,
        "statuses": dict(Counter(job.status for job in jobs)),
        "numerics": dict(Counter(value for value in frame["numerics"] if isinstance(value, str))),
        "constant": [[key, level_text(value), is_choice(key)] for key, value in constant(frame).items()]
        if jobs
        else [],
        "factors": factors,
        "jobs": runs(jobs, labels, sweeps, factors, frame),
        "curves": curves(jobs),
        "groups": groups(frame),
        "claims": claims(jobs),
        "questions": asked,
        "effects": effects(frame),
        "changes": one_at_a_time(frame),
        "mistakes": misread,
        "pairs": pairs(jobs, sweeps),
    }
