"""Map-style PyTorch data sets that are read while training, because they don't fit into memory.

What an item draws at random, in a transform of torchvision's for example, depends on the job's seed, the epoch and the
item alone: it is read with Python's, NumPy's and PyTorch's global generators seeded by these. So a job that resumes in
mid-epoch, or has another number of processes to read, sees the same bits.
"""

import multiprocessing
import random
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from multiprocessing.process import BaseProcess
from typing import Any, ClassVar

import numpy
import torch
from torch import Tensor
from torch.utils.data import DataLoader

from mnist_resnet.data.map_style import MapStyle, difference, infinite, item_tensors
from mnist_resnet.errors import UsageError, wording
from mnist_resnet.jobs.random_states import random_states, set_random_states
from mnist_resnet.jobs.signals import GRACE, HANDLED, ignore_stops

Batch = tuple[Tensor, Tensor]
"""Inputs [batch, …] as the items have them, and targets [batch, …], on the CPU or in memory that a GPU can read."""


@dataclass(frozen=True, eq=False)
class StreamedItems:
    """Items of a map-style data set, each read when a batch needs it.

    Attributes:
        name: `train` or `test`, for messages.
        source: items are pairs of an input and a target, see `map_style.item_tensors`.
        loader_workers: processes that read ahead; 0 reads in the job's own process, when a batch is needed.
        device: where batches are used.
        order: the items in the order of the splits; empty for that of `source`.

    Raises:
        UsageError: There is no item, the first one can't be read, or it differs when it is read again.
    """

    name: str
    source: MapStyle
    loader_workers: int
    device: str = "cpu"
    order: Sequence[int] = ()

    def __post_init__(self) -> None:
        if not len(self.source):
            raise UsageError(f"data.{self.name}: has no items")
        object.__setattr__(self, "order", self.order or range(len(self.source)))
        inputs, _ = self.example
        if inputs.ndim < 1 or (inputs.dtype == torch.uint8 and inputs.ndim != 3):
            raise UsageError(
                f"data.{self.name}: items are {str(inputs.dtype).removeprefix('torch.')} {list(inputs.shape)}; images "
                f"of bytes are [channels, height, width], other inputs floats or int64, [n] or more dimensions"
            )
        again = self._items(seed=0)[0]
        if isinstance(again, str) or not all(map(_same, self.example, again)):
            raise UsageError(
                f"data.{self.name}: item 0 differs when it is read again with the same seed; what is random in it must "
                f"draw from PyTorch's, NumPy's or Python's global generator, which are seeded for each item"
            )

    def __len__(self) -> int:
        return len(self.source)

    @cached_property
    def example(self) -> tuple[Tensor, Tensor]:
        """The first input, and its target."""
        return _checked(_Items(self, seed=0, first=None)[0])

    def to(self, device: str) -> "StreamedItems":
        """Return the same items for `device`, such as `cpu` or `cuda:0`."""
        return replace(self, device=device)

    def read(self, indices: Sequence[int], seed: int = 0) -> Batch:
        """Read the items at `indices` in this process, as `batches` does."""
        items = self._items(seed)
        return _checked(_stacked([items[index] for index in indices]))

    def batches(self, chunks: Sequence[Sequence[int]], seed: int = 0) -> Iterator[Batch]:
        """Yield the items of each of `chunks`, read ahead by other processes.

        Args:
            chunks: the indices of each batch.
            seed: below 2**32; what items draw at random depends on it and on their index.

        Raises:
            UsageError: An item can't be read, or differs in shape from the first one; or a process was killed.
        """
        loader: DataLoader[Any] = DataLoader(
            self._items(seed),  # type: ignore[arg-type]
            batch_sampler=chunks,  # type: ignore[arg-type]
            num_workers=self.loader_workers,
            collate_fn=_stacked,
            generator=torch.Generator(),  # else a start would draw from the run's own
            pin_memory=torch.device(self.device).type == "cuda",
            worker_init_fn=ignore_stops,
        )
        batches, readers, read = iter(list[Batch | str]()), list[BaseProcess](), 0
        try:
            batches, readers = _started(loader)
            for _ in chunks:
                yield _checked(_next(batches, readers))
                read += 1
        except (RuntimeError, EOFError, OSError) as error:
            # Of a batch that a process had ready when it ended, its tensors can't be opened.
            if "DataLoader worker" not in str(error) and not any(map(_has_ended, readers)):
                raise
            self._check_killed(readers)
            # A cluster's signal to all processes of a job came before they ignored it, while this one has a checkpoint
            # to write: it reads the rest, which are the same bits.
            yield from (self.read(chunk, seed) for chunk in chunks[read:])
        finally:
            if readers and (read < len(chunks) or any(reader.exitcode for reader in readers)):
                _end(batches, readers)

    def _items(self, seed: int) -> "_Items":
        return _Items(self, seed, self.example)

    def _check_killed(self, readers: Sequence[BaseProcess]) -> None:
        for reader in readers:
            number = -(reader.exitcode or 0)
            if number > 0 and number not in HANDLED:
                raise UsageError(
                    f"data.{self.name}: process {reader.pid}, one of data.loader_workers={self.loader_workers}, was "
                    f"ended by {signal.Signals(number).name}; if memory ran out, set fewer"
                )


