"""A model file whose weights can be exchanged: networks of one architecture differ in nothing else.

Both of torch's formats are archives in which each tensor is a record of its own. Which record is which tensor's is
found by saving the network once with each tensor filled by its number.
"""

import io
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor, nn

WRITTEN_BY_TORCH = ("version", ".data/version", "byteorder", ".data/serialization_id")
"""Records that torch's writer adds by itself."""

Layout = tuple[torch.dtype, torch.Size, tuple[int, ...]]

Weights = Mapping[str, bytes]
"""The memory of each tensor of a network's state, by its key."""


class NotExchangeable(Exception):
    """The tensors of a network are no records of their own: some share their memory, or are views."""


@dataclass(frozen=True)
class ModelArchive:
    """What the files of all networks of one architecture have in common.

    Attributes:
        records: content by name, of those that hold no weights.
        holders: by the name of each other record, the key of its tensor in the network's state.
        layouts: type, shape and strides of each tensor, by its key.
        version: of the archive format.
    """

    records: Mapping[str, bytes]
    holders: Mapping[str, str]
    layouts: Mapping[str, Layout]
    version: int

    @classmethod
    def of(cls, network: nn.Module, save: Callable[[], bytes]) -> Self:
        """The archive that `save` makes of `network`, which keeps its weights.

        Raises:
            NotExchangeable: a tensor of its state is no record of its own.
        """
        state: dict[str, Tensor] = network.state_dict()
        before = {key: tensor.clone() for key, tensor in state.items()}
        try:
            for number, tensor in enumerate(state.values(), start=1):
                tensor.fill_(number)
            marked = {content: key for key, content in weights_of(network).items()}
            records = _records(save())
        finally:
            for key, tensor in state.items():
                tensor.copy_(before[key])
        holders = {name: marked[content] for name, content in records.items() if content in marked}
        if sorted(holders.values()) != sorted(state):
            raise NotExchangeable
        version = int(records.get(".data/version") or records["version"])
        others = {name: content for name, content in records.items() if name not in holders}
        return cls(others, holders, _layouts(state), version)

    def fits(self, network: nn.Module) -> bool:
        """Whether the network's tensors are of the same names and layouts."""
        return _layouts(network.state_dict()) == self.layouts

    def holding(self, weights: Weights) -> bytes:
        """The file of a network that fits and has these weights."""
        file = io.BytesIO()
        writer = torch._C.PyTorchFileWriter(file)
        writer.set_min_version(self.version)
        for name, content in self._with(weights).items():
            if name not in WRITTEN_BY_TORCH:
                writer.write_record(name, content, len(content))
        writer.write_end_of_file()
        return file.getvalue()

    def holds(self, content: bytes, weights: Weights) -> bool:
        """Whether the content of a file is this graph with these weights, bit by bit."""
        wanted, found = self._with(weights), _records(content)
        return found.keys() == wanted.keys() and all(
            found[name] == wanted[name] for name in wanted if name not in WRITTEN_BY_TORCH
        )

    def _with(self, weights: Weights) -> dict[str, bytes]:
        return {**self.records, **{name: weights[key] for name, key in self.holders.items()}}


def weights_of(network: nn.Module) -> Weights:
    """The weights of a network on the CPU.

    Raises:
        NotExchangeable: a tensor shares its memory with more than itself.
    """
    return {key: _bytes(tensor) for key, tensor in network.state_dict().items()}


def _records(content: bytes) -> dict[str, bytes]:
    reader = torch._C.PyTorchFileReader(io.BytesIO(content))
    return {name: reader.get_record(name) for name in reader.get_all_records()}


def _layouts(state: Mapping[str, Tensor]) -> dict[str, Layout]:
    return {key: (tensor.dtype, tensor.shape, tensor.stride()) for key, tensor in state.items()}


def _bytes(tensor: Tensor) -> bytes:
    """Of a tensor's memory, in its order there."""
    if tensor.untyped_storage().nbytes() != tensor.nbytes:
        raise NotExchangeable
    flat = tensor.detach().as_strided((tensor.numel(),), (1,))
    return flat.view(torch.uint8).numpy().tobytes()
