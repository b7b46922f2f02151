"""Measures that decide a claim without a figure: one number per job, by name."""

import io
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mnist_resnet.comparing.job import Job
from mnist_resnet.config.metric import declared_metrics
from mnist_resnet.job_folder import BATCH_LOSSES
from mnist_resnet.stored_file import MAX_ARRAYS, read_stored

SPIKE_REACH = 3.0
"""Interquartile ranges above the upper quartile from which a batch's loss counts as a spike (Tukey's "far out")."""


PER_CENT = (0.0, 100.0)
"""Ends of a measure in per cent."""


@dataclass(frozen=True)
class Measure:
    """One number per job.

    Attributes:
        description: what the measure is, with its unit.
        value: computes the measure of a job; nan if the job did not record it.
        higher_is_better: whether a higher value is better.
        ends: the smallest and the largest possible value.
        file: the file of a job's folder that it is computed from; None for its metrics.
    """

    description: str
    value: Callable[[Job], float]
    higher_is_better: bool
    ends: tuple[float, float] = (0.0, math.inf)
    file: str | None = None


def _last(key: str) -> Callable[[Job], float]:
    return lambda job: _number(job.history.last.get(key))


def _error(key: str) -> Callable[[Job], float]:
    return lambda job: 100 * (1 - _number(job.history.last.get(key)))


def first_epoch_train_loss(job: Job) -> float:
    """Return the mean training loss of the first epoch, a measure of how fast the network learns at first."""
    return _number(job.history.epochs[0].get("train_loss")) if job.history.epochs else float("nan")


def overfitting_gap(job: Job) -> float:
    """Return training minus test accuracy of the last epoch, in percentage points.

    Training accuracy is measured in train mode, where dropout alone lowers it: read the gap together with `test_error`.
    """
    return 100 * (_number(job.history.last.get("train_accuracy")) - _number(job.history.last.get("test_accuracy")))


def test_loss_rise(job: Job) -> float:
    """Return the last test loss as a multiple of the lowest; above 1 if training went on past the best fit."""
    losses = [_number(epoch.get("test_loss")) for epoch in job.history.epochs]
    lowest = min(losses, default=float("nan"))
    return losses[-1] / lowest if losses and lowest > 0 else float("nan")


def largest_setback(job: Job) -> float:
    """Return the largest drop of test accuracy from one epoch to the next, in percentage points; 0 without a drop."""
    accuracies = [_number(epoch.get("test_accuracy")) for epoch in job.history.epochs]
    if len(accuracies) < 2:
        return float("nan")
    return 100 * max(0.0, float(np.max(-np.diff(accuracies))))


def loss_spikes(job: Job) -> float:
    """Return the share of the last epoch's batches that lie far above the others, in per cent.

    Far is measured by the epoch's own quartiles (Tukey, Exploratory Data Analysis, 1977, section 2D), so that neither
    the floor of a loss, such as label smoothing's, nor the noise of a batch size makes a batch a spike.
    """
    losses = last_epoch_losses(job)
    if not len(losses):
        return float("nan")
    lower, upper = np.quantile(losses, [0.25, 0.75])
    return 100 * float(np.mean(losses > upper + SPIKE_REACH * (upper - lower)))


def loss_unsteadiness(job: Job) -> float:
    """Return the standard deviation of log10 of the last epoch's batch losses; 1 is a scatter by a factor of ten."""
    losses = last_epoch_losses(job)
    # the float32 cross-entropy of a batch that is classified right with high confidence can be exactly zero
    return float(np.log10(np.maximum(losses, 1e-7)).std(ddof=1)) if len(losses) > 1 else float("nan")


def last_epoch_losses(job: Job) -> NDArray[np.float64]:
    """Return the batch losses of the last whole epoch, float64 [steps]; empty if missing, broken or not finite."""
    try:
        content = io.BytesIO(read_stored(job.folder / BATCH_LOSSES, MAX_ARRAYS))
        losses = np.asarray(np.load(content), dtype=float).ravel()
    except (OSError, ValueError, TypeError, EOFError, MemoryError):
        return np.empty(0)
    epochs = len(job.history.epochs)
    steps = len(losses) // epochs if epochs else 0
    last = losses[(epochs - 1) * steps : epochs * steps] if steps else losses[:0]
    return last if np.isfinite(last).all() else losses[:0]


def _number(value: object) -> float:
    return float(value) if isinstance(value, (int, float)) else float("nan")


MEASURES: Mapping[str, Measure] = {
    "test_error": Measure(
        "test error in the last epoch, %", _error("test_accuracy"), higher_is_better=False, ends=PER_CENT
    ),
    "train_error": Measure(
        "training error in the last epoch, %", _error("train_accuracy"), higher_is_better=False, ends=PER_CENT
    ),
    "test_loss": Measure("test loss in the last epoch", _last("test_loss"), higher_is_better=False),
    "first_epoch_train_loss": Measure(
        "training loss of the first epoch", first_epoch_train_loss, higher_is_better=False
    ),
    "images_per_second": Measure(
        "training images a second", lambda job: _number(job.result.get("images_per_second")), higher_is_better=True
    ),
    "seconds": Measure(
        "seconds for training and evaluation", lambda job: _number(job.result.get("seconds")), higher_is_better=False
    ),
    "training_seconds": Measure(
        "seconds for training alone", lambda job: _number(job.result.get("training_seconds")), higher_is_better=False
    ),
    "overfitting_gap": Measure(
        "training less test accuracy in the last epoch, percentage points",
        overfitting_gap,
        higher_is_better=False,
        ends=(-100.0, 100.0),
    ),
    "test_loss_rise": Measure("last test loss as a multiple of the lowest", test_loss_rise, higher_is_better=False),
    "largest_setback": Measure(
        "largest fall of test accuracy between two epochs, percentage points",
        largest_setback,
        higher_is_better=False,
        ends=PER_CENT,
    ),
    "loss_spikes": Measure(
        f"batches of the last epoch with a loss more than {SPIKE_REACH:g} interquartile ranges above the upper "
        "quartile, %",
        loss_spikes,
        higher_is_better=False,
        ends=PER_CENT,
        file=BATCH_LOSSES,
    ),
    "loss_unsteadiness": Measure(
        "standard deviation of log10 of the batch loss in the last epoch",
        loss_unsteadiness,
        higher_is_better=False,
        file=BATCH_LOSSES,
    ),
}
"""The measures that a config's `comparisons` may name, beside its metrics."""


def measure_of(name: str, config: Mapping[str, Any]) -> Measure | None:
    """Return a metric that a config declares, or one of `MEASURES`; None if there is none, or it has no direction.

    Shares are measured in per cent.
    """
    metric = declared_metrics(config).get(name)
    if metric is None:
        return MEASURES.get(name)
    factor = 100 if metric.is_share else 1
    if metric.better is None:
        return None
    low, high = metric.ends
    ends = (factor * low, factor * high)
    return Measure(
        metric.title, lambda job: factor * _number(job.history.value(metric)), metric.better == "higher", ends
    )