@dataclass(frozen=True, eq=False)
class StreamedDataSet:
    """Training and test items that are streamed, in place of a `DataSet`; see there.

    Raises:
        UsageError: Training and test items differ in shape.
    """

    train: StreamedItems
    test: StreamedItems
    is_published: ClassVar[bool] = False

    def __post_init__(self) -> None:
        train, test = (list(part.example[0].shape) for part in (self.train, self.test))
        if train != test:
            raise UsageError(f"data set: training items are {train}, test items {test}; they must be the same")

    def to(self, device: str) -> "StreamedDataSet":
        """Return the same items for `device`, such as `cpu` or `cuda:0`."""
        return StreamedDataSet(self.train.to(device), self.test.to(device))


def streamed(train: MapStyle, test: MapStyle, loader_workers: int = 2) -> StreamedDataSet:
    """Read the items of two data sets whenever a batch needs them, in each epoch anew.

    Args:
        train: items are pairs of an input and a target (see `map_style.item_tensors`), all of one shape. What a
            transform draws at random is drawn anew in each epoch.
        test: likewise; what is random is drawn the same in each epoch.
        loader_workers: processes that read ahead; 0 reads in the job's own process.

    Raises:
        UsageError: `loader_workers` is negative, or as for `StreamedItems`.
    """
    if loader_workers < 0:
        raise UsageError(f"data.loader_workers={loader_workers}: must be 0 or more")
    return StreamedDataSet(StreamedItems("train", train, loader_workers), StreamedItems("test", test, loader_workers))


class _Items:
    """Reads items with generators seeded for each. What can't be read is told in words, which survive other processes.

    Args:
        of: where they are read from.
        seed: below 2**32.
        first: the first item, whose form all must have; None while it is not known.
    """

    def __init__(self, of: StreamedItems, seed: int, first: tuple[Tensor, Tensor] | None) -> None:
        self._name, self._source, self._seed, self._first = of.name, of.source, seed, first

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor] | str:
        try:
            with _seeded(int(numpy.random.SeedSequence((self._seed, index)).generate_state(1)[0])):
                item = item_tensors(self._source[index])
        except Exception as error:
            return f"data.{self._name}: item {index} can't be read: {wording(error)}"
        problem = (difference(item, self._first) if self._first else None) or infinite(item)
        return f"data.{self._name}: item {index} {problem}" if problem else item


def _started(loader: DataLoader[Any]) -> tuple[Iterator[Batch | str], list[BaseProcess]]:
    """Start a loader's processes, and return its batches and them.

    PyTorch's handler of SIGCHLD would raise in the middle of a step when one of them dies, or of whatever runs later:
    see `_next`. A loader of somebody else's may have set it before.
    """
    before, handler = multiprocessing.active_children(), signal.getsignal(signal.SIGCHLD)
    if getattr(handler, "__module__", None) == "torch.utils.data._utils.signal_handling":
        handler = signal.SIG_DFL
    try:
        batches = iter(loader)
    finally:
        if handler is not None and threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, handler)
    return batches, [process for process in multiprocessing.active_children() if process not in before]


def _next(batches: Iterator[Batch | str], readers: Sequence[BaseProcess]) -> Batch | str:
    """Wait for the next batch, and raise RuntimeError when a process that reads was killed.

    PyTorch looks for dead ones every five seconds, but takes locks then that a killed one may have held.
    """

    def check(*_signal: object) -> None:
        if any(reader.exitcode for reader in readers):
            raise RuntimeError("a DataLoader worker was killed")

    if not readers or threading.current_thread() is not threading.main_thread():
        return next(batches)
    before = signal.signal(signal.SIGCHLD, check)
    try:
        check()
        return next(batches)
    finally:
        signal.signal(signal.SIGCHLD, before or signal.SIG_DFL)


def _end(batches: Iterator[Any], readers: Sequence[BaseProcess]) -> None:
    """End the processes of a loader that is left before its end, or of which one was killed.

    PyTorch would take locks that the killed one may have held, and wait for them without end; and it would wait ten
    seconds for others, which read ahead and ignore SIGTERM.
    """
    batches._shutdown = True  # type: ignore[attr-defined]
    # PyTorch knows readers by the address of `batches`, which may soon be that of another loader's.
    torch._C._remove_worker_pids(id(batches))
    batches._worker_pids_set = False  # type: ignore[attr-defined]
    if hasattr(batches, "_pin_memory_thread_done_event"):
        batches._pin_memory_thread_done_event.set()
    for reader in readers:
        reader.kill()


def _has_ended(reader: BaseProcess) -> bool:
    reader.join(GRACE)
    return reader.exitcode is not None


def _stacked(items: Sequence[tuple[Tensor, Tensor] | str]) -> Batch | str:
    read = [item for item in items if not isinstance(item, str)]
    if len(read) < len(items):
        return next(item for item in items if isinstance(item, str))
    inputs, targets = zip(*read, strict=True)
    return torch.stack(inputs), torch.stack(targets)


def _checked(read: Batch | str) -> Batch:
    if isinstance(read, str):
        raise UsageError(read)
    inputs, targets = read
    return inputs, targets


def _same(one: Tensor, other: Tensor) -> bool:
    return torch.equal(torch.nan_to_num(one), torch.nan_to_num(other))


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the global generators of this processor, and restore them afterwards; those of GPUs are left alone."""
    before = random_states("cpu")
    random.seed(seed)
    numpy.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        set_random_states(before, "cpu")
