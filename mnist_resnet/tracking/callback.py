"""Who watches a job: the screen, the log file, a tracker. The loop tells them what happened and asks nothing."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mnist_resnet.job_folder import Metrics

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True)
class Run:
    """What an observer may know of a job as it starts, or starts again.

    Attributes:
        id: of the job, the same in every attempt; 16 hexadecimal digits.
        name: for people, such as `model=stem3x3,optim.lr=0.02`.
        group: the sweep's name; None for a single run.
        tags: such as the experiment's name and the scale.
        folder: the job folder.
        config: the whole resolved config.
        steps_per_epoch: optimiser steps in one epoch.
        epochs: that this job will train.
        history: epochs done by earlier attempts, which this one goes on from.
        batch_losses: (global step, loss) of earlier attempts, every `trainer.log_interval`-th step.
    """

    id: str
    name: str
    group: str | None
    tags: list[str]
    folder: Path
    config: dict[str, Any]
    steps_per_epoch: int
    epochs: int
    history: list[Metrics] = field(default_factory=list)
    batch_losses: list[tuple[int, float]] = field(default_factory=list)


class Pruned(Exception):
    """Raised by an observer at an epoch's end: the job is not worth going on with; the text says by what measure."""


class Callback(Protocol):
    """Told of a job's course, in this order: `begin`, then batches and epochs as they come, then `end`."""

    def begin(self, run: Run) -> None:
        """The job starts, or goes on from `run.history`."""

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """Step `step` of `epoch` (both from 0) had this mean loss; `accuracy` is the epoch's training accuracy so far.

        Told every `trainer.log_interval` steps, and late: nobody waits for the device.
        """

    def epoch(self, metrics: Metrics) -> None:
        """An epoch ended: its line of `metrics.jsonl`.

        Raises:
            Pruned: the job is to end here.
        """

    def end(self, result: dict[str, Any]) -> None:
        """The job ended, in whatever way: its `result.json`. Called once, also after a failure."""


class Tracker(Callback, Protocol):
    """An observer that mirrors jobs elsewhere; `conf/tracking` names one, and each job builds its own."""

    def sweep_ended(self, folder: Path, table: "pandas.DataFrame") -> None:
        """A sweep ended: its folder, and one row a job. Called on a tracker that was built for this alone."""

    def hint(self, folder: Path) -> str | None:
        """What a person should do now about a job or sweep folder, or where it is to be seen; None: nothing."""
