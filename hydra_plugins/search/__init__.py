"""Hydra plugin `hydra/sweeper=search`: a sweeper in which Optuna proposes each trial when a worker requests it."""

from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


class SearchSweeper(Sweeper):
    """Searches the space given in Hydra's sweep syntax; the Optuna study is stored in the sweep folder.

    Args:
        sampler: Optuna sampler node, instantiated by each worker.
        pruner: Optuna pruner node, instantiated by each worker.
        params: the search space by key; overrides on the command line replace its entries.
    """

    def __init__(
        self, sampler: Mapping[str, Any], pruner: Mapping[str, Any], params: Mapping[str, Any] | None = None
    ) -> None:
        self.sampler, self.pruner, self.params = sampler, pruner, params or {}

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Store Hydra's context; called by Hydra before `sweep`.

        Raises:
            SystemExit: the application is not ours.
        """
        from mnist_resnet.sweeps.hydra_job import refuse_other_applications

        refuse_other_applications(config, "hydra/sweeper")
        self.hydra_context, self.task_function, self.config = hydra_context, task_function, config

    def sweep(self, arguments: list[str]) -> Any:
        """Run the search.

        Raises:
            SystemExit: with the search's exit code, if it is not 0.
        """
        from mnist_resnet.config.hydra_versions import end_multirun
        from mnist_resnet.errors import UsageError

        if find_spec("optuna") is None:
            raise UsageError("hydra/sweeper=search: needs Optuna, which is not installed: pip install -e '.[search]'")
        from mnist_resnet.search.run import search

        assert self.config is not None
        assert self.hydra_context is not None
        assert self.task_function is not None
        code = search(arguments, self.params, self.config, self.hydra_context, self.task_function)
        if code:
            end_multirun(self.hydra_context, self.config)
            raise SystemExit(code)
