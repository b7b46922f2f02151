"""Data that are streamed: read by PyTorch's `DataLoader` while training, to the same bits however it is read."""

import inspect
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, TensorDataset

from mnist_resnet.config.allowed_targets import allow
from mnist_resnet.config.schema import Config, check
from mnist_resnet.config.signature import signature
from mnist_resnet.data.fingerprint import fingerprint
from mnist_resnet.data.stream import Batch, streamed
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import read_metrics
from mnist_resnet.jobs.signals import GRACE, HANDLED, Interrupt, Interrupted
from tests.small_training import REPOSITORY, differences, resolved, trained, without_times
from tests.training.test_resume import AtCheck, resume

HERE = __name__
LARGE = 10**12


class Digits(Dataset[tuple[Any, int]]):
    """Pictures of a size and brightness by their class, with noise if they are `noisy`."""

    def __init__(self, count: int = 90, noisy: bool = False, wrong: str = "", brightness: int = 200) -> None:
        self.count, self.noisy, self.wrong, self.brightness = count, noisy, wrong, brightness
        self.own = numpy.random.default_rng(1)

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Any, int]:
        label = index % 10
        values = numpy.zeros((28, 28), dtype=numpy.uint8)
        values[label : label + 9, 3 : 6 + 2 * label] = self.brightness
        if self.noisy:
            noise = torch.randint(0, 40, (28, 28)).numpy() + numpy.random.randint(10) + random.randrange(5)
            values += noise.astype(numpy.uint8)
        if self.wrong == "own generator":
            values += numpy.uint8(self.own.integers(200))
        if self.wrong == "missing file" and index == 17:
            Image.open("/no/such/file.png")
        if self.wrong == "size" and index == 17:
            values = values[:20]
        return Image.fromarray(values), 12 if self.wrong == "label" and index == 17 else label


def config(*overrides: str, source: str = "mnist_resnet.data.stream.streamed", **train: Any) -> Config:
    base = resolved("trainer.epochs=2", "optim.lr=0.01", "regularization=dropout", *overrides)
    parts = {part: {"_target_": f"{HERE}.Digits", "count": count} for part, count in (("train", 90), ("test", 40))}
    sizes = {"batch_size": 32, "test_batch_size": 20, "classes": 10, "channels": 1}
    workers = {} if source.endswith("in_memory") else {"loader_workers": train.pop("loader_workers", 0)}
    data = {"_target_": source, **parts, "train": parts["train"] | train, **sizes, **workers, "val_size": 20}
    allow(data)
    return check(base | {"data": data})


@pytest.mark.parametrize("workers", [0, 2])
def test_streamed_run_ends_with_the_same_bits_after_stops_in_mid_epoch(workers: int, tmp_path: Path) -> None:
    settings = config(noisy=True, loader_workers=workers)
    for count in (2, 5):
        with pytest.raises(Interrupted):
            resume(settings, tmp_path, AtCheck(count))
    undisturbed = trained(config(noisy=True, loader_workers=2 - workers))
    assert differences(undisturbed, resume(settings, tmp_path, Interrupt())) == []
    first, second = undisturbed.batch_losses
    assert not torch.equal(first, second)


def test_streamed_run_computes_what_one_in_memory_does() -> None:
    streaming, kept = trained(config()), trained(config(source="mnist_resnet.data.in_memory.in_memory"))
    assert without_times(streaming.history) == without_times(kept.history)


def test_noise_is_drawn_anew_in_each_epoch_and_for_each_item() -> None:
    items = streamed(Digits(noisy=True), Digits()).train
    one, other = (items.read([3, 13], seed=seed)[0] for seed in (1, 2))
    assert torch.equal(one, items.read([3, 13], seed=1)[0])
    assert not torch.equal(one, other)
    assert not torch.equal(one[0], one[1])


def test_reading_leaves_the_runs_generators_alone() -> None:
    torch.manual_seed(5)
    numpy.random.seed(5)
    expected = torch.rand(1), numpy.random.rand()
    torch.manual_seed(5)
    numpy.random.seed(5)
    items = streamed(Digits(noisy=True), Digits(), loader_workers=1).train
    list(items.batches([[1, 2], [3]], seed=1))
    items.read([4])
    assert (torch.rand(1), numpy.random.rand()) == expected


def test_fingerprint_tells_other_items_and_not_how_they_are_read() -> None:
    known = fingerprint(config().data)
    assert known == fingerprint(config(loader_workers=2).data)
    assert known != fingerprint(config(brightness=201).data)
    assert known != fingerprint(config(count=91).data)


def test_number_of_readers_is_not_part_of_the_experiment() -> None:
    one, other = (config(loader_workers=count).model_dump(by_alias=True) for count in (0, 2))
    assert signature(one) == signature(other)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("missing file", "data.train: item 17 can't be read: .*no/such/file.png"),
        ("size", r"data.train: item 17 is uint8 \[1, 20, 28\].* add a transform that makes them one size"),
        ("label", "data.classes=10: there is a label 12"),
    ],
)
@pytest.mark.parametrize("workers", [0, 1])
def test_item_that_can_not_be_used_is_named(wrong: str, message: str, workers: int) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        trained(config(wrong=wrong, loader_workers=workers))
    assert "\n" not in str(caught.value)


