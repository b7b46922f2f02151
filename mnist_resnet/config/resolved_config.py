"""Resolved configs, and which other configs they stand for but for some plain values."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

PLAIN = {bool, int, float, str, type(None)}
"""Types of the values that can be put into a resolved config as they are."""

REFERENCE = re.compile(r"\$\{([\w.]*)\}|\$\{oc\.env:[\w,]*\}")
"""An interpolation that takes the value of another key, given from the root, or of an environment variable."""


def resolved_container(config: DictConfig) -> dict[str, Any]:
    """Return a config as plain mappings and lists, with the values of its interpolations.

    Raises:
        OmegaConfBaseException: An interpolation can't be resolved, or a value is missing.
    """
    container = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def may_refer_to(config: Any, keys: Iterable[str]) -> bool:
    """Return whether an interpolation in a config may take the value of one of these keys, or of a node around it.

    Args:
        config: Unresolved config, as plain mappings and lists.
        keys: Dotted keys.
    """
    keys = list(keys)
    for text in _texts(config):
        rest = REFERENCE.sub("", text)
        if "${" in rest:
            return True  # relative, nested, or of a resolver that may read anything
        for match in REFERENCE.finditer(text):
            if match[1] and any(
                f"{match[1]}.".startswith(f"{key}.") or f"{key}.".startswith(f"{match[1]}.") for key in keys
            ):
                return True
    return False


def with_plain_values(resolved: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return a resolved config with other plain values; None if one of them is no plain value there.

    Args:
        resolved: Resolved config, which shares with the returned one what is the same in both.
        values: By dotted key.
    """
    changed = dict(resolved)
    for key, value in values.items():
        *parents, last = key.split(".")
        node = changed
        for name in parents:
            if not isinstance(node.get(name), dict):
                return None
            node[name] = node = dict(node[name])
        if last not in node or not {type(node[last]), type(value)} <= PLAIN or value == "???":
            return None
        node[last] = value
    return changed


def _texts(config: Any) -> Iterator[str]:
    if isinstance(config, str):
        yield config
    for value in config.values() if isinstance(config, dict) else config if isinstance(config, list) else ():
        yield from _texts(value)
