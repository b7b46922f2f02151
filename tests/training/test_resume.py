"""Interrupted runs: however they ended, they resume and end bitwise equal to an uninterrupted run."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from mnist_resnet.config.schema import Config
from mnist_resnet.job_folder import (
    BATCH_LOSSES,
    CHECKPOINT,
    LOG,
    PREVIOUS_CHECKPOINT,
    RESULT,
    TRACED_MODEL,
    read_json,
    read_metrics,
)
from mnist_resnet.jobs.checkpoint import Checkpoints, load_checkpoint
from mnist_resnet.jobs.signals import Interrupt, Interrupted
from mnist_resnet.training.loop import train
from mnist_resnet.training.training_run import Training
from tests.small_training import (
    REPOSITORY,
    SIGNATURE,
    SMALL,
    RecordingCallback,
    differences,
    different_tensors,
    new_training,
    small,
    trained,
    without_times,
)

KINDS = {
    "adam with dropout": (),
    "cosine": ("schedule=cosine",),
    "onecycle, adamw": ("schedule=onecycle", "optim=adamw"),
    "sgd with momentum": ("optim=sgd", "schedule=cosine", "trainer.checkpoint_every=2"),
    "in mid-epoch": ("trainer.checkpoint_every=1",),
    "held-out images": ("data.val_size=30", "model.block_norm=after_every"),
    "bf16": ("trainer.precision=bf16",),
    "elastic, smooth labels, moving average": (
        *("augmentation=elastic", "loss=label_smoothing", "averaging=ema", "trainer.checkpoint_every=1"),
    ),
    "augmentation and dropout of their own": (
        *(
            "augmentation=affine",
            "seeds.augmentation=4",
            "seeds.dropout=2",
            "seeds.init=3",
            "trainer.checkpoint_every=1",
        ),
    ),
    "batch norm's statistics anew": ("averaging=precise_batch_norm", "averaging.batches=2", "data.shuffle=false"),
    "translate, average of the tail": ("augmentation=translate", "averaging=swa", "averaging.share=0.6"),
}


class AtCheck(Interrupt):
    """Requests a stop just before the n-th check, which follows a step or precedes a batch of an evaluation."""

    def __init__(self, count: int) -> None:
        super().__init__()
        self.left = count

    def check(self) -> None:
        self.left -= 1
        if self.left == 0:
            self.requested = signal.SIGTERM
        super().check()


class AtBatch(RecordingCallback):
    """Calls `act` when a certain batch is reported."""

    def __init__(self, epoch: int, step: int, act: Callable[[], Any]) -> None:
        super().__init__()
        self.at, self.act = (epoch, step), act

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        super().batch(epoch, step, loss, accuracy)
        if (epoch, step) == self.at:
            self.act()


def checkpoints_in(folder: Path, config: Config, interval: float = 0) -> Checkpoints:
    return Checkpoints(folder, SIGNATURE, interval, config.trainer.checkpoint_every, lambda: None)


def restored(config: Config, folder: Path) -> tuple[Training, list[str]]:
    training = new_training(config)
    state, notes = load_checkpoint(folder, SIGNATURE)
    if state is not None:
        training.restore(state)
    return training, notes


def resume(config: Config, folder: Path, interrupt: Interrupt, *callbacks: RecordingCallback) -> Training:
    training, _ = restored(config, folder)
    checkpoints = checkpoints_in(folder, config)
    with checkpoints.closing():
        train(training, callbacks, checkpoints, interrupt)
    return training


@pytest.mark.parametrize("kind", KINDS)
def test_run_interrupted_repeatedly_ends_bitwise_equal_to_an_uninterrupted_run(kind: str, tmp_path: Path) -> None:
    config, draw = small(*KINDS[kind]), random.Random(kind)
    positions = []
    for _ in range(100):
        try:
            training = resume(config, tmp_path, AtCheck(draw.randint(1, 9)))
            break
        except Interrupted:
            state, _ = load_checkpoint(tmp_path, SIGNATURE)
            assert state is not None
            positions.append((state["epoch"], state["step"]))
            torch.rand(draw.randint(1, 9))
    assert len(set(positions)) >= 2
    assert differences(trained(config), training) == []


@pytest.mark.parametrize("count", range(1, 15))
def test_run_can_be_interrupted_at_every_step_and_evaluation_batch(count: int, tmp_path: Path) -> None:
    config = small()  # four steps and three test batches make seven checks in each of two epochs
    with pytest.raises(Interrupted) as caught:
        resume(config, tmp_path, AtCheck(count))
    assert caught.value.exit_code == 143
    epoch, check = divmod(count - 1, 7)
    state, notes = load_checkpoint(tmp_path, SIGNATURE)
    assert state is not None
    assert (state["epoch"], state["step"], notes) == (epoch, min(check + 1, 4), [])
    callback = RecordingCallback()
    assert differences(uninterrupted(), resume(config, tmp_path, Interrupt(), callback)) == []
    expected = [(e, s) for e in range(2) for s in range(4) if (e, s) >= (epoch, min(check + 1, 4))]
    assert [(e, s) for e, s, _, _ in callback.batches] == expected, "each step is reported once"


@cache
def uninterrupted() -> Training:
    return trained(small())


def test_interrupt_during_a_step_lets_it_finish(tmp_path: Path) -> None:
    config, interrupt = small(), Interrupt()
    requester = AtBatch(1, 2, lambda: setattr(interrupt, "requested", signal.SIGINT))
    with pytest.raises(Interrupted, match="SIGINT") as caught:
        resume(config, tmp_path, interrupt, requester)
    assert caught.value.exit_code == 130
    training, _ = restored(config, tmp_path)
    assert (training.epoch, training.step) == (1, 3)
    assert differences(uninterrupted(), resume(config, tmp_path, Interrupt())) == []


@pytest.mark.parametrize(("epoch", "step"), [(0, 0), (0, 3), (1, 1), (1, 3)])
def test_crash_loses_only_the_work_after_the_last_checkpoint(epoch: int, step: int, tmp_path: Path) -> None:
    config = small("trainer.checkpoint_every=1")

    def crash() -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        resume(config, tmp_path, Interrupt(), AtBatch(epoch, step, crash))
    training, notes = restored(config, tmp_path)
    assert notes == []
    assert training.epoch <= epoch
    assert differences(uninterrupted(), resume(config, tmp_path, Interrupt())) == []


def test_truncated_checkpoint_falls_back_to_the_previous_one(tmp_path: Path) -> None:
    config = small()
    for count in (3, 8):
        with pytest.raises(Interrupted):
            resume(config, tmp_path, AtCheck(count))
    # A busy machine writes fewer checkpoints: how old the previous one is depends on that.
    newest, previous = tmp_path / CHECKPOINT, torch.load(tmp_path / PREVIOUS_CHECKPOINT, weights_only=False)
    newest.write_bytes(newest.read_bytes()[:-1000])
    training, notes = restored(config, tmp_path)
    assert ((training.epoch, training.step), len(notes)) == ((previous["epoch"], previous["step"]), 1)
    assert differences(uninterrupted(), resume(config, tmp_path, Interrupt())) == []


def test_run_restarts_if_both_checkpoints_are_damaged(tmp_path: Path) -> None:
    config = small()
    for count in (3, 3):
        with pytest.raises(Interrupted):
            resume(config, tmp_path, AtCheck(count))
    for name in (CHECKPOINT, PREVIOUS_CHECKPOINT):
        (tmp_path / name).write_bytes(b"torn")
    training, notes = restored(config, tmp_path)
    assert (training.epoch, training.step, len(notes)) == (0, 0, 2)
    assert differences(uninterrupted(), resume(config, tmp_path, Interrupt())) == []


def test_completed_run_with_a_constant_rate_continues_with_more_epochs(tmp_path: Path) -> None:
    resume(small(), tmp_path, Interrupt())
    longer = small("trainer.epochs=4")
    assert differences(trained(longer), resume(longer, tmp_path, Interrupt())) == []


def test_checkpoint_without_averaging_state_is_resumed(tmp_path: Path) -> None:
    config = small()
    with pytest.raises(Interrupted):
        resume(config, tmp_path, AtCheck(3))
    state, _ = load_checkpoint(tmp_path, SIGNATURE)
    assert state is not None
    del state["averaging"]
    training = new_training(config)
    training.restore(state)
    train(training, [], checkpoints_in(tmp_path, config), Interrupt())
    assert differences(uninterrupted(), training) == []


def test_seconds_include_all_attempts(tmp_path: Path) -> None:
    config = small()
    with pytest.raises(Interrupted):
        resume(config, tmp_path, AtCheck(3))
    training, _ = restored(config, tmp_path)
    before = training.seconds
    assert before > 0
    assert resume(config, tmp_path, Interrupt()).history[0]["seconds"] > before


def test_signals_are_caught_and_previous_handlers_are_restored() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with Interrupt().listening() as interrupt:
        interrupt.check()
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Interrupted) as caught:
            interrupt.check()
        assert caught.value.exit_code == 143
        signal.raise_signal(signal.SIGINT)
        assert interrupt.requested == signal.SIGINT
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_second_sigint_stops_at_once_and_keeps_the_last_checkpoint(tmp_path: Path) -> None:
    config, interrupt = small("trainer.checkpoint_every=1"), Interrupt()

    def press_twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with interrupt.listening(), pytest.raises(KeyboardInterrupt):
        resume(config, tmp_path, interrupt, AtBatch(1, 1, press_twice))
    training, notes = restored(config, tmp_path)
    assert notes == []
    assert training.epoch + training.step > 0
    assert differences(uninterrupted(), resume(config, tmp_path, Interrupt())) == []


SLOW = ("model._target_=tests.small_training.SlowResNet", "schedule=onecycle", "averaging=ema", "seed=3")
"""Overrides of a run of eight steps, which `SECONDS_A_STEP` can slow down so that a signal arrives during one."""


@contextmanager
def program(folder: Path, seconds_a_step: float) -> Iterator[subprocess.Popen[str]]:
    """Run `python train.py …`, always the same command in the same folder, and kill it at the end."""
    command = [sys.executable, str(REPOSITORY / "train.py"), *SMALL, *SLOW, f"hydra.run.dir={folder}"]
    command += ["trainer.checkpoint_interval=0", "trainer.checkpoint_every=1"]
    environment = os.environ | {"SECONDS_A_STEP": str(seconds_a_step), "OMP_NUM_THREADS": "1"}
    with (folder.parent / "output.txt").open("a") as output:
        process = subprocess.Popen(
            command, cwd=folder.parent, env=environment, stdout=output, stderr=subprocess.STDOUT, text=True
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for_batches(process: subprocess.Popen[str], folder: Path, count: int) -> None:
    """Wait until `train.log` has the lines of `count` batches."""
    deadline = time.monotonic() + 120
    while (folder / LOG).read_text().count("Train Epoch") < count if (folder / LOG).exists() else True:
        assert process.poll() is None, (folder.parent / "output.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def job_state(folder: Path) -> tuple[int, int]:
    state, notes = load_checkpoint(folder, read_json(folder / RESULT)["signature"])
    assert notes == []
    assert state is not None
    return state["epoch"], state["step"]


def test_same_command_resumes_after_signals_and_ends_bitwise_equal(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with program(folder, seconds_a_step=0.5) as process:
        wait_for_batches(process, folder, 2)
        process.send_signal(signal.SIGTERM)
        assert process.wait(120) == 143
    assert read_json(folder / RESULT)["status"] == "interrupted"
    assert (0, 2) <= job_state(folder) < (1, 0)

    with program(folder, seconds_a_step=0.5) as process:
        wait_for_batches(process, folder, 5)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) == 130
    assert read_json(folder / RESULT)["status"] == "interrupted"
    after_sigint = job_state(folder)
    assert after_sigint >= (1, 1)

    with program(folder, seconds_a_step=600) as process:
        wait_for_a_long_step(process, folder)
        process.send_signal(signal.SIGINT)
        time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        assert process.wait(120) in (130, -signal.SIGINT)
    assert job_state(folder) == after_sigint

    with program(folder, seconds_a_step=0) as process:
        assert process.wait(120) == 0, (tmp_path / "output.txt").read_text()
    compare_with_uninterrupted(folder)


def wait_for_a_long_step(process: subprocess.Popen[str], folder: Path) -> None:
    """Wait until the program has logged that it resumes, and then until it is certainly within a step of minutes."""
    deadline = time.monotonic() + 120
    earlier = (folder / LOG).read_text().count("resumes after")
    while (folder / LOG).read_text().count("resumes after") == earlier:
        assert process.poll() is None, (folder.parent / "output.txt").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    time.sleep(1)


def compare_with_uninterrupted(folder: Path) -> None:
    result = read_json(folder / RESULT)
    assert result["status"] == "completed"
    assert [attempt["status"] for attempt in result["attempts"]] == ["interrupted"] * 3 + ["completed"]
    training = trained(small(*SLOW))
    saved = torch.jit.load(str(folder / TRACED_MODEL)).state_dict()  # type: ignore[no-untyped-call]
    assert different_tensors(training.averaging.model.state_dict(), dict(saved), "model") == []
    assert json.loads(json.dumps(without_times(training.history))) == without_times(read_metrics(folder))
    assert numpy.load(folder / BATCH_LOSSES).tolist() == torch.cat(training.batch_losses).tolist()
