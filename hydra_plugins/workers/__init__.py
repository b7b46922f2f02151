"""Hydra plugin `hydra/launcher=workers`: runs a frozen sweep by parallel workers, on this machine or on a cluster."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


class WorkersLauncher(Launcher):
    """Runs the frozen jobs by workers, and waits for their end unless `sweep.detach` is set.

    Args:
        settings: keys and values of `conf/hydra/launcher/workers.yaml`.
    """

    def __init__(self, **settings: Any) -> None:
        self._unchecked_settings = settings

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:  # noqa: ARG002
        """Check the settings; called by Hydra before `launch`.

        Raises:
            SystemExit: the application is not ours.
            UsageError: a setting is invalid or another engine's, its engine is not available on this machine, or the
                sweeper is not ours.
        """
        from mnist_resnet.config.launcher_schema import check_launcher, refuse_other_engines
        from mnist_resnet.launchers.submit import build_engine
        from mnist_resnet.sweeps.hydra_job import refuse_other_applications, refuse_other_sweepers

        refuse_other_applications(config, "hydra/launcher")
        refuse_other_sweepers(config)
        resolved = {
            key: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
            for key, value in self._unchecked_settings.items()
        }
        self.settings = check_launcher(resolved)
        refuse_other_engines(config, self.settings.engine)
        if self.settings.engine != "local" or config.sweep.detach:
            # Check that the engine is available before the jobs are composed; their devices are not known yet.
            build_engine({"cpu"}, self.settings, config.sweep.detach)
        self.config = config

    def search(self, folder: Path) -> None:
        """Run the remaining trials of the search in `folder`."""
        from mnist_resnet.launchers.search_pool import run_search_with_workers

        assert self.config is not None
        settings = self.config.sweep
        run_search_with_workers(folder, settings.on_failure, settings.retries, self.settings, settings.detach)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:  # noqa: ARG002
        """Run the jobs with these overrides; their results are written to their folders, so none are returned."""
        from mnist_resnet.launchers.pool import run_jobs_with_workers
        from mnist_resnet.sweeps.launch import job_names

        assert self.config is not None
        folder, names, settings = Path(self.config.hydra.sweep.dir), job_names(job_overrides), self.config.sweep
        run_jobs_with_workers(folder, names, settings.on_failure, settings.retries, self.settings, settings.detach)
        return []
