"""What the command line chooses, read from it again: Hydra's own loader is gone once its error is explained."""

import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import OmegaConf
from yaml import MarkedYAMLError

from mnist_resnet.config.config_files import CONF, ConfigFile, with_inherited
from mnist_resnet.config.hydra_versions import VERSION_BASE
from mnist_resnet.config.signature import flatten


def parsed_overrides() -> list[Override]:
    """Return the command line's overrides, skipping those that can't be parsed."""
    parser = OverridesParser.create()
    overrides: list[Override] = []
    for argument in sys.argv[1:]:
        try:
            overrides += parser.parse_overrides([argument])
        except HydraException:
            continue
    return overrides


def known_keys(chosen: list[str] | None = None) -> list[str]:
    """Return all keys and groups of the config with these options, if it can be composed; None: those typed."""
    loader = _loader()
    chosen = chosen or [
        f"{'+' * override.is_add()}{override.key_or_group}={override.value()}"
        for override in parsed_overrides()
        if isinstance(override.value(), str) and override.value() in loader.get_group_options(override.key_or_group)
    ]
    for choices in (chosen, []):
        # This handles an error already: a fault in a chosen file must not raise another one.
        with suppress(Exception):
            config = loader.load_configuration("config", choices, RunMode.MULTIRUN)
            container: Any = OmegaConf.to_container(config, resolve=False)
            return [*flatten(container), *loader.list_groups("")]
    return loader.list_groups("")


def all_groups() -> list[str]:
    """Return all config groups, also those inside of others."""
    loader, found = _loader(), [""]
    for group in found:
        found += [f"{group}/{inner}".lstrip("/") for inner in loader.list_groups(group)]
    return found[1:]


def chosen_files() -> Iterator[ConfigFile]:
    """Yield the config files that the command line chooses, if they can be read."""
    for override in parsed_overrides():
        value: Any = override.value()
        for choice in getattr(value, "list", [value]):
            with suppress(MarkedYAMLError, UnicodeDecodeError):
                yield from with_inherited(config_folders(), override.key_or_group, str(getattr(choice, "text", choice)))


def options_of(group: str) -> list[str]:
    """Return the choices of a config group; none if there is no such group."""
    return _loader().get_group_options(group)


def _loader() -> ConfigLoader:
    """Return a config loader with the command line's search path; Hydra's own is gone once its error gets here."""
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), **VERSION_BASE):
        loader: Any = GlobalHydra.instance().config_loader()
    GlobalHydra.instance().hydra = before
    search_path = loader.get_search_path()
    for path in _added_config_dirs():
        search_path.prepend("command-line", path, SearchPathQuery(provider="schema"))
    extended: ConfigLoader = type(loader)(config_search_path=search_path)
    return extended


def config_folders() -> list[Path]:
    """Return `conf/`, and the folders that the command line adds."""
    return [CONF, *(Path(path.removeprefix("file://")) for path in _added_config_dirs())]


def _added_config_dirs() -> Iterator[str]:
    """Yield the config folders added by `--config-dir` or `hydra.searchpath`."""
    for argument, value in zip(sys.argv, [*sys.argv[1:], ""], strict=True):
        name, _, joined = argument.partition("=")
        if name in ("--config-dir", "-cd"):
            yield f"file://{Path(joined or value).absolute()}"
    for override in parsed_overrides():
        paths = override.value()
        if override.key_or_group == "hydra.searchpath" and isinstance(paths, list):
            yield from map(str, paths)
