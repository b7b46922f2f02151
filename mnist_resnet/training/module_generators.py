"""Random generators in a user's modules, which no checkpoint holds: they belong to nothing that a run is built of."""

import random
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import Any

import numpy
import torch

from mnist_resnet.config.allowed_targets import targets
from mnist_resnet.training.component_state import is_generator

SAVED = (random.__dict__["_inst"], numpy.random.__dict__["mtrand"]._rand, torch.default_generator)
"""The global generators of Python, NumPy and PyTorch, under whatever name a module has them."""
WITHOUT_EFFECT = ("data", "tracking")
"""What data draw is drawn before the first step, or seeded for each item."""


def unsaved_module_generators(config: Mapping[str, Any]) -> list[str]:
    """Return a line for each generator in the globals of the modules of a resolved config's targets."""
    named = targets({key: node for key, node in config.items() if key not in WITHOUT_EFFECT})
    modules = {module.__name__: module for target in named for module in _modules(target)}
    return [
        f"{module.__name__}.{name} is a {type(value).__name__} of a module, whose state no checkpoint holds: if the "
        f"job is interrupted, it ends with other bits; make it an attribute of the object that draws from it"
        for module in modules.values()
        for name, value in vars(module).items()
        if is_generator(value) and not any(value is saved for saved in SAVED)
    ]


def _modules(target: str) -> Iterator[ModuleType]:
    """Yield the module that a target is named in, and the one that defines it; both are imported by now."""
    name, _, attribute = target.rpartition(".")
    while name and name not in sys.modules:
        name, _, attribute = name.rpartition(".")
    if not name:
        return
    yield (module := sys.modules[name])
    defined_in = getattr(getattr(module, attribute, None), "__module__", None)
    if defined_in in sys.modules:
        yield sys.modules[defined_in]
