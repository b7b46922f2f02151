"""The callback and tracker interfaces: how a job reports its progress to the console, the log file and trackers."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mnist_resnet.job_folder import Metrics

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class RunInfo:
    """Describes a job to its callbacks when it starts or resumes.

    Attributes:
        id: 16 hexadecimal digits; the same in every attempt of the job.
        name: human-readable, such as `model=stem3x3,optim.lr=0.02`.
        group: the sweep's name; None for a single run.
        tags: labels such as the experiment's name and the scale.
        folder: the job folder.
        config: the whole resolved config.
        steps_per_epoch: optimiser steps in one epoch.
        epochs: total number of epochs of this job; None for a training function of the user's own, which reports steps.
        history: metrics of the epochs that earlier attempts completed; this attempt resumes after them.
        batch_losses: (global step, loss) pairs of earlier attempts, for every `trainer.log_interval`-th step.
    """

    id: str
    name: str
    group: str | None
    tags: list[str]
    folder: Path
    config: dict[str, Any]
    steps_per_epoch: int
    epochs: int | None
    history: list[Metrics] = field(default_factory=list)
    batch_losses: list[tuple[int, float]] = field(default_factory=list)


class Pruned(Exception):
    """Raised by a callback at the end of an epoch to stop an unpromising job; the text gives the reason."""


class Callback(Protocol):
    """Receives a job's events in this order: `begin`, then `batch` and `epoch` as they come, then `end`.

    A callback may also have a method `lost()`. It is called in place of `end` when another process has taken the job
    over: the callback closes what it has open and writes nothing more for the job. See `notify_lost`.
    """

    def begin(self, run: RunInfo) -> None:
        """Called when the job starts, or resumes after the epochs in `run.history`."""

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """Called every `trainer.log_interval` steps, with a delay: training does not wait for the device.

        Args:
            epoch: the epoch, from 0.
            step: the step in this epoch, from 0.
            loss: the batch's mean loss.
            accuracy: training accuracy of this epoch up to and including this batch, as a fraction of one;
                NaN where the targets are numbers.
        """

    def epoch(self, metrics: Metrics) -> None:
        """Called at the end of each epoch.

        Args:
            metrics: the epoch's line of `metrics.jsonl`, or the report's.

        Raises:
            Pruned: to stop the job here.
        """

    def end(self, result: dict[str, Any]) -> None:
        """Called exactly once when the job ends, including after a failure.

        Args:
            result: the content of `result.json`.
        """


def notify_lost(callbacks: Sequence[Callback]) -> None:
    """Tell the callbacks that have a method `lost` that another process has taken the job over."""
    for callback in callbacks:
        lost = getattr(callback, "lost", None)
        if callable(lost):
            lost()


class Tracker(Callback, Protocol):
    """A callback that mirrors jobs elsewhere. `conf/tracking` selects one, and each job builds its own instance."""

    def sweep_ended(self, folder: Path, table: "pandas.DataFrame") -> None:
        """Called when a sweep ends, on an instance built only for this call.

        Args:
            folder: the sweep folder.
            table: one row for each job.
        """

    def hint(self, folder: Path) -> str | None:
        """Return a line for the user about a job or sweep folder, such as its address or an upload command.

        Returns:
            The line, or None if there is nothing to say.
        """
