"""Packs a task's state into what `torch.load(weights_only=True)` reads, and unpacks it again, type for type.

Reading a checkpoint must not run code, so PyTorch reads a few types only. The others that states are made of, such as
NumPy's scalars, are packed into mappings that name their type.
"""

import enum
import mmap
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy

if TYPE_CHECKING:
    from torch import Tensor

TYPE = "mnist_resnet:type"
"""Key of a mapping that stands for a value of another type."""

PLAIN = (type(None), bool, int, float, complex, str, bytes)
"""Types of values that can't change and that are read back as they are; see also `_plain`."""

SEQUENCES: dict[str, Callable[..., Any]] = {"set": set, "frozenset": frozenset, "deque": deque}
MAPPINGS: dict[str, Callable[..., Any]] = {"dict": dict, "OrderedDict": OrderedDict, "Counter": Counter}
FACTORIES = {factory.__name__: factory for factory in (bool, dict, float, int, list, set, str, tuple)}


class NotRestorable(Exception):
    """Part of a state can't be in a checkpoint; the message gives its key and its type."""


LARGE = 2**20
"""Bytes from which a tensor is copied into memory of its own."""


def on_cpu(tensor: "Tensor") -> "Tensor":
    """Copy a tensor to the CPU; a large one into memory that goes back to the system with the copy.

    Memory that the C library hands out stays with the process (`mnist_resnet/training/allocator.py`). A copy of a whole
    state would take the blocks of the next training step, which would then be allocated once more.
    """
    import torch

    tensor = tensor.detach()
    size = tensor.numel() * tensor.element_size()
    if size < LARGE or tensor.layout is not torch.strided:
        return tensor.to("cpu", copy=True)
    strides = torch.empty_like(tensor, device="meta").stride()
    memory = torch.frombuffer(mmap.mmap(-1, size), dtype=tensor.dtype)
    return memory.as_strided(tensor.shape, strides).copy_(tensor)


class Lent:
    """Copies tensors to the CPU, but gives large ones that are there already as they are, and remembers that it did.

    They must be written before training goes on, which takes less time and memory than a copy of them.
    """

    def __init__(self) -> None:
        self._addresses: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._addresses)

    def __call__(self, tensor: "Tensor") -> "Tensor":
        """Return the tensor itself if it is large and alone has all of its memory, else a copy."""
        size = tensor.numel() * tensor.element_size()
        if size < LARGE or tensor.device.type != "cpu" or not _is_plain(tensor):
            return on_cpu(tensor)
        memory = tensor.untyped_storage()
        if memory.nbytes() != size or memory.data_ptr() in self._addresses:
            return on_cpu(tensor)
        self._addresses.add(memory.data_ptr())
        return tensor.detach()


def _is_plain(tensor: "Tensor") -> bool:
    import torch

    return tensor.layout is torch.strided and not (tensor.is_quantized or tensor.is_complex() or tensor.is_neg())


def pack(state: Any, key: str = "state", copied: "Callable[[Tensor], Tensor]" = on_cpu) -> Any:
    """Copy a state, so that training does not change it, into types that PyTorch reads back.

    Args:
        state: Tensors, numbers, strings, NumPy arrays, and containers of them.
        key: Names the state in an error message.
        copied: Copies a tensor.

    Raises:
        NotRestorable: Part of it is of a type that can't be read back.
    """
    kind = type(state)
    if kind in _plain("torch" in sys.modules):
        return state
    if _is_tensor(state):
        return _pack_tensor(state, key, copied)
    if kind in (list, tuple):
        return kind(pack(value, f"{key}.{index}", copied) for index, value in enumerate(state))
    if kind in (dict, OrderedDict) and TYPE not in state and all(map(_is_plain_key, state)):
        packed = kind((name, pack(value, f"{key}.{name}", copied)) for name, value in state.items())
        if kind is OrderedDict:  # a module's `state_dict` carries the versions of its submodules in an attribute
            vars(packed).update(pack(vars(state), key, copied))
        return packed
    return {TYPE: _name(kind, key), **_pack_content(state, key, copied)}


