"""The form in which a composed config is stored: jobs in other processes read back what was composed."""

import copy
from collections.abc import Iterator
from functools import reduce
from typing import Any

from pydantic import ValidationError

from mnist_resnet.config.schema import JobConfig, check_job, config_class
from mnist_resnet.config.validation_errors import config_path
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import from_json, to_json

STORABLE = "text, numbers, true, false, null, lists, and nodes whose keys are all text or all whole numbers"


def read_back(config: dict[str, Any]) -> dict[str, Any]:
    """Return a resolved config as it is read back from a job folder.

    Raises:
        UsageError: Something in it would be read back as something else; the message names the first such key.
    """
    stored = _stored(config)
    if stored is None:
        path, part = next(_unstorable(config))
        raise UsageError(f"{path}={part}: can't be stored with the job; a config holds {STORABLE}")
    return stored


def checked(config: dict[str, Any]) -> tuple[dict[str, Any], JobConfig]:
    """Return a config as it is, and in typed form; a float without a fraction counts as a whole number.

    W&B's agent passes 32.0 where its sampler draws whole numbers.

    Args:
        config: A resolved config.

    Raises:
        UsageError: A value is invalid.
    """
    try:
        return config, config_class(config).model_validate(config)
    except ValidationError as error:
        config = copy.deepcopy(config)
        for problem in error.errors(include_url=False):
            given = problem["input"]
            if problem["type"] == "int_type" and isinstance(given, float) and given.is_integer():
                *path, last = config_path(problem, config)
                root: Any = config
                node = reduce(lambda node, part: node[part], path, root)
                node[last] = int(given)
    return config, check_job(config)


def with_floats(config: Any, checked: JobConfig) -> Any:
    """Return a config in which a whole number given for a float is one: 0, 0.0 and -0.0 are the same experiment.

    Args:
        config: A resolved config.
        checked: The same, validated, which knows the keys' types.
    """
    return _with_floats(config, checked.model_dump(by_alias=True, exclude_unset=True))


def _with_floats(value: Any, typed: Any) -> Any:
    if isinstance(value, dict):
        return {key: _with_floats(inner, typed[key]) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_floats(inner, inner_typed) for inner, inner_typed in zip(value, typed, strict=True)]
    if type(value) is float and value == 0:
        return 0.0  # without the sign that -0.0 has
    return typed if type(value) is int and type(typed) is float else value


def _stored(node: dict[str, Any]) -> dict[str, Any] | None:
    """Return what is read back of a node; None if that is not the same."""
    try:
        stored: dict[str, Any] = from_json(to_json(node))
    except (TypeError, ValueError):
        return None
    # Unlike ==, the representation tells 1 from 1.0 and from true, and finds NaN equal to itself.
    return stored if repr(stored) == repr(node) else None


def _unstorable(node: dict[Any, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the innermost parts of a node, with their paths, that are read back as something else."""
    for key, value in node.items():
        if _stored({"value": value}) is None:
            yield from _unstorable(value, f"{path}{key}.") if isinstance(value, dict) else [(f"{path}{key}", value)]
    if path and all(_stored({"value": value}) for value in node.values()):
        yield path[:-1], node
