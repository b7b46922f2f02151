"""A tracker for TensorBoard."""

from typing import Any

from torch.utils.tensorboard import SummaryWriter

from mnist_resnet.job_folder import Metrics
from mnist_resnet.tracking.callback import RunInfo, Tracker


class TensorBoard(Tracker):
    """Writes each epoch's metrics to `tensorboard/` in the job folder; `tensorboard --logdir multirun` shows them."""

    def begin(self, run: RunInfo) -> None:
        """Open the job's event file; what an attempt wrote after its last checkpoint is taken back."""
        self._writer = SummaryWriter(str(run.folder / "tensorboard"), purge_step=len(run.history))

    def epoch(self, metrics: Metrics) -> None:
        """Write a point of each curve."""
        step = int(metrics.get("epoch", metrics.get("step", 0)))
        for name, value in metrics.items():
            self._writer.add_scalar(name, value, step)

    def end(self, result: dict[str, Any]) -> None:  # noqa: ARG002
        """Close the file."""
        self._writer.close()

    def lost(self) -> None:
        """Close the file."""
        self._writer.close()
