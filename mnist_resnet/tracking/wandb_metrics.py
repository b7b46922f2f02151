"""Logs a job's batch losses and epoch metrics to its W&B run, including those of earlier attempts."""

from collections.abc import Iterable, Sequence

from mnist_resnet.job_folder import Metrics
from mnist_resnet.tracking.wandb_run import OpenRun


class MetricLogger:
    """Logs the losses and metrics of one job to its W&B run.

    Attributes:
        open_run: the job's W&B run.
    """

    def __init__(self, open_run: OpenRun, steps_per_epoch: int) -> None:
        """Store the run; nothing is sent to W&B yet.

        Args:
            open_run: the job's W&B run.
            steps_per_epoch: optimiser steps in one epoch.
        """
        self.open_run = open_run
        self._steps_per_epoch = steps_per_epoch
        self._defined: set[str] = set()

    def replay(self, history: Sequence[Metrics], batch_losses: Iterable[tuple[int, float]]) -> None:
        """Log the epochs and batches of earlier attempts, in the order of their steps; call it first.

        Args:
            history: metrics of the completed epochs, in order.
            batch_losses: (global step, loss) pairs, in any order.
        """
        self.open_run.run.define_metric("batch_loss", step_metric="global_step")
        batches = iter(sorted(batch_losses))
        batch = next(batches, None)
        for metrics in history:
            while batch is not None and batch[0] <= self._last_step(metrics):
                self._log_loss(*batch)
                batch = next(batches, None)
            self.log_epoch(metrics)
        while batch is not None:
            self._log_loss(*batch)
            batch = next(batches, None)

    def log_batch(self, epoch: int, step: int, loss: float) -> None:
        """Log the loss of the batch at `step` of `epoch`, both from 0."""
        self._log_loss(epoch * self._steps_per_epoch + step, loss)

    def log_epoch(self, metrics: Metrics) -> None:
        """Log an epoch's metrics at the epoch's last step."""
        axis = "epoch" if "epoch" in metrics else "step"
        for name in metrics.keys() - self._defined - {axis}:
            self.open_run.run.define_metric(name, step_metric=axis)
        self._defined |= metrics.keys()
        self.open_run.log(metrics, self._last_step(metrics), commit=True)

    def _log_loss(self, global_step: int, loss: float) -> None:
        self.open_run.log({"batch_loss": loss}, global_step)

    def _last_step(self, metrics: Metrics) -> int:
        if "epoch" not in metrics:
            return int(metrics["step"])
        return (int(metrics["epoch"]) + 1) * self._steps_per_epoch - 1
