"""Composes a search's spec from the command line."""

import re
import sys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.errors import HydraException
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mnist_resnet.config.allowed_targets import allow
from mnist_resnet.config.compose import Composer, as_hydras_config, naming_the_file, recorded_choices
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.objective import objective_of
from mnist_resnet.config.schema import Config, check_job
from mnist_resnet.config.signature import flatten
from mnist_resnet.config.typed_overrides import typed_overrides
from mnist_resnet.config.unread_keys import refuse_unread_keys
from mnist_resnet.errors import UsageError
from mnist_resnet.jobs.config_folders import config_folders
from mnist_resnet.search.components import build_pruner, build_sampler
from mnist_resnet.search.space import Parameter, corners, parse_space
from mnist_resnet.search.spec import META_GROUPS, SearchSpec, SharedConfig

HELD_OUT = ("val_accuracy", "val_loss")
"""The image classifier's metrics on held-out images."""

NO_PRUNER = {"_target_": "optuna.pruners.NopPruner"}
"""Config node of the pruner that stops no trial."""

MACHINE_INTERPOLATION = re.compile(r"\$\{(hydra|now|oc\.env):")
"""Interpolations whose values come from outside the config."""


def compose_spec(
    arguments: Sequence[str], params: Mapping[str, Any], config: DictConfig, context: HydraContext
) -> SearchSpec:
    """Compose and check a search's spec.

    Args:
        arguments: Task overrides as typed.
        params: The sweeper's `params`.
        config: Config composed without the searched keys.
        context: Hydra's context.

    Raises:
        UsageError: A value in the space is not valid, or trials can't be judged by the objective.
    """
    composer = Composer(config, context.config_loader)
    space, fixed = parse_space(arguments, params, context.config_loader)
    shared_configs = _compose_shared_configs(space, fixed, composer, config, context.config_loader)
    sampler = _component_node(config.hydra.sweeper.sampler, "sampler")
    spec = SearchSpec(
        space,
        fixed,
        shared_configs,
        sampler,
        dict(NO_PRUNER),
        trials=1,
        command=sys.argv,
        config_folders=config_folders(config),
    )
    corner_jobs = _corner_jobs(spec, composer)
    pruner = _pruner(config, corner_jobs)
    allow([sampler, pruner, *(job.config for job in corner_jobs)])
    _check_settings(corner_jobs)
    build_sampler(sampler, space, 0)
    build_pruner(pruner, check_job(corner_jobs[0].config).epochs)
    return replace(spec, pruner=pruner, trials=check_job(corner_jobs[0].config).sweep.trials)


def _corner_jobs(spec: SearchSpec, composer: Composer) -> list[JobSpec]:
    """Compose jobs at the corners of the space; errors name the file of the user's that sets a bad value."""
    jobs, names = [], [parameter.name for parameter in spec.space]
    for values in corners(spec.space):
        overrides = [*spec.fixed, *(parameter.override(values[parameter.name]) for parameter in spec.space)]
        with naming_the_file(composer.compose_shared(overrides, names), overrides):
            jobs.append(spec.make_job(values))
    return jobs


def _component_node(node: Any, name: str) -> dict[str, Any]:
    """Return the config node of the sampler or pruner as a plain dict."""
    content = OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else None
    if not isinstance(content, dict) or "_target_" not in content:
        raise UsageError(f"hydra.sweeper.{name}={node}: must be a node with a _target_; choose hydra/sweeper/{name}=…")
    return {str(key): value for key, value in content.items()}


def _check_settings(corner_jobs: Sequence[JobSpec]) -> None:
    checked = check_job(corner_jobs[0].config)
    sweep = checked.sweep
    if sweep.exclude:
        raise UsageError(f"sweep.exclude={sweep.exclude}: a search excludes nothing; leave the values out of its space")
    if sweep.rerun:
        raise UsageError(f"sweep.rerun={sweep.rerun}: a search reruns no trials; failed ones are continued anyway")
    objective = objective_of(corner_jobs[0].config)
    classifiers = [config for job in corner_jobs if isinstance(config := check_job(job.config), Config)]
    judged_by = [("objective", name) for name in objective.names]
    judged_by += [("constraints", limit.metric.name) for limit in objective.constraints]
    for key, name in judged_by:
        if name.startswith("test_") and not sweep.objective_on_test:
            raise UsageError(_on_test(key, name, isinstance(checked, Config)))
        if name in HELD_OUT and any(config.data.val_size == 0 for config in classifiers):
            raise UsageError(
                f"sweep.{key}={name}: there are no validation images to judge a trial by "
                f"(data.val_size=0); add data.val_size=5000, or as many as can be spared"
            )