def test_what_can_not_be_streamed_is_refused_before_training() -> None:
    fine, broken = TensorDataset(torch.ones(4, 1), torch.ones(4)), TensorDataset(torch.ones(4, 1), torch.ones(4) / 0)
    with pytest.raises(UsageError, match=r"^data\.test: item 0 has a NaN or an infinity in its target"):
        streamed(fine, broken)
    with pytest.raises(UsageError, match=r"^data\.train: item 2 has a NaN or an infinity in its input"):
        streamed(TensorDataset(torch.tensor([[1.0], [1.0], [torch.nan]]), torch.ones(3)), fine).train.read([1, 2])
    with pytest.raises(UsageError, match=r"data.train: item 0 differs when it is read again .* global generator"):
        streamed(Digits(wrong="own generator"), Digits())
    with pytest.raises(UsageError, match=r"data\.train: has no items"):
        streamed(Digits(0), Digits())
    with pytest.raises(UsageError, match=r"data\.loader_workers=-1: must be 0 or more"):
        streamed(Digits(), Digits(), loader_workers=-1)
    base = config().model_dump(by_alias=True)
    with pytest.raises(UsageError, match=r"data\.balanced=true: labels of streamed data are not known before"):
        trained(check(base | {"data": base["data"] | {"balanced": True}}))


def _signal_to_readers(number: signal.Signals) -> Batch:
    """Send a signal to the process that reads ahead, and return the batches that follow the first one."""
    items = streamed(Digits(noisy=True), Digits(), loader_workers=1).train
    batches = items.batches([[number] for number in range(12)], seed=1)
    before = multiprocessing.active_children()
    read = [next(batches)]
    for reader in multiprocessing.active_children():
        if reader not in before:
            os.kill(int(reader.pid or 0), number)
    read += list(batches)
    return torch.cat([inputs for inputs, _ in read]), items.read(range(12), seed=1)[0]


@pytest.mark.parametrize("number", HANDLED)
def test_a_stop_of_all_processes_of_a_job_is_left_to_the_one_that_trains(number: signal.Signals) -> None:
    read, expected = _signal_to_readers(number)
    assert torch.equal(read, expected)


def test_a_reader_that_is_killed_is_named() -> None:
    message = r"data\.train: process \d+, one of data\.loader_workers=1, was ended by SIGKILL; if memory ran out"
    with pytest.raises(UsageError, match=message):
        _signal_to_readers(signal.SIGKILL)


def _with_a_reader() -> tuple[Iterator[Batch], BaseProcess]:
    before = multiprocessing.active_children()
    batches = streamed(Digits(), Digits(), loader_workers=1).train.batches([[number] for number in range(12)])
    next(batches)
    (reader,) = (process for process in multiprocessing.active_children() if process not in before)
    return batches, reader


def test_a_reader_that_is_killed_does_not_end_what_runs_meanwhile() -> None:
    list(DataLoader(TensorDataset(torch.zeros(2)), num_workers=1))  # PyTorch watches its readers from the first one on
    _batches, reader = _with_a_reader()
    reader.kill()
    subprocess.run(["sleep", "0.1"], check=True)


def test_readers_end_with_what_reads_from_them() -> None:
    before = multiprocessing.active_children()
    items = streamed(Digits(wrong="size"), Digits(), loader_workers=1).train
    with pytest.raises(UsageError, match="item 17") as kept:  # and with it, what has read
        list(items.batches([[number] for number in range(40)]))
    readers = [process for process in multiprocessing.active_children() if process not in before]
    for reader in readers:
        reader.join(GRACE)
    assert kept.traceback
    assert not any(reader.is_alive() for reader in readers)


def test_readers_that_were_ended_are_forgotten_so_that_others_can_start_in_their_place() -> None:
    for _ in range(20):
        batches, _reader = _with_a_reader()
        batches.close()  # type: ignore[attr-defined]


def test_a_lock_that_a_killed_reader_held_is_not_waited_for() -> None:
    batches, reader = _with_a_reader()
    inspect.getgeneratorlocals(batches)["batches"]._workers_done_event._cond.acquire()  # type: ignore[arg-type]
    reader.kill()
    reader.join()
    end = threading.Thread(target=batches.close, daemon=True)  # type: ignore[attr-defined]
    end.start()
    end.join(30)
    assert not end.is_alive()


@pytest.mark.slow
def test_a_stop_of_the_whole_process_group_keeps_the_checkpoint(tmp_path: Path) -> None:
    example = REPOSITORY / "examples/kinds_of_data"
    command = [
        *(sys.executable, str(REPOSITORY / "train.py"), "--config-dir", str(example / "conf"), "experiment=streamed"),
        *(
            "trainer.epochs=1000",
            "tracking=none",
            f"hydra.run.dir={tmp_path / 'job'}",
            "trainer.checkpoint_interval=999",
        ),
    ]
    environment = os.environ | {"PYTHONPATH": str(example)}
    process = subprocess.Popen(command, env=environment, cwd=tmp_path, start_new_session=True)
    try:
        while not read_metrics(tmp_path / "job"):
            assert process.poll() is None
            time.sleep(0.1)
        os.killpg(process.pid, signal.SIGTERM)
        assert process.wait(60) == 143
    finally:
        process.kill()
    result = json.loads((tmp_path / "job/result.json").read_text())
    assert (result["status"], result["error"]) == ("interrupted", None)
    assert (tmp_path / "job/checkpoint.pt").exists()


def test_data_larger_than_memory_are_streamed() -> None:
    items = streamed(Digits(LARGE), Digits()).train
    inputs, targets = items.read([LARGE - 7])
    assert isinstance(inputs, Tensor)
    assert (len(items), targets.tolist()) == (LARGE, [(LARGE - 7) % 10])
