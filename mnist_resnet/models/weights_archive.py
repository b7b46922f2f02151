"""Writes model files by replacing the weights in an archive that torch wrote for the same architecture.

Both of torch's formats are archives that store each tensor as a separate record. To find the record of each tensor, the
network is saved once with every tensor filled by a different number.
"""

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import numpy
import torch
from torch import Tensor, nn

WRITTEN_BY_TORCH = ("version", ".data/version", "byteorder", ".data/serialization_id")
"""Records that torch's archive writer adds by itself."""

Layout = tuple[torch.dtype, torch.Size, tuple[int, ...]]
"""Dtype, shape and strides of a tensor."""

Weights = Mapping[str, bytes]
"""The raw bytes of each tensor, by its key in the state dict."""


class WeightsNotReplaceable(Exception):
    """A tensor has no record of its own in the archive, because it shares memory with another or is a view."""


@dataclass(frozen=True)
class ModelArchive:
    """A model file without its weights: the part that all networks of one architecture share.

    Attributes:
        records: content of the records without weights, by record name.
        weight_keys: state dict key of the tensor in each other record, by record name.
        layouts: dtype, shape and strides of each tensor, by its state dict key.
        version: version of the archive format.
    """

    records: Mapping[str, bytes]
    weight_keys: Mapping[str, str]
    layouts: Mapping[str, Layout]
    version: int

    @classmethod
    def from_network(cls, network: nn.Module, save: Callable[[Path], None]) -> Self:
        """Build the archive from the file that `save` makes of `network`; the network's weights are restored.

        Args:
            network: any module, on the CPU.
            save: saves `network` as it is at the time of the call, to a file.

        Raises:
            WeightsNotReplaceable: A tensor of the state dict has no record of its own.
        """
        state: dict[str, Tensor] = network.state_dict()
        original = weight_bytes(network)
        try:
            for number, tensor in enumerate(state.values(), start=1):
                tensor.fill_(number)
            key_by_digest = {_digest(_raw_bytes(tensor)): key for key, tensor in state.items()}
            others, weight_keys = {}, {}
            with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
                file = Path(folder) / "network.pt2"
                save(file)
                for name, content in _read_records(file):
                    key = key_by_digest.get(_digest(content))
                    if key is None:
                        others[name] = content
                    else:
                        weight_keys[name] = key
        finally:
            for key, tensor in state.items():
                _memory(tensor)[:] = numpy.frombuffer(original[key], numpy.uint8)
        if sorted(weight_keys.values()) != sorted(state):
            raise WeightsNotReplaceable
        version = int(others.get(".data/version") or others["version"])
        return cls(others, weight_keys, _layouts(state), version)

    def fits(self, network: nn.Module) -> bool:
        """Return whether the network's tensors have the same keys and layouts."""
        return _layouts(network.state_dict()) == self.layouts

    def to_bytes(self, weights: Weights) -> bytes:
        """Return the content of a model file with these weights."""
        file = io.BytesIO()
        writer = torch._C.PyTorchFileWriter(file)
        writer.set_min_version(self.version)
        for name, content in self._all_records(weights).items():
            if name not in WRITTEN_BY_TORCH:
                writer.write_record(name, content, len(content))
        writer.write_end_of_file()
        return file.getvalue()

    def matches(self, file: Path, weights: Weights) -> bool:
        """Return whether a file is bitwise this archive with these weights."""
        expected, found = self._all_records(weights), set()
        for name, actual in _read_records(file):
            if name not in expected or (name not in WRITTEN_BY_TORCH and actual != expected[name]):
                return False
            found.add(name)
        return found == expected.keys()

    def _all_records(self, weights: Weights) -> dict[str, bytes]:
        return {**self.records, **{name: weights[key] for name, key in self.weight_keys.items()}}


def weight_bytes(network: nn.Module) -> Weights:
    """Return the raw bytes of each tensor in the state dict of a network on the CPU.

    Raises:
        WeightsNotReplaceable: A tensor does not fill its storage, so that it may share memory.
    """
    return {key: _raw_bytes(tensor) for key, tensor in network.state_dict().items()}


def _read_records(file: Path) -> Iterator[tuple[str, bytes]]:
    """Yield name and content of each record of a file."""
    reader = torch._C.PyTorchFileReader(str(file))
    for name in reader.get_all_records():
        yield name, reader.get_record(name)


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()


def _layouts(state: Mapping[str, Tensor]) -> dict[str, Layout]:
    return {key: (tensor.dtype, tensor.shape, tensor.stride()) for key, tensor in state.items()}


def _raw_bytes(tensor: Tensor) -> bytes:
    """Return a tensor's storage, in memory order."""
    if tensor.untyped_storage().nbytes() != tensor.nbytes:
        raise WeightsNotReplaceable
    return _memory(tensor).tobytes()


def _memory(tensor: Tensor) -> "numpy.ndarray[Any, numpy.dtype[numpy.uint8]]":
    """Return the memory of a tensor that fills its storage, uint8 [bytes]."""
    return tensor.detach().as_strided((tensor.numel(),), (1,)).view(torch.uint8).numpy()
