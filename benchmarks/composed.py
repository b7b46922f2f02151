"""A config of this project's, composed from `conf/` as `train.py` would."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mnist_resnet.config.schema import Config

ROOT = Path(__file__).parents[1]


def merged(*overrides: str) -> list[str]:
    """Each key once, as it was said last: what a user types comes after what a benchmark sets."""
    return list({override.partition("=")[0]: override for override in overrides}.values())


def container(overrides: "Sequence[str]") -> dict[str, Any]:
    """The resolved config, as a job keeps it."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        resolved = OmegaConf.to_container(compose("config", list(overrides)), resolve=True)
    assert isinstance(resolved, dict)
    return {str(key): value for key, value in resolved.items()}


def composed(overrides: "Sequence[str]") -> "Config":
    """The same, checked."""
    from mnist_resnet.config.schema import check

    return check(container(overrides))
