"""Hydra's way in: a sweeper that lets Optuna propose each trial as a worker asks for it."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SearchSweeper(Sweeper):
    """`hydra/sweeper=search`: Hydra's sweep syntax is the space, the sweep folder holds the study."""

    def __init__(
        self, sampler: Mapping[str, Any], pruner: Mapping[str, Any], params: Mapping[str, str] | None = None
    ) -> None:
        self.sampler, self.pruner, self.params = sampler, pruner, params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Called by Hydra before `sweep`."""
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Search; ends the program with its exit code if that is not 0."""
        from mnist_resnet.errors import UsageError

        if find_spec("optuna") is None:
            raise UsageError("hydra/sweeper=search: needs Optuna, which is not installed: pip install -e '.[search]'")
        from mnist_resnet.search.run import search

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.task_function is not None
        code = search(arguments, self.params, self.config, self.hydra_context, self.task_function)
        if code:
            # Hydra itself leaves this callback out when a job failed.
            self.hydra_context.callbacks.on_multirun_end(config=self.config, config_name=None)
            raise SystemExit(code)
