"""Says once if other processes use the cores on which training's threads compute."""

import time
from collections.abc import Callable
from typing import Any

from mnist_resnet.job_folder import Metrics
from mnist_resnet.jobs.processor_wait import process_wait
from mnist_resnet.tracking.callback import RunInfo

MEASURED_SECONDS = 5.0
"""Seconds of training that are judged."""
NOTABLE_SHARE = 0.15
"""Of the threads' time. Beside three busy processes on two cores it was 0.67, and one thread 3.7 × as fast as two."""


class CoreContention:
    """A callback that compares how long threads wait for a core with how long they have trained.

    In each operation all threads wait for the last one, so that several are much slower than one where they don't all
    get a core.

    Args:
        threads: number of threads of the run; of a single one nothing is said, since it has no others to wait for.
        advise: takes a subject and a line, and prints the line.
    """

    def __init__(self, threads: int, advise: Callable[[str, str], None]) -> None:
        self._threads, self._advise = threads, advise
        self._is_judged = threads == 1

    def begin(self, run: RunInfo) -> None:  # noqa: ARG002 (all callbacks take it)
        """Remember the time."""
        self._started, self._waited = time.monotonic(), process_wait()

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:  # noqa: ARG002 (all take them)
        """Judge the training so far, once it has taken long enough."""
        seconds = time.monotonic() - self._started
        if self._is_judged or seconds < MEASURED_SECONDS:
            return
        self._is_judged = True
        share = (process_wait() - self._waited) / (self._threads * seconds)
        if share >= NOTABLE_SHARE:
            self._advise(
                "cores",
                f"  other processes use the cores: the {self._threads} threads waited for one {100 * share:.0f} % of "
                f"the time, and for each other; trainer.threads=1 may be several times faster",
            )

    def epoch(self, metrics: Metrics) -> None:
        """Do nothing: within an epoch enough is seen."""

    def end(self, result: dict[str, Any]) -> None:
        """Do nothing."""
