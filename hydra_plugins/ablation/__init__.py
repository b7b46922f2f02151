"""Hydra's way in: a sweeper that freezes the job list, and a launcher that runs it in this process, job after job."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf


@dataclass
class AblationConf:
    """`hydra/sweeper=ablation`: what `params` says is swept too, as with Hydra's basic sweeper."""

    _target_: str = "hydra_plugins.ablation.AblationSweeper"
    params: dict[str, str] = field(default_factory=dict)


@dataclass
class SequentialConf:
    """`hydra/launcher=sequential`: in this process, one job after the other."""

    _target_: str = "hydra_plugins.ablation.SequentialLauncher"


ConfigStore.instance().store(group="hydra/sweeper", name="ablation", node=AblationConf, provider="mnist_resnet")
ConfigStore.instance().store(group="hydra/launcher", name="sequential", node=SequentialConf, provider="mnist_resnet")


def _seeds(seeds: Any) -> str:
    """`${seeds:…}`: a number of seeds, from the report's seed 1 on, or a list of them, as a list to sweep over."""
    return ",".join(str(seed) for seed in (range(1, seeds + 1) if isinstance(seeds, int) else seeds))


OmegaConf.register_new_resolver("seeds", _seeds, replace=True)


class AblationSweeper(Sweeper):
    """Every combination of what is swept, frozen in the sweep folder before the first one starts."""

    def __init__(self, params: Mapping[str, str] | None = None) -> None:
        self.params = params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Freeze the sweep and carry it out; ends the program with its exit code if that is not 0."""
        from mnist_resnet.sweeps.launch import launch

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.task_function is not None
        code = launch(arguments, self.params, self.config, self.hydra_context, self.task_function)
        if code:
            # Hydra itself leaves this callback out when a job failed.
            self.hydra_context.callbacks.on_multirun_end(config=self.config, config_name=None)
            raise SystemExit(code)


class SequentialLauncher(Launcher):
    """Drains the frozen sweep in this process; Hydra composes nothing again for it."""

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:  # noqa: ARG002
        """Called by Hydra before `launch`."""
        self.config = config

    def search(self, folder: Path) -> None:
        """Run the trials of the search in `folder` that it still is to have."""
        from mnist_resnet.search.run import work

        work(folder)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:  # noqa: ARG002
        """Run the jobs with these overrides; what became of them stands in their folders."""
        from mnist_resnet.sweeps.launch import names_of
        from mnist_resnet.sweeps.runner import run_jobs

        assert self.config is not None
        run_jobs(Path(self.config.hydra.sweep.dir), names_of(job_overrides), self.config.sweep.on_failure)
        return []
