"""The state of a run's components that its checkpoint needs beside the network's, the optimiser's and the schedule's.

A config may name any callable as a loss or an augmentation. It may have a `state_dict`, random generators of its own,
or plain attributes that change while it is used, and so may the network and whatever else is built. All of it is found
here.
"""

import logging
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from types import FunctionType, MemberDescriptorType, MethodType, ModuleType
from typing import Any, NamedTuple

import numpy
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mnist_resnet.jobs.checkpoint import State
from mnist_resnet.jobs.packed_state import NotRestorable, pack, unpack

INTERNAL = {*vars(nn.Module()), "training"}
"""Attributes of every module; those that are state are in its `state_dict`."""
OPTIMIZER_INTERNAL = {"state", "param_groups", "defaults"}
GENERATORS = (torch.Generator, random.Random, numpy.random.RandomState, numpy.random.Generator)
UNCOVERED_BELOW = (nn.Module, FunctionType, MethodType, partial)
"""Objects for whose contents no `state_dict` above them speaks.

A module's has its submodules, but nothing of what its other attributes hold; LambdaLR's has nothing of functions.
"""
_ABSENT = object()
LEAVES = (str, bytes, int, float, complex, type, type(None), ModuleType, Tensor, numpy.ndarray, logging.Logger)


class Part(NamedTuple):
    """An object that a component consists of.

    Attributes:
        path: leads to it, from the config group.
        value: the object.
        is_covered: whether the `state_dict` of an object that holds it is in the checkpoint.
    """

    path: str
    value: Any
    is_covered: bool


class ComponentState:
    """Saves and restores the state of components, as far as it has changed since they were built.

    Args:
        components: by config group.
        covered: those groups of them whose `state_dict` is saved elsewhere.
        device: the run's.
    """

    def __init__(self, components: Mapping[str, Any], covered: set[str], device: str) -> None:
        self._components, self._covered, self._device = components, covered, device
        self._built = {part.path: unpack(pack(_plain(part), copied=_clone)) for part in self._parts()}

    def state(self) -> State:
        """Return the state.

        Raises:
            NotRestorable: It is in an object that is not there when the components are built.
        """
        states, generators = {}, {}
        for part in self._parts():
            if is_generator(part.value):
                generators[part.path] = _generator_state(part.value)
            elif has_state(part.value) and not part.is_covered:
                states[part.path] = part.value.state_dict()
            else:
                continue
            if part.path not in self._built:
                raise NotRestorable(f"{part.path} is a {type(part.value).__name__} that is made after the start")
        return {"states": states, "attributes": self._changed_attributes(), "generators": generators}

    def restore(self, state: State) -> None:
        """Restore what `state` returned in components that were built from the same config.

        Raises:
            NotRestorable: They were not.
        """
        values = {part.path: part.value for part in self._parts()}
        missing = [path for kind in state.values() for path in kind if path not in values]
        if missing:
            raise NotRestorable(f"{missing[0]} has a state in the checkpoint, and is no longer there")
        for path, content in state.get("states", {}).items():
            values[path].load_state_dict(content)
        for path, attributes in state.get("attributes", {}).items():
            for name, (value, is_on_device) in attributes.items():
                _set_attribute(values[path], name, _on(self._device if is_on_device else "cpu", value))
        for path, content in state.get("generators", {}).items():
            _set_generator_state(values[path], content)

    def snapshot(self) -> Callable[[], None]:
        """Return a function that restores the present state, in the same tensors."""
        state = unpack(pack(self.state() | {"attributes": {}}))
        plain = {part.path: unpack(pack(_plain(part), copied=_clone)) for part in self._parts()}

        def restore() -> None:
            self.restore(state)
            for part in self._parts():
                now = _plain(part)
                for name, value in plain.get(part.path, {}).items():
                    if not equal(value, now.get(name, _ABSENT)):
                        _set_attribute(part.value, name, value)

        return restore

    def host_state(self) -> dict[str, Any]:
        """Return what is not on the device, by key: neither a CUDA graph nor compiled code can change it."""
        on_host = [part for part in self._parts() if not _is_on_device(part.value)]
        generators = {part.path: _generator_state(part.value) for part in on_host if is_generator(part.value)}
        attributes = {
            f"{path}.{name}": value
            for path, changed in self._changed_attributes().items()
            for name, (value, _) in changed.items()
            if not isinstance(value, Tensor)
        }
        return unpack(pack(generators | attributes))  # type: ignore[no-any-return]

    def changed_by_python(self, host_state: dict[str, Any]) -> str | None:
        """Return the key of something that has changed since `host_state` was returned."""
        now = self.host_state()
        return next((key for key in now if not equal(now[key], host_state.get(key, _ABSENT))), None)

    def not_saved(self) -> list[str]:
        """Return a line for each part whose state can't be saved."""
        return [
            f"{part.path} is a {type(part.value).__name__}, whose state no checkpoint can hold: if the job is "
            f"interrupted, it ends with other bits"
            for part in self._parts()
            if isinstance(part.value, Iterator) and not _has_attributes(part.value)
        ]

    def _changed_attributes(self) -> dict[str, dict[str, Any]]:
        """Return the plain attributes that have changed, and whether they are on the device, by path and name."""
        changed: dict[str, dict[str, Any]] = {}
        for part in self._parts():
            built, now = self._built.get(part.path, {}), _plain(part)
            values = {name: value for name, value in now.items() if not equal(value, built.get(name, _ABSENT))}
            if values and part.path in self._built:
                changed[part.path] = {name: (value, _is_on_device(value)) for name, value in values.items()}
        return changed

    def _parts(self) -> Iterator[Part]:
        seen: set[int] = set()
        for group, component in self._components.items():
            yield from _walk(Part(group, component, group in self._covered), seen)


