"""Measures that decide a claim without a figure: one number for each job, by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mnist_resnet.comparing.frame import Job
from mnist_resnet.job_folder import BATCH_LOSSES

SPIKE = 0.2
"""Loss of a batch of 64 from which it counts as a spike.

The report shows losses from 0.0003 to 0.12 in a last epoch at lr 0.02, with single batches at 0.19 and 0.27.
"""


@dataclass(frozen=True)
class Measure:
    """One number for a job, and which way is better.

    Attributes:
        words: what it is, with its unit.
        of: the number; nan where the job can't tell.
        more_is_better: whether a higher one speaks for a job.
    """

    words: str
    of: Callable[[Job], float]
    more_is_better: bool


def _last(key: str) -> Callable[[Job], float]:
    return lambda job: _number(job.last.get(key))


def _error(key: str) -> Callable[[Job], float]:
    return lambda job: 100 * (1 - _number(job.last.get(key)))


def first_epoch_train_loss(job: Job) -> float:
    """The mean training loss of the first epoch: how fast a network learns while all is still to be learnt."""
    return _number(job.metrics[0].get("train_loss")) if job.metrics else float("nan")


def overfitting_gap(job: Job) -> float:
    """Training less test accuracy of the last epoch, in percentage points.

    Training accuracy is counted in train mode, so that dropout lowers it by itself: read it with `test_error`.
    """
    return 100 * (_number(job.last.get("train_accuracy")) - _number(job.last.get("test_accuracy")))


def test_loss_rise(job: Job) -> float:
    """The last test loss as a multiple of the lowest one: above 1 where training went on past the best fit."""
    losses = [_number(epoch.get("test_loss")) for epoch in job.metrics]
    lowest = min(losses, default=float("nan"))
    return losses[-1] / lowest if losses and lowest > 0 else float("nan")


def largest_setback(job: Job) -> float:
    """The largest fall of test accuracy from one epoch to the next, in percentage points; 0 where it never fell."""
    accuracies = [_number(epoch.get("test_accuracy")) for epoch in job.metrics]
    if len(accuracies) < 2:
        return float("nan")
    return 100 * max(0.0, float(np.max(-np.diff(accuracies))))


def loss_spikes(job: Job) -> float:
    """The share of the last epoch's batches whose loss is `SPIKE` or more, in per cent."""
    losses = last_epoch_losses(job)
    return 100 * float(np.mean(losses >= SPIKE)) if len(losses) else float("nan")


def loss_unsteadiness(job: Job) -> float:
    """The standard deviation of log10 of the batch loss over the last epoch: 1 is a scatter of a factor of ten."""
    losses = last_epoch_losses(job)
    # float32 cross-entropy of a batch read surely and right is exactly zero at times
    return float(np.log10(np.maximum(losses, 1e-7)).std(ddof=1)) if len(losses) > 1 else float("nan")


def last_epoch_losses(job: Job) -> NDArray[np.float64]:
    """The batch losses of the last whole epoch, float64 [steps]; empty where they are missing, broken or not finite."""
    try:
        losses = np.asarray(np.load(job.folder / BATCH_LOSSES), dtype=float).ravel()
    except (OSError, ValueError, EOFError):
        return np.empty(0)
    epochs = len(job.metrics)
    steps = len(losses) // epochs if epochs else 0
    last = losses[(epochs - 1) * steps : epochs * steps] if steps else losses[:0]
    return last if np.isfinite(last).all() else losses[:0]


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")


MEASURES: Mapping[str, Measure] = {
    "test_error": Measure("test error in the last epoch, %", _error("test_accuracy"), more_is_better=False),
    "train_error": Measure("training error in the last epoch, %", _error("train_accuracy"), more_is_better=False),
    "test_loss": Measure("test loss in the last epoch", _last("test_loss"), more_is_better=False),
    "first_epoch_train_loss": Measure("training loss of the first epoch", first_epoch_train_loss, more_is_better=False),
    "images_per_second": Measure(
        "training images a second", lambda job: _number(job.result.get("images_per_second")), more_is_better=True
    ),
    "seconds": Measure(
        "seconds for training and evaluation", lambda job: _number(job.result.get("seconds")), more_is_better=False
    ),
    "training_seconds": Measure(
        "seconds for training alone", lambda job: _number(job.result.get("training_seconds")), more_is_better=False
    ),
    "overfitting_gap": Measure(
        "training less test accuracy in the last epoch, percentage points", overfitting_gap, more_is_better=False
    ),
    "test_loss_rise": Measure("last test loss as a multiple of the lowest", test_loss_rise, more_is_better=False),
    "largest_setback": Measure(
        "largest fall of test accuracy between two epochs, percentage points", largest_setback, more_is_better=False
    ),
    "loss_spikes": Measure(
        f"batches with a loss of {SPIKE} or more in the last epoch, %", loss_spikes, more_is_better=False
    ),
    "loss_unsteadiness": Measure(
        "standard deviation of log10 of the batch loss in the last epoch", loss_unsteadiness, more_is_better=False
    ),
}
"""Every measure that a config's `comparisons` may name."""
