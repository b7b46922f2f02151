"""Refuses `???` in a config file where the value of an earlier file would silently stay: it asks for another one."""

from collections.abc import Iterable, Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from mnist_resnet.config.combinations import override_key
from mnist_resnet.config.config_files import ConfigFile, config_files
from mnist_resnet.config.signature import flatten
from mnist_resnet.errors import UsageError

MISSING = "???"
"""What a config file says of a value that is still to be given."""


def asked_values(composed: DictConfig) -> dict[str, str]:
    """Return the keys for which a file asks and that have the value of an earlier file, with the name of the file.

    Args:
        composed: composed config, including Hydra's own node.
    """
    files = list(config_files(composed))
    if not any(MISSING in file.text for file in files):
        return {}
    asked: dict[str, str] = {}
    for file in _in_order(files):
        for key, value in _values(file).items():
            asked = {other: name for other, name in asked.items() if not _overlap(key, other)}
            if value == MISSING:
                asked[key] = file.name
    # where no file gives a value, OmegaConf says so
    return {key: name for key, name in asked.items() if OmegaConf.select(composed, key) is not None}


def refuse_unanswered(asked: Mapping[str, str], overrides: Iterable[str]) -> None:
    """Check that what files ask for was typed.

    Args:
        asked: see `asked_values`.
        overrides: as typed; of a sweep's job, with those that are swept.

    Raises:
        UsageError: a value is still missing.
    """
    typed = list(overrides) if asked else []
    for key, file in asked.items():
        if not any(_gives(override, key) for override in typed):
            raise UsageError(f"{file}: {key}=???: asks for a value, and none is given; add {key}=…")


def _gives(override: str, key: str) -> bool:
    """Return whether an override gives a key, a key inside of it, or a whole node in which it is; a choice doesn't."""
    other = override_key(override)
    is_node = override.partition("=")[2].startswith("{")
    return f"{other}.".startswith(f"{key}.") or (is_node and _overlap(key, other))


def _in_order(files: list[ConfigFile]) -> list[ConfigFile]:
    """Return the files in the order in which they are merged; Hydra lists the choices from the last to the first."""
    main = [file for file in files if "/" not in file.name]
    return [*main, *reversed(files[len(main) :])]


def _values(file: ConfigFile) -> dict[str, Any]:
    content = file.content if isinstance(file.content, dict) else {}
    own = {str(key): value for key, value in content.items() if key != "defaults"}
    return flatten(own, f"{file.package}." if file.package else "")


def _overlap(key: str, other: str) -> bool:
    return f"{key}.".startswith(f"{other}.") or f"{other}.".startswith(f"{key}.")