def unpack(packed: Any) -> Any:
    """Return what `pack` was given, with all tensors on the CPU."""
    kind = type(packed)
    if kind in (list, tuple):
        return kind(map(unpack, packed))
    if isinstance(packed, dict):
        if TYPE in packed:
            return _unpack_content(packed[TYPE], packed)
        unpacked = kind((name, unpack(value)) for name, value in packed.items())
        if kind is OrderedDict:
            vars(unpacked).update(unpack(vars(packed)))
        return unpacked
    return packed


def check_growth(packed: Any, most: int) -> None:
    """Check that there is no more to unpack than an honest file of its size holds.

    A few bytes of a file can refer to one list again and again, or describe a tensor that repeats a number.

    Args:
        packed: What was read from a file of unknown origin.
        most: Most values, characters and bytes, all together.

    Raises:
        ValueError: There is more.
    """
    waiting = [packed]
    while waiting:
        value = waiting.pop()
        if _is_tensor(value):
            most -= value.numel() * value.element_size()
        elif isinstance(value, str | bytes | bytearray | dict | list | tuple):
            most -= len(value)
        if most < 0:
            raise ValueError("it unpacks to far more than its own size")
        if isinstance(value, dict):
            waiting += value.values()
            waiting += [vars(value)] if isinstance(value, OrderedDict) else []
        elif isinstance(value, list | tuple):
            waiting += value


def difference(one: Any, other: Any, key: str = "state") -> str | None:
    """Return the key and the types of the first value in which two packed states differ; None if there is none.

    Tensors are compared by shape and dtype: their bytes have a checksum in the file.
    """
    if type(one) is not type(other):
        return f"{key} is of type {type(one).__name__}, and reads back as {type(other).__name__}"
    if _is_tensor(one):
        is_same = (one.shape, one.dtype) == (other.shape, other.dtype)
    elif isinstance(one, dict | list | tuple):
        keys, others = (list(value) if isinstance(value, dict) else list(range(len(value))) for value in (one, other))
        if is_same := keys == others:
            return next(filter(None, (difference(one[name], other[name], f"{key}.{name}") for name in keys)), None)
    else:
        is_same = one == other or one != one  # NaN
    return None if is_same else f"{key} ({type(one).__name__}) reads back with other content"


@cache
def _plain(has_torch: bool) -> tuple[type, ...]:
    if not has_torch:
        return PLAIN
    import torch

    return (*PLAIN, torch.dtype, torch.device, torch.Size)


def _is_tensor(value: Any) -> bool:
    """Return whether a value is one of PyTorch's tensors, without importing PyTorch to find out."""
    return "torch" in sys.modules and isinstance(value, sys.modules["torch"].Tensor)


def _pack_tensor(tensor: Any, key: str, copied: "Callable[[Tensor], Tensor]") -> Any:
    from torch import Tensor, nn

    if type(tensor) is Tensor:
        return copied(tensor)
    if type(tensor) is nn.Parameter:
        return nn.Parameter(copied(tensor), requires_grad=tensor.requires_grad)
    raise NotRestorable(f"{key} is of type {type(tensor).__module__}.{type(tensor).__qualname__}")


def _is_plain_key(key: Any) -> bool:
    return all(map(_is_plain_key, key)) if type(key) is tuple else type(key) in _plain("torch" in sys.modules)


def _name(kind: type, key: str) -> str:
    """Return the name under which values of this type are packed."""
    if kind in (dict, OrderedDict, Counter, defaultdict, bytearray, set, frozenset, deque):
        return kind.__name__
    if kind is numpy.ndarray:
        return "array"
    if issubclass(kind, numpy.generic):
        return "scalar"
    if issubclass(kind, enum.Enum) and _loaded(_address(kind)) is kind:
        return "enum"
    if issubclass(kind, tuple) and hasattr(kind, "_make") and _loaded(_address(kind)) is kind:
        return "namedtuple"
    raise NotRestorable(f"{key} is of type {kind.__module__}.{kind.__qualname__}")