def _pruner(config: DictConfig, corner_jobs: Sequence[JobSpec]) -> dict[str, Any]:
    """Return the pruner's config node: none where there are several objectives, for which Optuna has none."""
    node = _component_node(config.hydra.sweeper.pruner, "pruner")
    count = len(objective_of(corner_jobs[0].config).metrics)
    if count == 1 or node["_target_"] == NO_PRUNER["_target_"]:
        return node
    for override in typed_overrides(config, "hydra"):
        if override.lstrip("+").startswith(("hydra/sweeper/pruner", "hydra.sweeper.pruner")):
            raise UsageError(
                f"{override}: Optuna prunes trials with one objective only, and sweep.objective has {count}; "
                f"take hydra/sweeper/pruner=none"
            )
    return dict(NO_PRUNER)


def _on_test(key: str, objective: str, is_classifier: bool) -> str:
    data, instead = ("images", " with data.val_size=5000") if is_classifier else ("data", "")
    return (
        f"sweep.{key}={objective}: a search fits the {data} that it is judged by, so their metric would be too "
        f"optimistic and no test any more; use val_{objective[5:]}{instead}, or insist with "
        "sweep.objective_on_test=true"
    )


def _compose_shared_configs(
    space: Sequence[Parameter], fixed: Sequence[str], composer: Composer, config: DictConfig, loader: ConfigLoader
) -> list[SharedConfig]:
    """Compose the shared config for each combination of choices in the searched config groups.

    Raises:
        UsageError: A searched key does not exist under one of them, or nothing reads it.
    """
    names = [parameter.name for parameter in space]
    default_groups = _default_groups(config, loader)
    shared_configs: dict[tuple[str, ...], SharedConfig] = {}
    for values in corners(space):
        groups = [parameter.override(values[parameter.name]) for parameter in space if parameter.is_group]
        if tuple(groups) in shared_configs:
            continue
        overrides = [parameter.override(values[parameter.name]) for parameter in space]
        composed = composer.compose([*fixed, *overrides], names)
        refuse_unread_keys(composed)
        choices = recorded_choices(composed)
        shared_configs[tuple(groups)] = SharedConfig(
            groups, _unresolved(composed), choices, *_compose_plain(choices, default_groups, config, loader)
        )
    return list(shared_configs.values())


def _unresolved(composed: DictConfig) -> dict[str, Any]:
    """Return the config without Hydra's node; only interpolations of Hydra or this machine are resolved."""
    with as_hydras_config(composed):
        task = OmegaConf.masked_copy(composed, [str(key) for key in composed if key != "hydra"])
        for key, raw in flatten(_container(task)).items():
            if isinstance(raw, str) and MACHINE_INTERPOLATION.search(raw):
                OmegaConf.update(task, key, OmegaConf.select(task, key))
    return _container(task)


def _compose_plain(
    choices: Mapping[str, str | None], default_groups: Collection[str], config: DictConfig, loader: ConfigLoader
) -> tuple[dict[str, Any], list[str]]:
    """Compose the group choices alone; return the config and the groups that are not chosen by default."""
    try:
        chosen = {group: choice for group, choice in choices.items() if choice and group not in META_GROUPS}
        added = [group for group in chosen if group not in default_groups]
        overrides = [f"{'+' * (group in added)}{group}={choice}" for group, choice in chosen.items()]
        return _unresolved(loader.load_sweep_config(config, overrides)), added
    except (HydraException, OmegaConfBaseException):
        return {}, []


def _default_groups(config: DictConfig, loader: ConfigLoader) -> list[str]:
    """Return the config groups in which something is chosen by default."""
    try:
        return [str(group) for group in loader.load_sweep_config(config, []).hydra.runtime.choices]
    except (HydraException, OmegaConfBaseException):
        return []


def _container(config: DictConfig) -> dict[str, Any]:
    container = OmegaConf.to_container(config)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}
