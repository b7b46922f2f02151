"""Hydra plugins `hydra/sweeper=ablation` and `hydra/launcher=sequential`.

The sweeper freezes the job list; the launcher runs it in this process, one job after the other.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, ListConfig

from mnist_resnet.config.hydra_internals import allow_null_as_choice
from mnist_resnet.config.hydra_versions import end_multirun, register_resolver


@dataclass
class AblationConf:
    """Config of `hydra/sweeper=ablation`; `params` are further sweeps, as with Hydra's basic sweeper."""

    _target_: str = "hydra_plugins.ablation.AblationSweeper"
    params: dict[str, Any] = field(default_factory=dict)


@dataclass
class SequentialConf:
    """Config of `hydra/launcher=sequential`."""

    _target_: str = "hydra_plugins.ablation.SequentialLauncher"


ConfigStore.instance().store(group="hydra/sweeper", name="ablation", node=AblationConf, provider="mnist_resnet")
ConfigStore.instance().store(group="hydra/launcher", name="sequential", node=SequentialConf, provider="mnist_resnet")


def _seeds(seeds: Any) -> str:
    """Resolve `${seeds:…}` to a comma-separated sweep over seeds.

    Args:
        seeds: a list of seeds, or their number n for seeds 1 to n (the report's seed is 1). With anything else, 1
            stands for them here: with `auto` the sweep chooses them, and the check of the config refuses the rest.
    """
    if isinstance(seeds, int):
        return ",".join(map(str, range(1, max(seeds, 1) + 1)))
    return ",".join(map(str, seeds)) if isinstance(seeds, ListConfig) and seeds else "1"


register_resolver("seeds", _seeds)
allow_null_as_choice()


class AblationSweeper(Sweeper):
    """Freezes all combinations of the swept values in the sweep folder, then runs them."""

    def __init__(self, params: Mapping[str, Any] | None = None) -> None:
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store Hydra's context; called by Hydra before `sweep`.

        Raises:
            SystemExit: the application is not ours.
        """
        from mnist_resnet.sweeps.hydra_job import refuse_other_applications

        refuse_other_applications(config, "hydra/sweeper")
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Freeze the sweep and run it.

        Raises:
            SystemExit: with the sweep's exit code, if it is not 0.
        """
        from mnist_resnet.sweeps.launch import launch

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.task_function is not None
        code = launch(arguments, self.params, self.config, self.hydra_context, self.task_function)
        if code:
            end_multirun(self.hydra_context, self.config)
            raise SystemExit(code)


class SequentialLauncher(Launcher):
    """Runs the frozen jobs in this process, without composing them again."""

    def __init__(self) -> None:
        """Take no settings: without this method, Python's error names no key."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:  # noqa: ARG002
        """Check the sweeper and store the config; called by Hydra before `launch`.

        Raises:
            SystemExit: the application is not ours.
            UsageError: the sweeper is not one of ours.
        """
        from mnist_resnet.sweeps.hydra_job import refuse_other_applications, refuse_other_sweepers

        refuse_other_applications(config, "hydra/launcher")
        refuse_other_sweepers(config)
        self.config = config

    def search(self, folder: Path) -> None:
        """Run the remaining trials of the search in `folder`."""
        from mnist_resnet.search.trial_loop import run_search

        run_search(folder)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:  # noqa: ARG002
        """Run the jobs with these overrides; their results are written to their folders, so none are returned."""
        from mnist_resnet.sweeps.launch import job_names
        from mnist_resnet.sweeps.runner import run_jobs

        assert self.config is not None
        run_jobs(Path(self.config.hydra.sweep.dir), job_names(job_overrides), self.config.sweep.on_failure)
        return []
