"""Checks that a command continues the search that its folder holds."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from optuna.distributions import FloatDistribution

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.objective import objective_of
from mnist_resnet.config.signature import NUMERICS, distinguishes_jobs, flatten
from mnist_resnet.errors import UsageError
from mnist_resnet.search.space import Parameter
from mnist_resnet.search.spec import SearchSpec

LOG = logging.getLogger("mnist_resnet")


def check_same_search(folder: Path, stored: SearchSpec, new: SearchSpec) -> None:
    """Check that two specs describe the same search. Sampler, pruner and number of trials may differ.

    Args:
        folder: The sweep folder.
        stored: The spec in the folder.
        new: The spec composed from the command line.

    Raises:
        UsageError: The space, the objective or a fixed value differs.
    """
    hint = "take another sweep.name, or the same setting as before"
    stored_space, new_space = (
        {parameter.name: parameter.as_dict() | {"typed": ""} for parameter in spec.space} for spec in (stored, new)
    )
    for name in dict.fromkeys([*stored_space, *new_space]):
        if stored_space.get(name) != new_space.get(name):
            raise UsageError(
                f"{name}: the study in {folder} searches {_typed(stored, name)}, not {_typed(new, name)}; {hint}"
            )
    old_objective, new_objective = (objective_of(spec.corner_jobs()[0].config) for spec in (stored, new))
    if old_objective != new_objective:
        raise UsageError(
            f"sweep.objective: the study in {folder} is about the {old_objective}, not the {new_objective}; {hint}"
        )
    stored_jobs, new_jobs = stored.corner_jobs(), new.corner_jobs()
    if [job.signature for job in stored_jobs] != [job.signature for job in new_jobs]:
        key, old_value, new_value = _first_difference(stored_jobs, new_jobs)
        raise UsageError(f"{key}={new_value}: the study in {folder} has {old_value}; {hint}")


def with_stored_ranges(stored: SearchSpec, new: SearchSpec) -> SearchSpec:
    """Return the new spec with the stored one's ranges where the same range was typed.

    Hydra 1.3 listed some float ranges with one number more (see `mnist_resnet.config.sweep_grammar`).
    """
    as_stored = {(parameter.name, parameter.typed): parameter for parameter in stored.space if _is_range(parameter)}
    space = []
    for parameter in new.space:
        earlier = as_stored.get((parameter.name, parameter.typed), parameter)
        if earlier.distribution != parameter.distribution:
            shown = ", ".join(map(str, earlier.grid_values()))
            LOG.warning("%s=%s: goes on with %s, as frozen", parameter.name, parameter.typed, shown)
        space.append(earlier if _is_range(parameter) else parameter)
    return replace(new, space=space)


def _is_range(parameter: Parameter) -> bool:
    return isinstance(parameter.distribution, FloatDistribution) and parameter.distribution.step is not None


def _typed(spec: SearchSpec, name: str) -> str:
    return next((parameter.typed for parameter in spec.space if parameter.name == name), "nothing")


def _first_difference(stored: Sequence[JobSpec], new: Sequence[JobSpec]) -> tuple[str, Any, Any]:
    """Return the first key of the signature with different values in jobs at the same corner, and both values."""
    for stored_job, new_job in zip(stored, new, strict=True):
        old, current = flatten(stored_job.config), flatten(new_job.config)
        for key in dict.fromkeys([*old, *current]):
            is_signed = distinguishes_jobs(key) and key not in NUMERICS
            if is_signed and old.get(key) != current.get(key) and stored_job.signature != new_job.signature:
                return key, old.get(key), current.get(key)
    raise AssertionError("their signatures differ")