def modules(component: Any) -> list[nn.Module]:
    """Return the modules of a component that no other module holds."""
    parts = _walk(Part("", component, False), set())
    return [part.value for part in parts if isinstance(part.value, nn.Module) and not part.is_covered]


def _walk(part: Part, seen: set[int]) -> Iterator[Part]:
    value = part.value
    if isinstance(value, LEAVES) or id(value) in seen:
        return
    seen.add(id(value))
    yield part
    if isinstance(value, nn.Module):
        for name, module in value.named_children():
            yield from _walk(Part(f"{part.path}.{name}", module, True), seen)
    is_covered = part.is_covered or (has_state(value) and not isinstance(value, nn.Module))
    for name, inner in _attributes(value).items():
        below = is_covered and not isinstance(value, UNCOVERED_BELOW)
        yield from _walk(Part(f"{part.path}.{name}", inner, below), seen)


def _attributes(value: Any) -> dict[Any, Any]:
    """Return what an object holds, by name."""
    if isinstance(value, dict):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return dict(enumerate(value))
    if isinstance(value, partial):
        return {"func": value.func, "args": value.args, "keywords": value.keywords}
    if isinstance(value, MethodType):
        return {"self": value.__self__}
    if isinstance(value, FunctionType):
        return {name: cell.cell_contents for name, cell in _cells(value).items()} | vars(value)
    if is_generator(value):
        return {}
    own: dict[str, Any] = getattr(value, "__dict__", {}) | _slots(value)
    internal = INTERNAL if isinstance(value, nn.Module) else OPTIMIZER_INTERNAL if isinstance(value, Optimizer) else ()
    return {name: content for name, content in own.items() if name not in internal}


def _slots(value: Any) -> dict[str, Any]:
    """Return what an object keeps in `__slots__`; those of the standard library are caches as often as state."""
    found: dict[str, Any] = {}
    for kind in type(value).__mro__:
        if kind.__module__.partition(".")[0] not in sys.stdlib_module_names:
            members = {name: member for name, member in vars(kind).items() if isinstance(member, MemberDescriptorType)}
            found |= {name: getattr(value, name) for name in members if hasattr(value, name)}
    return found


def _has_attributes(value: Any) -> bool:
    return hasattr(value, "__dict__") or bool(_slots(value))


def _cells(function: FunctionType) -> dict[str, Any]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    return {name: cell for name, cell in cells if cell != type(cell)()}  # an empty cell has no contents


def _set_attribute(value: Any, name: str, content: Any) -> None:
    if isinstance(value, FunctionType) and name in _cells(value):
        _cells(value)[name].cell_contents = content
    elif name in getattr(value, "__dict__", {}) or not hasattr(type(value), name):
        vars(value)[name] = content
    else:
        object.__setattr__(value, name, content)  # even in a frozen data class with slots


def _plain(part: Part) -> dict[str, Any]:
    """Return those attributes that are plain values, unless a `state_dict` speaks for the object."""
    value = part.value
    is_own = isinstance(value, nn.Module | FunctionType) or not (part.is_covered or has_state(value))
    if not is_own or isinstance(value, partial | MethodType) or not _has_attributes(value):
        return {}
    return {name: content for name, content in _attributes(value).items() if _is_plain(content)}


def _is_plain(value: Any) -> bool:
    try:
        pack(value, copied=lambda tensor: tensor)
    except NotRestorable:
        return False
    return True


def has_state(value: Any) -> bool:
    """Return whether an object saves and restores its own state."""
    return hasattr(value, "state_dict") and hasattr(value, "load_state_dict")


def equal(one: Any, other: Any) -> bool:
    """Return whether two plain values are equal, with tensors on the same device."""
    if other is _ABSENT:
        return False
    return _same(pack(one, copied=lambda tensor: tensor), pack(other, copied=lambda tensor: tensor))


def _same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        is_alike = (one.shape, one.dtype, one.device) == (other.shape, other.dtype, other.device)
        return is_alike and torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _clone(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


def _is_on_device(value: Any) -> bool:
    """Return whether a generator or a tensor in a plain value is not on the CPU."""
    if isinstance(value, Tensor | torch.Generator):
        return value.device.type != "cpu"
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    return any(map(_is_on_device, inner))


def _on(device: str, value: Any) -> Any:
    """Return a copy of a plain value, with its tensors on `device`."""
    return unpack(pack(value, copied=lambda tensor: tensor.to(device, copy=True)))


def is_generator(value: Any) -> bool:
    """Return whether `value` is a random generator whose state can be read and set."""
    return isinstance(value, GENERATORS) and not isinstance(value, random.SystemRandom)


def _generator_state(generator: Any) -> Any:
    if isinstance(generator, torch.Generator):
        return generator.get_state()
    if isinstance(generator, random.Random):
        return generator.getstate()
    if isinstance(generator, numpy.random.RandomState):
        return generator.get_state(legacy=False)
    return generator.bit_generator.state


def _set_generator_state(generator: Any, state: Any) -> None:
    if isinstance(generator, torch.Generator):
        generator.set_state(state)
    elif isinstance(generator, random.Random):
        generator.setstate(state)
    elif isinstance(generator, numpy.random.RandomState):
        generator.set_state(state)
    else:
        generator.bit_generator.state = state
