"""Checks the values of arguments of this program's own functions against their annotations."""

import types
from collections.abc import Mapping, Sequence
from inspect import Signature
from typing import Any, Literal, Union, get_args, get_origin

from pydantic import ConfigDict, TypeAdapter, ValidationError

from mnist_resnet.config.validation_errors import first_problem
from mnist_resnet.errors import UsageError

OWN = "mnist_resnet."
"""What the targets begin with whose annotations are known to be right; a user's need not be."""

PLAIN = (bool, int, float, str, type(None))
COMPOSED = (Union, types.UnionType, list, Sequence)
STRICT = ConfigDict(strict=True, allow_inf_nan=False)


def check_types(key: str, target: str, arguments: Mapping[str, Any], signature: Signature) -> None:
    """Check that each argument is of the type that its parameter is annotated with, as the config schema does.

    Args:
        key: the node's key in the config.
        target: its `_target_`.
        arguments: the node's other keys with their values.
        signature: the target's.

    Raises:
        UsageError: one is not.
    """
    for name, value in arguments.items() if target.startswith(OWN) else ():
        parameter = signature.parameters.get(name)
        is_built = isinstance(value, dict) and "_target_" in value
        if parameter is None or is_built or not _is_plain(parameter.annotation):
            continue
        annotated: Any = types.GenericAlias(dict, (str, parameter.annotation))
        try:
            TypeAdapter(annotated, config=STRICT).validate_python({name: value})
        except ValidationError as error:
            raise UsageError(f"{key}.{first_problem(error, {name: value})}") from None


def _is_plain(annotation: Any) -> bool:
    """Return whether an annotation says all about a value from a config, which holds no objects."""
    origin, inner = get_origin(annotation), get_args(annotation)
    return annotation in PLAIN or origin is Literal or (origin in COMPOSED and all(map(_is_plain, inner)))
