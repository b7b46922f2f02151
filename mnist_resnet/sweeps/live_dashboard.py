"""The sweep's dashboard while it runs: written again now and then, for a share of the time that nobody misses."""

import logging
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import DASHBOARD, FIGURES, Metrics
from mnist_resnet.tracking.callback import Run

SHARE = 0.02
"""Of the sweep's time that may go into its page, at most."""
SOONEST = 30.0
"""Seconds between two writings, at least."""


class LiveDashboard:
    """An observer that keeps `dashboard.html` of a sweep folder nearly up to date."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._next = time.monotonic() + SOONEST

    def begin(self, run: Run) -> None:
        """Nothing to be shown yet."""

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """Nothing: the page shows epochs."""

    def epoch(self, metrics: Metrics) -> None:  # noqa: ARG002 (the page reads the folder)
        """Write the page, if it is time."""
        self.refresh()

    def refresh(self) -> None:
        """Write the page, if it is time."""
        started = time.monotonic()
        if started < self._next:
            return
        try:
            write_page(self._folder)
        except Exception as error:
            logging.getLogger("mnist_resnet").warning("the dashboard was not written: %s", error)
        ended = time.monotonic()
        self._next = ended + max(SOONEST, (ended - started) / SHARE)

    def end(self, result: dict[str, Any]) -> None:
        """Nothing: the sweep's end writes the page once more."""


def write_page(folder: Path) -> None:
    """Write the dashboard of the sweep in `folder`."""
    from mnist_resnet.comparing.dashboard import write_dashboard

    write_dashboard([folder], folder / DASHBOARD)


def write_plots(folder: Path) -> None:
    """Write the sweep's plots as PNG, where the extra that draws them is installed and there is something to draw."""
    if find_spec("matplotlib") is None:
        return
    from mnist_resnet.comparing.figures import write_figures
    from mnist_resnet.comparing.frame import load_jobs

    with suppress(UsageError):
        write_figures(load_jobs([folder])[0], folder / FIGURES, "png")
