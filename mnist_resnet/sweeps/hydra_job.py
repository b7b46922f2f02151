"""Refuses settings that only Hydra's own `run_job` acts on, where a launcher of ours runs the jobs."""

import sys
from typing import Any

from hydra.experimental.callback import Callback
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf

from mnist_resnet.config.hydra_internals import callbacks
from mnist_resnet.config.validation_errors import as_typed
from mnist_resnet.errors import UsageError

NO_EFFECT: dict[str, Any] = {"job.chdir": None, "job.env_copy": [], "job.env_set": {}, "output_subdir": ".hydra"}
"""Keys of Hydra's node that our launchers don't act on, with the values that ask for nothing."""

CURES = {
    "job.chdir": "jobs run in this folder, and write to their own by themselves",
    "job.env_copy": "workers on this machine and on Slurm have the variables anyway",
    "job.env_set": "export the variables before the command",
    "output_subdir": "each job keeps its config in .hydra",
}

OUR_SWEEPERS = ("hydra_plugins.ablation.AblationSweeper", "hydra_plugins.search.SearchSweeper")


def refuse_hydra_job_settings(config: DictConfig, context: HydraContext, launcher: str) -> None:
    """Check that nothing is asked for which a launcher of ours would ignore.

    Args:
        config: config of the sweep, including Hydra's own node.
        context: Hydra's context.
        launcher: the launcher's name.

    Raises:
        UsageError: a setting or a callback would be ignored.
    """
    for key, neutral in NO_EFFECT.items():
        node, _, name = f"hydra.{key}".rpartition(".")
        value = (config.hydra.job if node == "hydra.job" else config.hydra).get(name)
        if value != neutral and value is not False:
            raise UsageError(
                f"hydra.{key}={as_typed(value)}: hydra/launcher={launcher} doesn't act on it; {CURES[key]}, or take "
                f"hydra/launcher=basic"
            )
    _refuse_logging(config.hydra, launcher)
    for callback in callbacks(context):
        for method in ("on_job_start", "on_job_end"):
            if _acts_on(callback, method):
                raise UsageError(
                    f"hydra.callbacks: {type(callback).__name__}.{method} is not called by hydra/launcher={launcher}; "
                    f"leave it out, or take hydra/launcher=basic"
                )


def _acts_on(callback: Any, method: str) -> bool:
    """Return whether a callback, which may be of a class of its own, does something in one of Hydra's methods."""
    own = getattr(callback, method, None)
    return own is not None and getattr(own, "__func__", own) is not getattr(Callback, method)


def _refuse_logging(hydra: DictConfig, launcher: str) -> None:
    """Reject Hydra's settings of what a job logs; `hydra.verbose` is left if Hydra itself logs in this process."""
    cure = "each job's log is its train.log, or take hydra/launcher=basic"
    if hydra.job_logging.get("root") is not None:
        choice = hydra.runtime.choices.get("hydra/job_logging")
        raise UsageError(f"hydra/job_logging={choice}: hydra/launcher={launcher} doesn't act on it; {cure}")
    if hydra.verbose and hydra.hydra_logging.get("root") is None:
        raise UsageError(
            f"hydra.verbose={as_typed(hydra.verbose)}: hydra/launcher={launcher} doesn't act on it; {cure}"
        )


def refuse_other_applications(config: DictConfig, plugin: str) -> None:
    """End the program if another Hydra application in the same environment chose a plugin of ours.

    Args:
        config: the application's config, including Hydra's own node.
        plugin: `hydra/sweeper` or `hydra/launcher`.

    Raises:
        SystemExit: with exit code 2. The message is printed here, as such an application shows tracebacks.
    """
    if OmegaConf.select(config, "sweep.on_failure") is None:
        choice = config.hydra.runtime.choices[plugin]
        print(f"error: {plugin}={choice}: works with the train.py of mnist-resnet only; take another", file=sys.stderr)
        raise SystemExit(2)


def refuse_other_sweepers(config: DictConfig) -> None:
    """Check that the sweeper freezes its jobs in the sweep folder, from which our launchers run them.

    Raises:
        UsageError: it does not.
    """
    target = config.hydra.sweeper.get("_target_")
    if target not in OUR_SWEEPERS:
        choice = config.hydra.runtime.choices["hydra/sweeper"]
        raise UsageError(f"hydra/sweeper={choice}: freezes no jobs to run; take ablation (the default) or search")
