"""The inputs of one task run: its config, its saved state, and where to report to."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import PREVIOUS_CHECKPOINT, Metrics, write_atomically
from mnist_resnet.jobs.checkpoint import Checkpoints, State, load_checkpoint
from mnist_resnet.jobs.progress import Progress
from mnist_resnet.jobs.result_writer import ResultWriter
from mnist_resnet.jobs.stop_check import StopCheck
from mnist_resnet.tracking.callback import Callback, RunInfo
from mnist_resnet.tracking.console import ProgressConsole, duration


@dataclass(frozen=True)
class ShorterRun:
    """A completed job of the same config but fewer epochs.

    Attributes:
        folder: Its job folder.
        signature: Its signature.
        is_beginning: Whether it computed the same as the first epochs of the longer job, which then can continue it.
    """

    folder: Path
    signature: str
    is_beginning: bool


@dataclass
class TaskRun:
    """One attempt at a job, as its task sees it.

    Attributes:
        job: The job.
        config: Its config, validated: a `Config` if the task is the image classifier, else a `JobConfig`.
        writer: Writes the job's result.
        checkpoints: Decides when to save the task's state, and saves it.
        stop: Raises if the task must stop: call it after each step.
        console: Shows progress.
        numerics: What earlier attempts computed with, as `result.json` has it; None at the first attempt.
        shorter: A job whose end this one may continue.
        callbacks: What reports the job's progress; the task adds its own before `begin`.
        own_callbacks: Called after the task's own.
    """

    job: JobSpec
    config: Any
    writer: ResultWriter
    checkpoints: Checkpoints
    stop: StopCheck
    console: ProgressConsole
    numerics: dict[str, Any] | None
    shorter: ShorterRun | None
    callbacks: list[Callback]
    own_callbacks: Sequence[Callback] = field(default=())

    @property
    def folder(self) -> Path:
        """The job folder."""
        return self.writer.folder

    def write(self, path: Path, content: bytes) -> None:
        """Write a file of the job folder atomically, if this attempt still holds the lease.

        Raises:
            LeaseLost: It does not; nothing is written.
        """
        self.writer.check()
        write_atomically(path, content)

    def record_data(self, sha256: str | None) -> None:
        """Record the hash of the data that the job is about to see; None: its config says all about them.

        Raises:
            UsageError: The sweep was launched with other data, or the job has begun on others.
        """
        recorded = self.writer.result["data_sha256"]
        if recorded is not None and recorded != sha256:
            raise UsageError(
                f"the data are not those that the job was started with (SHA-256 {recorded[:12]}… then, "
                f"{(sha256 or 'of the published ones')[:12]}… now): bring those back, or give the command again, which "
                f"makes a job of its own of these"
            )
        self.writer.result["data_sha256"] = sha256

    def load_state(self) -> tuple[State | None, list[str]]:
        """Load the state to continue from.

        Returns:
            The state, or None if the job starts from scratch, and a line for everything out of the ordinary; the lines
            are noted in the result.
        """
        state, lines = load_checkpoint(self.folder, self.job.signature)
        if state is None and self.shorter is not None:
            state, line = _continue_shorter(self.shorter)
            lines = [*lines, line]
        self.writer.continues = state is not None
        self.writer.note(*lines)
        return state, lines

    def start(self, progress: Progress, callbacks: Sequence[Callback]) -> None:
        """Add what every task has to the callbacks: the result before the task's own, the process's after them."""
        self.callbacks += [
            ResultCallback(self.writer, progress, self.checkpoints, self.console),
            *callbacks,
            *self.own_callbacks,
        ]

    def begin(
        self, steps_per_epoch: int, epochs: int | None, history: list[Metrics], batch_losses: list[tuple[int, float]]
    ) -> None:
        """Tell all callbacks that the job begins, or continues after `history`; see `RunInfo` for the arguments."""
        shown = ("experiment", "scale")
        info = RunInfo(
            id=self.writer.result["id"],
            name=self.job.name,
            group=self.job.sweep,
            tags=[f"{group}={choice}" for group, choice in self.job.choices.items() if group in shown and choice],
            folder=self.folder,
            config=self.job.config,
            steps_per_epoch=steps_per_epoch,
            epochs=epochs,
            history=history,
            batch_losses=batch_losses,
        )
        for callback in self.callbacks:
            callback.begin(info)

    def keep_checkpoint(self, state: Callable[[], State]) -> None:
        """Save the final state, for longer jobs to continue from, and drop the checkpoint before it."""
        self.writer.check()
        self.checkpoints.write_now(state)
        (self.folder / PREVIOUS_CHECKPOINT).unlink(missing_ok=True)


class ResultCallback:
    """Writes the epochs so far into the job folder, and says once how much work a crash can cost."""

    def __init__(
        self, writer: ResultWriter, progress: Progress, checkpoints: Checkpoints, console: ProgressConsole
    ) -> None:
        self._writer, self._progress, self._checkpoints, self._console = writer, progress, checkpoints, console
        self._epochs: int | None = None
        self._cost_shown = False

    def begin(self, run: RunInfo) -> None:
        """Remember the number of epochs; the result was begun before the network was built."""
        self._epochs = run.epochs

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """Do nothing: batch losses are written at an epoch's end."""

    def epoch(self, metrics: Metrics) -> None:
        """Write the epochs so far."""
        self._writer.epoch_ended(self._progress)
        cost = self._checkpoints.seconds_at_risk
        left = (self._epochs or math.inf) - len(self._progress.history)
        # of a job that ends before its first checkpoint it says nothing worth knowing
        if cost and not self._cost_shown and left * metrics.get("seconds", 0.0) > cost:
            self._cost_shown = True
            self._console.log(f"  a checkpoint every {duration(cost)}: a crash costs about that much work at most")

    def end(self, result: dict[str, Any]) -> None:
        """Do nothing: the result is written before `end` is called."""


def _continue_shorter(shorter: ShorterRun) -> tuple[State | None, str]:
    name = shorter.folder.name
    if not shorter.is_beginning:
        return None, f"starts over: under this schedule or averaging the epochs of {name} are not its first ones"
    state, _ = load_checkpoint(shorter.folder, shorter.signature)
    same = f"{name}, the same computation with fewer epochs"
    return state, f"goes on from the end of {same}" if state else f"starts over: no checkpoint was kept of {same}"
