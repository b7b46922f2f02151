"""Checks what public launchers find wrong with their settings only when they start jobs, so that a dry run says it."""

import re
from collections.abc import Callable, Iterable
from dataclasses import fields
from functools import partial
from importlib import import_module
from inspect import Parameter, signature
from tempfile import TemporaryDirectory
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mnist_resnet.config.validation_errors import suggest_key
from mnist_resnet.errors import UsageError, wording

PLUGINS = "hydra_plugins.hydra_"

NOT_UPDATED = ("submitit_folder", "max_num_timeout", "python")
"""Settings that a submitit executor is built with; all others are set afterwards, and checked."""


def check_public_launcher(config: DictConfig) -> None:
    """Check the settings of a public launcher; other launchers check theirs when they are built.

    Args:
        config: config of the sweep, including Hydra's own node.

    Raises:
        UsageError: the launcher would ignore a setting, or refuse it when it starts jobs.
    """
    node = config.hydra.launcher
    check = CHECKS.get(str(node.get("_target_")).removeprefix(PLUGINS))
    if check is None:
        return
    settings: Any = OmegaConf.to_container(node, resolve=True)
    del settings["_target_"]
    try:
        check(settings)
    except UsageError:
        raise
    except Exception as error:
        choice = config.hydra.runtime.choices["hydra/launcher"]
        raise UsageError(f"hydra/launcher={choice}: {wording(error)}") from error


def _check_joblib(settings: dict[str, Any]) -> None:
    joblib, plugin = import_module("joblib"), import_module(f"{PLUGINS}joblib_launcher.config")
    declared = [field.name for field in fields(plugin.JobLibLauncherConf)]
    _refuse_unknown(settings, [*declared, *_parameters(joblib.Parallel)], "hydra.launcher.")  # joblib ignores them
    settings["backend"] = settings["backend"] or "loky"
    import_module(f"{PLUGINS}joblib_launcher._core").process_joblib_cfg(settings)
    joblib.Parallel(**{**settings, "verbose": 0})(iter(()))


def _check_submitit(cluster: str, settings: dict[str, Any]) -> None:
    shared = [field.name for field in fields(import_module(f"{PLUGINS}submitit_launcher.config").BaseQueueConf)]
    updated = {name: value for name, value in settings.items() if name not in NOT_UPDATED}
    with TemporaryDirectory() as folder:
        executor = import_module("submitit").AutoExecutor(folder, cluster=cluster)
        try:
            executor.update_parameters(
                **{name if name in shared else f"{cluster}_{name}": value for name, value in updated.items()}
            )
        except NameError as error:
            unknown = re.findall(r"Unknown argument '(\w+)'", str(error))
            _refuse_unknown(unknown, [name for name in settings if name not in unknown], "hydra.launcher.")
            raise


def _check_ray(settings: dict[str, Any]) -> None:
    ray, given = import_module("ray"), settings["ray"]
    public = [name for name in given["init"] if not name.startswith("_")]
    _refuse_unknown(public, _parameters(ray.init), "hydra.launcher.ray.init.")
    if given["remote"]:
        ray.remote(**given["remote"])(_check_ray)


def _refuse_unknown(names: Iterable[str], known: list[str], node: str) -> None:
    for name in names:
        if name not in known:
            key = f"{node}{name}"
            raise UsageError(f"{key}: no such key{suggest_key(key, [f'{node}{other}' for other in known])}")


def _parameters(function: Callable[..., Any]) -> list[str]:
    parameters = signature(function).parameters.values()
    return [parameter.name for parameter in parameters if parameter.kind is not Parameter.VAR_KEYWORD]


CHECKS: dict[str, Callable[[dict[str, Any]], None]] = {
    "joblib_launcher.joblib_launcher.JoblibLauncher": _check_joblib,
    "submitit_launcher.submitit_launcher.LocalLauncher": partial(_check_submitit, "local"),
    "submitit_launcher.submitit_launcher.SlurmLauncher": partial(_check_submitit, "slurm"),
    "ray_launcher.ray_launcher.RayLauncher": _check_ray,
}
"""The check of each launcher by its target, without the first words that all have in common."""
