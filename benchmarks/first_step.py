"""A tracker that leaves the moment of each job's first reported step in its folder."""

import time
from pathlib import Path

from mnist_resnet.tracking.callback import RunInfo
from mnist_resnet.tracking.no_tracker import NoTracker

FILE = "first_step.txt"


class FirstStep(NoTracker):
    """Notes seconds since 1970, once a job."""

    def begin(self, run: RunInfo) -> None:
        """The job is about to train."""
        self._file: Path | None = run.folder / FILE

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:  # noqa: ARG002
        """A step's loss was read: the first of them counts."""
        if self._file is not None:
            self._file.write_text(f"{time.time()}\n", encoding="utf-8")
            self._file = None
