"""How much a figure gains by being the best of its run's epochs."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.statistics import Spread, spread
from mnist_resnet.comparing.verdicts import group_by_config


def picked_text(frame: pd.DataFrame) -> str:
    """Return a sentence on which images picked the best epoch; empty while no job has finished an epoch."""
    picked = {on for on in frame.get("best_picked_on", ()) if on in ("val", "test")}
    if not picked:
        return ""
    if picked == {"val"}:
        return "The best epoch is picked on held-out training images."
    where = "the test set itself"
    if picked != {"test"}:
        where += " in some jobs, on held-out training images in others"
    return f"The best epoch is picked on {where}: best test accuracy is too optimistic."


def gain_text(jobs: Sequence[Job]) -> str:
    """Return a sentence on how much picking the best epoch on the test set flatters; empty if it can't be told."""
    held_out = spread(_gains_over_held_out(jobs))
    if held_out.n:
        return (
            f"Picked on the test set itself, it would read {100 * held_out.mean:.2f} points higher "
            f"(mean of {held_out.n} jobs)."
        )
    gain = gain_over_other_seeds(jobs)
    if not gain.n:
        return ""
    return (
        f"By how much, the other seeds tell: a run's best epoch is {100 * gain.mean:.2f} points above the epoch that "
        f"the other seeds of its config would pick (mean of {gain.n} jobs, at most {100 * gain.maximum:.2f})."
    )


def gain_over_other_seeds(jobs: Sequence[Job]) -> Spread:
    """Return by how much each run's best epoch on the test set exceeds the epoch that its config's other seeds pick.

    A run's own chance picks its best epoch, but not the others': what is lost between the two is what the picking had
    gained (leave-one-out, as in cross-validation). Configs with a single completed seed tell nothing.
    """
    gains = []
    for group in group_by_config([job for job in jobs if job.completed]):
        curves = [curve for job in group if len(curve := accuracy_curve(job))]
        longest = max(map(len, curves), default=0)
        runs = np.array([curve for curve in curves if len(curve) == longest])
        if len(runs) < 2:
            continue
        for run, curve in enumerate(runs):
            chosen = np.delete(runs, run, axis=0).mean(axis=0).argmax()
            gains.append(float(curve.max() - curve[chosen]))
    return spread(gains)


def accuracy_curve(job: Job) -> NDArray[np.float64]:
    """Return the job's test accuracy by epoch; empty if an epoch lacks it."""
    values = [epoch.get("test_accuracy", float("nan")) for epoch in job.history.epochs]
    curve = np.asarray(values, dtype=float)
    return curve if np.isfinite(curve).all() else curve[:0]


def _gains_over_held_out(jobs: Sequence[Job]) -> list[float]:
    return [
        float(curve.max()) - picked
        for job in jobs
        if job.completed and job.history.best.get("picked_on") == "val" and len(curve := accuracy_curve(job))
        for picked in [job.history.best.get("test_accuracy")]
        if isinstance(picked, float)
    ]
