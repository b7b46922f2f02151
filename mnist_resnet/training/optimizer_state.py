"""Restores an optimiser's state as it was saved."""

from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from mnist_resnet.training.memory_format import laid_out_as

CASTABLE = (Tensor, dict, list, tuple, int, float, complex, type(None))
"""Types that PyTorch's `load_state_dict` can copy; it takes a string or a NumPy array for a list of values."""


def load_optimizer_state(optimizer: Optimizer, state: dict[str, Any]) -> None:
    """Load what `state_dict` returned, with the types and dtypes that it has.

    PyTorch casts the tensors in a parameter's state to the parameter's dtype, which changes masks, counts and float64
    moments; and it keeps the order in memory that they were saved in, which may be another device's.
    """
    if type(optimizer).load_state_dict is not Optimizer.load_state_dict:
        optimizer.load_state_dict(state)
        return
    optimizer.load_state_dict(state | {"state": {key: _castable(value) for key, value in state["state"].items()}})
    numbers = chain.from_iterable(group["params"] for group in state["param_groups"])
    parameters = chain.from_iterable(group["params"] for group in optimizer.param_groups)
    for number, parameter in zip(numbers, parameters, strict=True):
        loaded = optimizer.state.get(parameter, {})
        for key, saved in state["state"].get(number, {}).items():
            if key in loaded and key != "step":  # PyTorch has the step count where the optimiser wants it
                value = _as_saved(saved, loaded[key], parameter.device)
                loaded[key] = laid_out_as(parameter, value) if isinstance(value, Tensor) else value


def _castable(state: Any) -> Any:
    if not isinstance(state, dict):
        return state
    return {
        key: value if isinstance(value, CASTABLE) and not hasattr(value, "_fields") else None
        for key, value in state.items()
    }


def _as_saved(saved: Any, loaded: Any, device: torch.device) -> Any:
    """Return the saved value with its tensors on `device`, or what was loaded if that is the same."""
    if isinstance(saved, Tensor):
        is_same = isinstance(loaded, Tensor) and loaded.dtype == saved.dtype
        return loaded if is_same else saved.to(device)
    if isinstance(saved, dict):
        return type(saved)((key, _as_saved(value, None, device)) for key, value in saved.items())
    if type(saved) in (list, tuple):
        return type(saved)(_as_saved(value, None, device) for value in saved)
    return saved
