"""The tracker of `tracking=none`, which does nothing."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_resnet.job_folder import Metrics
from mnist_resnet.tracking.callback import RunInfo

if TYPE_CHECKING:
    import pandas


class NoTracker:
    """Tracks nothing and imports nothing.

    It accepts the keys of `WandbTracker`, so that overrides of them stay valid with `tracking=none`.
    """

    def __init__(
        self, mode: str = "auto", project: str | None = None, entity: str | None = None, timeout: float = 30.0
    ) -> None:
        pass

    def begin(self, run: RunInfo) -> None:
        """Do nothing."""

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """Do nothing."""

    def epoch(self, metrics: Metrics) -> None:
        """Do nothing."""

    def end(self, result: dict[str, Any]) -> None:
        """Do nothing."""

    def sweep_ended(self, folder: Path, table: "pandas.DataFrame") -> None:
        """Do nothing."""

    def hint(self, folder: Path) -> None:
        """Return None: there is nothing to do."""
