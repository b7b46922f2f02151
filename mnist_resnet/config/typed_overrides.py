"""The overrides of a composed config, as they were typed."""

from typing import Any, Literal

from omegaconf import DictConfig, OmegaConf


def typed_overrides(composed: DictConfig, kind: Literal["hydra", "task"]) -> list[str]:
    """Return the overrides as typed; OmegaConf would resolve their interpolations where they don't mean anything."""
    typed: Any = OmegaConf.to_container(composed.hydra.overrides[kind])
    return [str(override) for override in typed]
