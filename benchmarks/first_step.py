"""A tracker that records when each job's first training step was reported."""

import time
from pathlib import Path

from mnist_resnet.tracking.callback import RunInfo
from mnist_resnet.tracking.no_tracker import NoTracker

FILE = "first_step.txt"
"""File in the job folder with the time of the first report, in seconds since 1970."""


class FirstStep(NoTracker):
    """Writes the time of the first reported step into the job folder."""

    def begin(self, run: RunInfo) -> None:
        """Remember the job folder."""
        self._file: Path | None = run.folder / FILE

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:  # noqa: ARG002
        """Write the current time, at the first call only."""
        if self._file is not None:
            self._file.write_text(f"{time.time()}\n", encoding="utf-8")
            self._file = None
