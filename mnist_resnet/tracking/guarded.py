"""The tracker that a config names, so held that no failure of it reaches a job or the end of a sweep."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.errors import InstantiationException
from hydra.utils import instantiate

from mnist_resnet.job_folder import Metrics
from mnist_resnet.tracking.callback import Run, Tracker
from mnist_resnet.tracking.wandb_mode import one_line, warn_once

if TYPE_CHECKING:
    import pandas


class GuardedTracker:
    """Hands on what it is told; the first failure is said in one line, and the tracker is told nothing more."""

    def __init__(self, node: dict[str, Any]) -> None:
        """Build the tracker that `node`, the config's `tracking`, describes."""
        self._name = str(node["_target_"])
        self._tracker: Tracker | None = None
        try:
            self._tracker = instantiate(node)
        except Exception as error:
            self._give_up(error)

    def begin(self, run: Run) -> None:
        """See `Callback`."""
        self._tell("begin", run)

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """See `Callback`."""
        self._tell("batch", epoch, step, loss, accuracy)

    def epoch(self, metrics: Metrics) -> None:
        """See `Callback`."""
        self._tell("epoch", metrics)

    def end(self, result: dict[str, Any]) -> None:
        """See `Callback`."""
        self._tell("end", result)

    def sweep_ended(self, folder: Path, table: "pandas.DataFrame") -> None:
        """See `Tracker`."""
        self._tell("sweep_ended", folder, table)

    def hint(self, folder: Path) -> str | None:
        """See `Tracker`."""
        said = self._tell("hint", folder)
        return None if said is None else str(said)

    def _tell(self, what: str, *said: Any) -> Any:
        if self._tracker is None:
            return None
        try:
            return getattr(self._tracker, what)(*said)
        except Exception as error:
            self._give_up(error)
            return None

    def _give_up(self, error: Exception) -> None:
        self._tracker = None
        cause = error.__cause__ if isinstance(error, InstantiationException) else None
        said = one_line(cause if isinstance(cause, Exception) else error)
        warn_once(f"tracking._target_={self._name} failed, and is left out ({said})")
