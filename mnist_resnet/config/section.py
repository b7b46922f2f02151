"""Nodes of the config schema: sections with fixed keys, and components, which build an object."""

import re
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

Fraction = Annotated[float, Field(ge=0, lt=1)]


def check_device(key: str, device: str) -> str:
    """Check the device's form; whether the machine has it is checked later, by PyTorch."""
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise ValueError(f"{key}={device}: must be auto, cpu, mps, cuda or cuda:N")
    return device


class Section(BaseModel):
    """A node with a fixed set of keys. Types are strict: `"3"` is not a number."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


class Component(Section):
    """A node that builds an object; keys not declared here are arguments of its `_target_`."""

    model_config = ConfigDict(extra="allow", strict=True, frozen=True, allow_inf_nan=False)
    target: str = Field(alias="_target_", min_length=1)
    settings: ClassVar[frozenset[str]] = frozenset()
    """Keys that the program reads itself: no arguments."""

    def node(self) -> dict[str, Any]:
        """Return the `_target_` and its arguments, as they were given."""
        given = self.model_dump(by_alias=True, exclude_unset=True)
        return {key: value for key, value in given.items() if key not in self.settings}
