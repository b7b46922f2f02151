"""Several trackers at once: each gets every call, and the failure of one keeps nothing from the others."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from mnist_resnet.job_folder import Metrics
from mnist_resnet.tracking.callback import RunInfo, Tracker
from mnist_resnet.tracking.guarded import GuardedTracker

if TYPE_CHECKING:
    import pandas


class SeveralTrackers(Tracker):
    """Forwards every call to each of its trackers."""

    def __init__(self, trackers: Mapping[str, Any] | DictConfig) -> None:
        """Build the trackers, each by itself: Hydra, left to it, would build none if one can't be built.

        Args:
            trackers: By name, the config node of each.
        """
        nodes: Any = OmegaConf.to_container(trackers) if isinstance(trackers, DictConfig) else trackers
        self._trackers = [GuardedTracker(node) for node in nodes.values()]

    def begin(self, run: RunInfo) -> None:
        """See `Callback`."""
        for tracker in self._trackers:
            tracker.begin(run)

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """See `Callback`."""
        for tracker in self._trackers:
            tracker.batch(epoch, step, loss, accuracy)

    def epoch(self, metrics: Metrics) -> None:
        """See `Callback`."""
        for tracker in self._trackers:
            tracker.epoch(metrics)

    def end(self, result: dict[str, Any]) -> None:
        """See `Callback`."""
        for tracker in self._trackers:
            tracker.end(result)

    def lost(self) -> None:
        """See `Callback`."""
        for tracker in self._trackers:
            tracker.lost()

    def sweep_ended(self, folder: Path, table: "pandas.DataFrame") -> None:
        """See `Tracker`."""
        for tracker in self._trackers:
            tracker.sweep_ended(folder, table)

    def hint(self, folder: Path) -> str | None:
        """See `Tracker`; the lines of all of them."""
        return "\n".join(filter(None, (tracker.hint(folder) for tracker in self._trackers))) or None
