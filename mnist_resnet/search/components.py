"""Builds a search's sampler and pruner from their config nodes."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from hydra.errors import HydraException
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler
from optuna.trial import FrozenTrial

from mnist_resnet.config.build import build
from mnist_resnet.errors import UsageError, wording
from mnist_resnet.search.space import Parameter
from mnist_resnet.search.study import JOB

GRID = "optuna.samplers.GridSampler"
GRID_ID = "grid_id"
"""System attribute by which Optuna's grid sampler marks its trials."""
FIXED_SEED_SAMPLERS = frozenset([GRID, "optuna.samplers.QMCSampler", "optuna.samplers.CmaEsSampler"])
"""Samplers that need one seed for all trials: they index one sequence by the trial's number, or add it to the seed."""


def build_sampler(node: Mapping[str, Any], space: Sequence[Parameter], number: int) -> BaseSampler:
    """Build the sampler for the trial with this number.

    Each trial gets a new sampler with its own seed. So the proposal depends on the study's history and not on the
    worker that asks, and two workers that ask at the same time don't draw the same values.

    Args:
        node: Config node with the sampler's `_target_`.
        space: Searched parameters.
        number: Number of the trial, from 0.

    Raises:
        UsageError: The sampler can't be built.
    """
    content = dict(node)
    if content["_target_"] == GRID:
        content["search_space"] = {parameter.name: parameter.grid_values() for parameter in space}
    elif isinstance(content.get("seed"), int) and content["_target_"] not in FIXED_SEED_SAMPLERS:
        content["seed"] = _trial_seed(content["seed"], number)
    sampler: BaseSampler = _build("sampler", content, BaseSampler)
    return sampler


def grid_size(node: Mapping[str, Any], space: Sequence[Parameter]) -> int | None:
    """Return how many trials a grid sampler has; None for any other sampler."""
    if node["_target_"] != GRID:
        return None
    size = 1
    for parameter in space:
        size *= len(parameter.grid_values())
    return size


def trials_for_grid(node: Mapping[str, Any], space: Sequence[Parameter], trials: Sequence[FrozenTrial]) -> int | None:
    """Return how many trials the study has once each point of the grid is one of them; None for any other sampler.

    Args:
        node: Config node with the sampler's `_target_`.
        space: Searched parameters.
        trials: The study's trials so far. Those that another sampler proposed are no points of the grid.
    """
    size = grid_size(node, space)
    others = [trial for trial in trials if GRID_ID not in trial.system_attrs and _has_values(trial)]
    return None if size is None else size + len(others)


def _has_values(trial: FrozenTrial) -> bool:
    """Return False for a trial left by a process that died while it proposed the values; they are proposed again."""
    return trial.state.is_finished() or JOB in trial.user_attrs


def build_pruner(node: Mapping[str, Any], epochs: int | None) -> BasePruner:
    """Build the pruner.

    Args:
        node: Config node with the pruner's `_target_`. `max_resource: auto` stands for `epochs`.
        epochs: Epochs of the longest trial; None: the task alone knows, and Optuna goes by the longest so far.

    Raises:
        UsageError: The pruner can't be built.
    """
    content = dict(node)
    if content.get("max_resource") == "auto" and epochs is not None:
        content["max_resource"] = epochs
    pruner: BasePruner = _build("pruner", content, BasePruner)
    return pruner


def _build(name: str, node: dict[str, Any], kind: type[Any]) -> Any:
    shown = f"hydra.sweeper.{name}._target_={node['_target_']}"
    try:
        built = build(node)
    except (HydraException, ImportError) as error:
        cause = error.__cause__ or error
        raise UsageError(f"{shown}: {wording(cause)}") from None
    if not isinstance(built, kind):
        raise UsageError(f"{shown}: is not an Optuna {kind.__name__}")
    return built


def _trial_seed(seed: int, number: int) -> int:
    """Derive the seed of one trial from the search's seed."""
    return int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4])
