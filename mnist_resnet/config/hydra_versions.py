"""What differs between Hydra 1.3 with OmegaConf 2.3 and Hydra 1.4 with OmegaConf 2.4.

Hydra 1.4 warns of each call that 1.3 needs, and 1.3 doesn't know the calls that 1.4 asks for. Once 1.3 is no longer
supported, this file is inlined.
"""

import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pkgutil import resolve_name
from typing import Any

import hydra.utils
from hydra import __version__
from hydra.errors import HydraException, InstantiationException
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from mnist_resnet.config.allowed_targets import TRUSTED_TARGETS, targets

SINCE_1_4 = not __version__.startswith("1.3.")

_OMEGACONF: Any = OmegaConf
_UTILS: Any = hydra.utils
"""Both untyped: they have other attributes in each version."""

VERSION_BASE: dict[str, Any] = {} if SINCE_1_4 else {"version_base": "1.3"}
"""Argument of `hydra.main` and `initialize_config_dir`: 1.3 wants it, 1.4 deprecates it."""


def main(config_path: str, config_name: str) -> Callable[[TaskFunction], Callable[[], None]]:
    """Decorate the entry point with `hydra.main`.

    With Hydra 1.4 its execution whitelist is empty at first; the targets that the user composes are added to it when
    they are known (`allow_in_hydra`).
    """
    options = {"execution_whitelist": ()} if SINCE_1_4 else VERSION_BASE
    return hydra.main(config_path=config_path, config_name=config_name, **options)


def allow_in_hydra(composed: Iterable[str]) -> None:
    """Add to Hydra 1.4's execution whitelist, for the rest of this process, targets that the user composed."""
    names = [*dict.fromkeys(both_names(composed))]
    if names:
        _UTILS.execution_whitelist(names).__enter__()


def register_resolver(name: str, resolver: Callable[..., Any]) -> None:
    """Register an OmegaConf resolver, in place of an earlier one of that name."""
    register = _OMEGACONF.register_resolver if SINCE_1_4 else _OMEGACONF.register_new_resolver
    register(name, resolver, replace=True)


def end_multirun(context: HydraContext, config: DictConfig) -> None:
    """Call the callbacks' `on_multirun_end` before a sweeper raises; Hydra 1.4 does so itself."""
    if not SINCE_1_4:
        context.callbacks.on_multirun_end(config=config, config_name=None)


def instantiate(node: Mapping[str, Any], convert: str) -> Any:
    """Call Hydra's `instantiate`; with Hydra 1.4, it may call the targets that the node names, and no others.

    Args:
        node: Resolved config node, whose targets have been checked.
        convert: What nested arguments become; see Hydra's `_convert_`.

    Raises:
        InstantiationException: The target can't be found, or raised.
    """
    options: dict[str, Any] = {"_convert_": convert}
    if SINCE_1_4:
        options["_execution_whitelist_"] = _UTILS.execution_whitelist(_whitelist(node), reset=True)
    try:
        return hydra.utils.instantiate(dict(node), **options)
    except (HydraException, OmegaConfBaseException):
        raise
    except Exception as error:  # Hydra 1.4 lets what a target raises pass as it is
        raise InstantiationException(f"Error in call to target '{node['_target_']}':\n{error!r}") from error


def _whitelist(node: Mapping[str, Any]) -> Any:
    """Return Hydra 1.4's whitelist for a node.

    Hydra checks the class of a callable that a target returns as well. What a user's own function returns, such as a
    network, can't be listed before it is called; then our check of the target is the only one.
    """
    names = [*targets(node)]
    return _UTILS.UNSAFE_DISABLE_EXECUTION_CHECKS if any(map(_may_return_anything, names)) else [*both_names(names)]


def _may_return_anything(name: str) -> bool:
    if name in TRUSTED_TARGETS or name.partition(".")[0] in sys.stdlib_module_names:
        return False
    with suppress(Exception):  # instantiate says what is wrong
        return not isinstance(resolve_name(name), type)
    return False


def both_names(names: Iterable[str]) -> Iterable[str]:
    """Yield each target's name, and that of its definition, which Hydra 1.4 checks if its instances are callable.

    `torch.nn.CrossEntropyLoss`, for one, is defined as `torch.nn.modules.loss.CrossEntropyLoss`.
    """
    for name in names:
        yield name
        with suppress(Exception):  # instantiate says what is wrong
            target: Any = resolve_name(name)
            yield f"{target.__module__}.{target.__qualname__}"
