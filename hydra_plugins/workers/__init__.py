"""`hydra/launcher=workers`: processes on this machine that drain the frozen sweep side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class WorkersConf:
    """How many processes there are.

    Attributes:
        workers: in all; null: `jobs_per_device` for each GPU, or where there is none, for each core.
        jobs_per_device: processes that share one device.
    """

    _target_: str = "hydra_plugins.workers.WorkersLauncher"
    workers: int | None = None
    jobs_per_device: int = 1


ConfigStore.instance().store(group="hydra/launcher", name="workers", node=WorkersConf, provider="mnist_resnet")


class WorkersLauncher(Launcher):
    """Has the frozen sweep drained by processes of their own, and waits for its end."""

    def __init__(self, workers: int | None, jobs_per_device: int) -> None:
        self.workers, self.jobs_per_device = workers, jobs_per_device

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:  # noqa: ARG002
        """Called by Hydra before `launch`.

        Raises:
            UsageError: less than one process was asked for.
        """
        from mnist_resnet.errors import UsageError

        for key in ("workers", "jobs_per_device"):
            asked = getattr(self, key)
            if asked is not None and asked < 1:
                raise UsageError(f"hydra.launcher.{key}={asked}: must be 1 or more")
        self.config = config

    def search(self, folder: Path) -> None:
        """Run the trials of the search in `folder` that it still is to have."""
        from mnist_resnet.running.search_workers import search_by_workers

        assert self.config is not None
        settings = self.config.sweep
        search_by_workers(folder, settings.on_failure, settings.retries, self.workers, self.jobs_per_device)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:  # noqa: ARG002
        """Run the jobs with these overrides; what became of them stands in their folders."""
        from mnist_resnet.running.launch import names_of
        from mnist_resnet.running.workers import drain_by_workers

        assert self.config is not None
        folder, settings = Path(self.config.hydra.sweep.dir), self.config.sweep
        names = names_of(job_overrides)
        drain_by_workers(folder, names, settings.on_failure, settings.retries, self.workers, self.jobs_per_device)
        return []
