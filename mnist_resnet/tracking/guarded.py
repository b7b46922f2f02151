"""A wrapper around the configured tracker that keeps its failures away from jobs and sweeps."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import InstantiationException

from mnist_resnet.config.build import build
from mnist_resnet.errors import wording
from mnist_resnet.job_folder import Metrics
from mnist_resnet.tracking.callback import RunInfo, Tracker
from mnist_resnet.tracking.wandb_mode import MAX_REASON, warn_once

if TYPE_CHECKING:
    import pandas


class GuardedTracker:
    """Forwards every call to a tracker. The first failure is logged as one warning and disables the tracker."""

    def __init__(self, node: dict[str, Any]) -> None:
        """Build the tracker described by `node`, the config's `tracking`."""
        self._target = str(node["_target_"])
        self._tracker: Tracker | None = None
        try:
            self._tracker = build(node, convert="none")
        except Exception as error:
            self._disable(error)

    def begin(self, run: RunInfo) -> None:
        """See `Callback`."""
        self._call("begin", run)

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """See `Callback`."""
        self._call("batch", epoch, step, loss, accuracy)

    def epoch(self, metrics: Metrics) -> None:
        """See `Callback`."""
        self._call("epoch", metrics)

    def end(self, result: dict[str, Any]) -> None:
        """See `Callback`."""
        self._call("end", result)

    def lost(self) -> None:
        """See `Callback`."""
        if hasattr(self._tracker, "lost"):
            self._call("lost")

    def sweep_ended(self, folder: Path, table: "pandas.DataFrame") -> None:
        """See `Tracker`."""
        self._call("sweep_ended", folder, table)

    def hint(self, folder: Path) -> str | None:
        """See `Tracker`."""
        line = self._call("hint", folder)
        return None if line is None else str(line)

    def _call(self, method: str, *arguments: Any) -> Any:
        if self._tracker is None:
            return None
        try:
            return getattr(self._tracker, method)(*arguments)
        except Exception as error:
            self._disable(error)
            return None

    def _disable(self, error: Exception) -> None:
        self._tracker = None
        cause = error.__cause__ if isinstance(error, InstantiationException) else None
        reason = wording(cause or error, MAX_REASON)
        warn_once(f"tracking._target_={self._target} failed and is disabled ({reason})")
