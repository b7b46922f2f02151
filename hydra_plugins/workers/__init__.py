"""`hydra/launcher=workers`: workers that drain the frozen sweep side by side, on this machine or on a cluster."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class WorkersLauncher(Launcher):
    """Has the frozen sweep drained by workers, and waits for its end unless it is told not to.

    Args:
        settings: keys and values of `conf/hydra/launcher/workers.yaml`.
    """

    def __init__(self, **settings: Any) -> None:
        self._given = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:  # noqa: ARG002
        """Called by Hydra before `launch`.

        Raises:
            UsageError: a setting is wrong, or its engine can't be had here.
        """
        from mnist_resnet.config.schema import check_launcher
        from mnist_resnet.launchers.submit import build_engine

        given = {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in self._given.items()
        }
        self.settings = check_launcher(given)
        if self.settings.engine != "local" or config.sweep.detach:
            # Which devices the jobs ask for is known once they are composed; whether the engine can be had, before.
            build_engine({"cpu"}, self.settings, config.sweep.detach)
        self.config = config

    def search(self, folder: Path) -> None:
        """Run the trials of the search in `folder` that it still is to have."""
        from mnist_resnet.launchers.search_pool import run_search_with_workers

        assert self.config is not None
        settings = self.config.sweep
        run_search_with_workers(folder, settings.on_failure, settings.retries, self.settings, settings.detach)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:  # noqa: ARG002
        """Run the jobs with these overrides; what became of them stands in their folders."""
        from mnist_resnet.launchers.pool import run_jobs_with_workers
        from mnist_resnet.sweeps.launch import names_of

        assert self.config is not None
        folder, names, settings = Path(self.config.hydra.sweep.dir), names_of(job_overrides), self.config.sweep
        run_jobs_with_workers(folder, names, settings.on_failure, settings.retries, self.settings, settings.detach)
        return []
