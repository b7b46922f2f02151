"""Packed states: what a checkpoint gives back is what was saved, type for type, and no code is run."""

import io
import random
from collections import Counter, OrderedDict, defaultdict, deque
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import pytest
import torch
from torch import nn

from mnist_resnet.jobs.packed_state import TYPE, NotRestorable, difference, pack, unpack
from tests.small_training import different_tensors


class Pair(NamedTuple):
    first: Any
    second: Any


class Anneal(Enum):
    COSINE = "cosine"


def read_back(state: Any) -> Any:
    file = io.BytesIO()
    torch.save(pack(state), file)
    file.seek(0)
    return unpack(torch.load(file, weights_only=True))


def same(one: Any, other: Any) -> bool:
    """Return whether two values are of the same types and equal, at any depth."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple | deque):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.stride() == other.stride() and torch.equal(one, other)
    if isinstance(one, numpy.ndarray):
        return (
            one.dtype == other.dtype
            and one.flags.f_contiguous == other.flags.f_contiguous
            and numpy.array_equal(one, other)
        )
    return bool(one == other)


VALUES: list[Any] = [
    None,
    True,
    3,
    2**200,
    0.1,
    1j,
    "text",
    b"\x00\xff",
    bytearray(b"\x01"),
    torch.bfloat16,
    torch.device("cpu"),
    torch.Size([2, 3]),
    (1, (2.0, [3, ()])),
    [(0.9, 0.99), [1]],
    {"betas": (0.9, 0.99), 0: [1], (1, "a"): None},
    OrderedDict(b=1, a=(2,)),
    Counter("aab"),
    defaultdict(dict, {"a": {1: (2,)}}),
    defaultdict(None, {1: 2}),
    deque([1, (2,)], maxlen=5),
    {1, 2},
    frozenset([(1, 2)]),
    Pair(1, (2, [3])),
    Anneal.COSINE,
    numpy.float64(0.1),
    numpy.float32(0.1),
    numpy.int64(7),
    numpy.bool_(True),
    numpy.datetime64("2026-01-01"),
    {numpy.int64(7): "seven"},
    {TYPE: "a user's own key"},
    numpy.arange(6.0).reshape(2, 3),
    numpy.arange(6).reshape(2, 3).T,
    numpy.zeros((0, 3), dtype=numpy.uint16),
    numpy.array(["a", "bc"]),
    torch.arange(3),
    torch.ones(2, 3, 4, 4, dtype=torch.bfloat16).to(memory_format=torch.channels_last),
    random.Random(1).getstate(),
    numpy.random.default_rng(1).bit_generator.state,
    numpy.random.RandomState(1).get_state(),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_what_comes_back_is_what_was_saved(value: Any) -> None:
    assert same(read_back({"x": [value]}), {"x": [value]})
    assert difference(pack(value), pack(read_back(value))) is None


def test_parameters_stay_parameters() -> None:
    back = read_back(nn.Parameter(torch.ones(2), requires_grad=False))
    assert (type(back), back.requires_grad) == (nn.Parameter, False)


def test_a_modules_state_keeps_the_versions_of_its_layers() -> None:
    state = nn.Sequential(nn.BatchNorm2d(2)).state_dict()
    back = read_back(state)
    assert type(back) is OrderedDict
    assert back._metadata == state._metadata  # type: ignore[attr-defined]
    assert different_tensors(state, back, "state") == []


def test_a_modules_state_is_a_plain_mapping_in_the_file() -> None:
    """So that `torch.load("checkpoint.pt")["model"]` can be loaded into a network elsewhere."""
    assert pack(nn.Linear(2, 2).state_dict()).keys() == {"weight", "bias"}


def test_a_packed_state_does_not_change_with_what_it_was_made_of() -> None:
    weights, array, history = torch.ones(2), numpy.ones(2), [1]
    packed = pack({"weights": weights, "array": array, "history": history})
    weights.zero_()
    array[:] = 0
    history.append(2)
    back = unpack(packed)
    assert (back["weights"].tolist(), back["array"].tolist(), back["history"]) == ([1, 1], [1, 1], [1])


class Own:
    pass


def local_pair() -> Any:
    class Local(NamedTuple):
        a: int

    return Local(1)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (Own(), "tests.jobs.test_packed_state.Own"),
        (Path("a"), "pathlib"),
        (lambda: None, "builtins.function"),
        (partial(int), "functools.partial"),
        (iter([1]), "builtins.list_iterator"),
        (range(3), "builtins.range"),
        (local_pair(), "local_pair.<locals>.Local"),
        (numpy.array([Own()]), "a NumPy array of object"),
        (defaultdict(lambda: 1), "a defaultdict of <function"),
        (torch.nested.nested_tensor([torch.ones(1)], layout=torch.jagged), "NestedTensor"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_what_can_not_be_restored_is_named_by_key_and_type(value: Any, named: str) -> None:
    with pytest.raises(NotRestorable) as raised:
        pack({"param_groups": [{"betas": (0.9, value)}]}, "optimizer")
    assert str(raised.value).startswith("optimizer.param_groups.0.betas.1 is ")
    assert named in str(raised.value)


@pytest.mark.parametrize("kind", ["enum", "namedtuple"])
@pytest.mark.parametrize("address", ["subprocess:Popen", "not_imported_yet:Pair", "os:system"])
def test_a_file_that_names_another_class_has_nothing_run(kind: str, address: str) -> None:
    with pytest.raises(NotRestorable):
        unpack({TYPE: kind, "class": address, "value": ["touch", "x"]})


def test_the_first_difference_is_named() -> None:
    assert difference({"a": [1, (2, 3)]}, {"a": [1, [2, 3]]}) == "state.a.1 is of type tuple, and reads back as list"
    assert difference({"a": torch.ones(2)}, {"a": torch.ones(3)}) == "state.a (Tensor) reads back with other content"
    assert difference([1], [1, 2]) == "state (list) reads back with other content"
    assert difference({"a": float("nan")}, {"a": float("nan")}) is None
