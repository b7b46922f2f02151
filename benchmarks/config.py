"""Composes the project's configs from `conf/`, as `train.py` does."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mnist_resnet.config.schema import Config

ROOT = Path(__file__).parents[1]
"""The repository."""


def merge_overrides(*overrides: str) -> list[str]:
    """Keep the last override of each key, so that the user's overrides replace those of a benchmark."""
    return list({override.partition("=")[0]: override for override in overrides}.values())


def resolved_config(overrides: "Sequence[str]") -> dict[str, Any]:
    """Return the composed and resolved config as plain containers, as a job stores it."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from mnist_resnet.config.hydra_versions import VERSION_BASE

    with initialize_config_dir(str(ROOT / "conf"), **VERSION_BASE):
        resolved = OmegaConf.to_container(compose("config", list(overrides)), resolve=True)
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def checked_config(overrides: "Sequence[str]") -> "Config":
    """Return the composed, resolved and validated config.

    Raises:
        UsageError: A value is invalid.
    """
    from mnist_resnet.config.schema import check

    return check(resolved_config(overrides))
