"""Rewrites a sweep's dashboard while the sweep runs, within a small share of its time."""

import logging
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import DASHBOARD, FIGURES, Metrics
from mnist_resnet.tracking.callback import RunInfo

MAX_SHARE = 0.02
"""Largest share of the sweep's time that is spent on its dashboard."""
MIN_INTERVAL = 30.0
"""Shortest time between two writes in seconds."""


class LiveDashboard:
    """A callback that keeps `dashboard.html` in a sweep folder nearly up to date.

    Args:
        folder: the sweep folder.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = time.monotonic() + MIN_INTERVAL

    def begin(self, run: RunInfo) -> None:
        """Do nothing: there are no epochs to show yet."""

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """Do nothing: the dashboard shows epochs."""

    def epoch(self, metrics: Metrics) -> None:  # noqa: ARG002 (the dashboard is written from the folder)
        """Write the dashboard, if it is due."""
        self.refresh()

    def refresh(self) -> None:
        """Write the dashboard, if it is due."""
        started = time.monotonic()
        if started < self._next:
            return
        try:
            write_sweep_dashboard(self._folder)
        except Exception as error:
            logging.getLogger("mnist_resnet").warning("the dashboard was not written: %s", error)
        ended = time.monotonic()
        self._next = ended + max(MIN_INTERVAL, (ended - started) / MAX_SHARE)

    def end(self, result: dict[str, Any]) -> None:
        """Do nothing: the end of the sweep writes the dashboard."""


def write_sweep_dashboard(folder: Path) -> None:
    """Write `dashboard.html` in a sweep folder."""
    from mnist_resnet.comparing.dashboard import write_dashboard

    write_dashboard([folder], folder / DASHBOARD)


def write_sweep_plots(folder: Path) -> None:
    """Write the sweep's plots as PNG files, if matplotlib is installed and there is something to plot."""
    if find_spec("matplotlib") is None:
        return
    from mnist_resnet.comparing.figures import write_figures
    from mnist_resnet.comparing.job_reader import load_jobs

    with suppress(UsageError):
        write_figures(load_jobs([folder])[0], folder / FIGURES, "png")
