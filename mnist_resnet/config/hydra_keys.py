"""Refuses keys of Hydra's own node that nothing reads: Hydra takes new ones after a `+`, and fills some in itself."""

from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from mnist_resnet.config.combinations import override_key
from mnist_resnet.config.config_files import own_file_that_sets
from mnist_resnet.config.signature import flatten
from mnist_resnet.config.typed_overrides import typed_overrides
from mnist_resnet.config.unread_keys import is_read, unread_keys
from mnist_resnet.config.validation_errors import as_typed, near_key
from mnist_resnet.errors import UsageError

FILLED_BY_HYDRA = (
    *("hydra.defaults", "hydra.job.config_name", "hydra.job.override_dirname"),
    *("hydra.overrides", "hydra.runtime"),
)
"""Nodes that Hydra itself writes, or has read, before the values on the command line count."""

FOR_HELP = {"hydra.help": "--help", "hydra.hydra_help": "--hydra-help"}
"""Nodes that only an option of Hydra's shows."""

SEPARATORS = "hydra.job.config.override_dirname"
"""Node that acts through `hydra.job.override_dirname` alone, or the resolver of Hydra 1.4 with that name."""

CHECKED_ELSEWHERE = ("hydra.launcher", "hydra.sweeper")
"""Nodes from which objects are built, that refuse what they don't know."""

READ_BY_REFERENCE = ("hydra.job.name", "hydra.job.id", "hydra.job.num", SEPARATORS)
"""Keys that only other keys read: `hydra.job.name` names the log file of `hydra/job_logging=default`, for one."""


def refuse_unread_hydra_keys(composed: DictConfig) -> None:
    """Check what was typed, and what the user's files set, in Hydra's node.

    Args:
        composed: composed config, including Hydra's own node.

    Raises:
        UsageError: a key does not exist, Hydra replaces its value, or nothing reads it.
    """
    content: Any = OmegaConf.to_container(composed, resolve=False)
    # These repeat what was typed, are shown only, or stand for names of ours: they read nothing.
    for key in ("overrides", "help", "hydra_help"):
        del content["hydra"][key]
    del content["hydra"]["job"]["override_dirname"], content["hydra"]["sweep"]["subdir"]
    undeclared = list(_undeclared(composed.hydra, "hydra"))
    for key in unread_keys(undeclared, content):
        near = near_key(key, _declared(composed.hydra, "hydra"))
        raise UsageError(f"{key}: nothing reads it; {f'did you mean {near}?' if near else _refer(key)}")
    for key, value, file in _given(composed):
        reason = _reason(key, content)
        if reason:
            raise UsageError(f"{f'{file}: ' if file else ''}{key}={as_typed(value)}: {reason}")


def _reason(key: str, content: dict[str, Any]) -> str | None:
    """Return why nothing acts on a key, None if something does."""
    if _is_in(key, FILLED_BY_HYDRA):
        return "Hydra sets it itself; leave it out"
    for node, option in FOR_HELP.items():
        if _is_in(key, (node,)):
            return f"only {option} shows it; add that, or leave it out"
    if not _is_in(key, READ_BY_REFERENCE) or is_read(key, content, [key]):
        return None
    if not _is_in(key, (SEPARATORS,)):
        return f"nothing reads it; {_refer(key)}"
    used = is_read("hydra.job.override_dirname", content, [key]) or "hydra_override_dirname" in str(content)
    return None if used else "no folder is named by hydra.job.override_dirname; leave it out"


def _refer(key: str) -> str:
    return f"leave it out, or refer to it in another key, as in ${{{key}}}"


def typed_values(composed: DictConfig) -> Iterator[tuple[str, Any]]:
    """Yield the keys of Hydra's node that were typed, with their values."""
    parser = OverridesParser.create()
    for override in typed_overrides(composed, "hydra"):
        key = override_key(override)
        if key.startswith("hydra.") and not override.startswith("~"):
            value: Any = parser.parse_override(override).value()
            yield from flatten({key: value}).items()


def _given(composed: DictConfig) -> Iterator[tuple[str, Any, str | None]]:
    """Yield keys of Hydra's node with value and file: those typed, then those that the user's own files set."""
    yield from ((key, value, None) for key, value in typed_values(composed))
    for key in READ_BY_REFERENCE:
        file = own_file_that_sets(composed, key)
        if file:
            yield key, OmegaConf.select(composed, key), file


def _undeclared(node: DictConfig, path: str) -> Iterator[str]:
    """Yield the keys that Hydra's dataclasses don't declare; nodes of a free form have none."""
    declared = OmegaConf.get_type(node)
    if declared is None or not is_dataclass(declared):
        return
    names = [field.name for field in fields(declared)]
    for name, value in node.items_ex(resolve=False):
        key = f"{path}.{name!s}"
        if name not in names and value != {}:  # hydra.env is empty unless a file of that group is chosen
            yield key
        elif isinstance(value, DictConfig) and key not in CHECKED_ELSEWHERE:
            yield from _undeclared(value, key)


def _declared(node: DictConfig, path: str) -> Iterator[str]:
    undeclared = list(_undeclared(node, path))
    content: Any = OmegaConf.to_container(node, resolve=False)
    yield from (key for key in flatten(content, f"{path}.") if not _is_in(key, undeclared))


def _is_in(key: str, nodes: Any) -> bool:
    return any(f"{key}.".startswith(f"{node}.") for node in nodes)