def _pack_content(state: Any, key: str, copied: "Callable[[Tensor], Tensor]") -> dict[str, Any]:
    kind = type(state)
    if isinstance(state, numpy.ndarray | numpy.generic):
        return _pack_array(numpy.asarray(state), key)
    if kind is bytearray:
        return {"value": bytes(state)}
    if isinstance(state, enum.Enum):
        return {"class": _address(kind), "value": state.name}
    if isinstance(state, dict):
        items = [(pack(name, key, copied), pack(value, f"{key}.{name}", copied)) for name, value in state.items()]
        return {"value": items, **_factory(state, key)}
    extras = {"class": _address(kind)} if isinstance(state, tuple) else {}
    limit = {"maxlen": state.maxlen} if isinstance(state, deque) else {}
    return {"value": [pack(value, f"{key}.{index}", copied) for index, value in enumerate(state)], **extras, **limit}


def _factory(state: dict[Any, Any], key: str) -> dict[str, str | None]:
    """Return what a `defaultdict` makes missing values with, by name."""
    if not isinstance(state, defaultdict):
        return {}
    factory = state.default_factory
    if factory is not None and factory not in FACTORIES.values():
        raise NotRestorable(f"{key} is a defaultdict of {factory}")
    return {"factory": None if factory is None else factory.__name__}


def _pack_array(array: Any, key: str) -> dict[str, Any]:
    if array.dtype.hasobject or array.dtype.names:
        raise NotRestorable(f"{key} is a NumPy array of {array.dtype}")
    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    return {"dtype": array.dtype.str, "shape": array.shape, "order": order, "value": _pack_bytes(array.tobytes(order))}


def _pack_bytes(content: bytes) -> Any:
    """Return bytes as PyTorch stores them without inflating them; as they are where PyTorch is not in use."""
    if "torch" not in sys.modules:
        return content
    import torch

    return torch.frombuffer(bytearray(content), dtype=torch.uint8) if content else torch.empty(0, dtype=torch.uint8)


def _unpack_content(name: str, packed: dict[str, Any]) -> Any:
    value = packed["value"]
    if name in ("array", "scalar"):
        content = value if isinstance(value, bytes) else value.numpy().tobytes()
        flat = numpy.frombuffer(bytearray(content), dtype=numpy.dtype(packed["dtype"]))
        array = flat.reshape(packed["shape"], order=packed["order"])
        return array if name == "array" else array[()]
    if name == "bytearray":
        return bytearray(value)
    if name == "enum":
        return _checked_class(packed["class"], enum.Enum)[value]  # type: ignore[index]
    if name == "namedtuple":
        return _checked_class(packed["class"], tuple)._make(map(unpack, value))  # type: ignore[attr-defined]
    if name in SEQUENCES:
        return SEQUENCES[name](map(unpack, value), *([packed["maxlen"]] if name == "deque" else []))
    items = [(unpack(key), unpack(content)) for key, content in value]
    if name == "defaultdict":
        return defaultdict(packed["factory"] and FACTORIES[packed["factory"]], items)
    return MAPPINGS[name](dict(items))


def _address(kind: type) -> str:
    return f"{kind.__module__}:{kind.__qualname__}"


def _loaded(address: str) -> Any:
    """Return the class at this address, if its module has been imported: a checkpoint never has one imported."""
    module, _, name = address.partition(":")
    return getattr(sys.modules.get(module), name, None)


def _checked_class(address: str, base: type) -> type:
    found = _loaded(address)
    if not isinstance(found, type) or not issubclass(found, base):
        raise NotRestorable(f"it holds a value of type {address}, which is not there")
    return found
