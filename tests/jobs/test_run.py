"""Running a job: what it leaves if another process takes it over while it runs."""

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mnist_resnet.attempts import LeaseMonitor, attempt_file
from mnist_resnet.config.allowed_targets import allow
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.signature import signature
from mnist_resnet.job_folder import Metrics
from mnist_resnet.jobs.crash import RetryBudget
from mnist_resnet.jobs.run import ProcessContext, run_job
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.models.warm_start import warm_started
from mnist_resnet.tracking.callback import RunInfo
from mnist_resnet.tracking.console import ProgressConsole
from tests.data.test_kinds_of_data import KINDS
from tests.small_training import resolved

EPOCHS = 3
STEPS = 4


class Tracker:
    """Records which of its methods were called, in the class: the job builds its own instance."""

    calls: ClassVar[list[str]] = []

    def __init__(self, mode: str = "auto") -> None:
        pass

    def begin(self, run: RunInfo) -> None:
        self.calls.append("begin")

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        self.calls.append("batch")

    def epoch(self, metrics: Metrics) -> None:
        self.calls.append("epoch")

    def end(self, result: dict[str, Any]) -> None:
        self.calls.append("end")

    def lost(self) -> None:
        self.calls.append("lost")


class TakenOver:
    """A callback at whose `step` another machine takes the job over."""

    def __init__(self, folder: Path, step: int) -> None:
        self._folder, self._step, self._calls = folder, step, 0

    def begin(self, run: RunInfo) -> None:
        pass

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        if epoch * STEPS + step == self._step:
            record = {"format": 1, "number": 2, "owner": "x", "host": "elsewhere", "pid": 7, "ended": None}
            attempt_file(self._folder, 2).write_text(json.dumps(record))
            self.left = _content(self._folder)

    def epoch(self, metrics: Metrics) -> None:
        pass

    def end(self, result: dict[str, Any]) -> None:
        pass


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("step", [1, STEPS - 1, EPOCHS * STEPS - 1])
def test_a_job_that_was_taken_over_writes_nothing_more(
    step: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mnist_resnet.jobs.lease.VERIFY_AFTER", 0.0)
    Tracker.calls = []
    config = resolved(f"trainer.epochs={EPOCHS}", "trainer.checkpoint_every=1000", "sweep.keep=model")
    config = config | {"tracking": {"_target_": f"{__name__}.Tracker", "mode": "auto"}}
    allow(config)
    folder, take_over = tmp_path / "job", TakenOver(tmp_path / "job", step)
    with ProgressConsole() as progress:
        context = ProcessContext(progress, Interrupt(), callbacks=[take_over])
        assert run_job(JobSpec("job", config, [], {}, {}, signature(config)), folder, context) is None
    assert _content(folder) == take_over.left
    assert "taken over by process 7 on elsewhere" in capsys.readouterr().out
    assert Tracker.calls[-1] == "lost"
    assert "end" not in Tracker.calls
    assert Tracker.calls.count("batch") == step + 1
    assert not (folder / "model.pt").exists()


def _refuse(*_: Any) -> None:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


def test_attempts_that_cannot_be_listed_lose_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnist_resnet.jobs.result_writer.attempts", _refuse)
    config = resolved("trainer.epochs=1")
    with ProgressConsole() as progress:
        job = JobSpec("job", config, [], {}, {}, signature(config))
        result = run_job(job, tmp_path / "job", ProcessContext(progress, Interrupt()))
    assert result is not None
    assert (result["status"], result["attempts"]) == ("completed", [])


def test_job_whose_crashes_cannot_be_counted_fails_and_the_launch_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_resnet.jobs.crash.attempts", _refuse)
    config = resolved("trainer.epochs=1")
    with ProgressConsole() as progress:
        job = JobSpec("job", config, [], {}, {}, signature(config))
        result = run_job(job, tmp_path / "job", ProcessContext(progress, Interrupt()), retries=RetryBudget(0, 2))
    assert result is not None
    assert (result["status"], result["error"]["message"]) == ("failed", "Input/output error")
    assert LeaseMonitor().state(tmp_path / "job") == "released"


class Branching(nn.Linear):
    """A network that PyTorch can't export: what it computes depends on the values of the images."""

    def __init__(self) -> None:
        super().__init__(784, 10)

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(images.flatten(1)) * (1 if images.mean().item() > 0 else 2)


@pytest.mark.parametrize(
    ("nodes", "network", "note"),
    [
        ({"model": {"_target_": f"{__name__}.Branching"}}, Branching(),
         f"model._target_={__name__}.Branching: weights.pt has the trained weights, "),
        (KINDS["numbers"], nn.Linear(4, 2), "no predictions and no model file are written: "),
    ],
)  # fmt: skip
def test_weights_without_a_model_file_are_kept_which_is_said_in_one_line(
    nodes: dict[str, Any], network: nn.Module, note: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = resolved("trainer.epochs=1")
    if "data" in nodes:
        nodes = nodes | {"data": {"batch_size": 32, "test_batch_size": 20} | nodes["data"]}
    allow(config := config | nodes)
    with ProgressConsole() as progress:
        job = JobSpec("job", config, [], {}, {}, signature(config))
        result = run_job(job, tmp_path / "job", ProcessContext(progress, Interrupt()))
    assert result is not None
    assert result["status"] == "completed"
    shown = capfd.readouterr()
    assert shown.err == ""
    lines = shown.out.splitlines()
    assert lines[-1].startswith(f"  Note: {note}")
    assert len(lines) == 4, lines
    if isinstance(network, Branching):
        assert lines[-1].endswith(f"(test_run.py, line {Branching.forward.__code__.co_firstlineno + 1})")
    file = tmp_path / "job" / "weights.pt"
    warm_started(network, str(file), hashlib.sha256(file.read_bytes()).hexdigest())
    assert all(torch.equal(network.state_dict()[key], value) for key, value in torch.load(file).items())
    assert not (tmp_path / "job" / "model.pt").exists()


class Hoarding(LambdaLR):
    """A schedule whose `state_dict` holds an object of its own."""

    def __init__(self, optimizer: Optimizer, total_steps: int) -> None:
        self.owner = Path(str(total_steps))
        super().__init__(optimizer, lambda _: 1.0)


def test_a_state_that_can_not_be_restored_is_shown_and_noted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = resolved("trainer.checkpoint_every=1", "sweep.keep=checkpoint")
    config = config | {"schedule": {"_target_": f"{__name__}.Hoarding", "_partial_": True}}
    allow(config)
    with ProgressConsole() as progress:
        spec = JobSpec("job", config, [], {}, {}, signature(config))
        result = run_job(spec, tmp_path / "job", ProcessContext(progress, Interrupt()))
    assert result is not None
    assert result["status"] == "completed", result["error"]
    (note,) = result["notes"]
    assert note.startswith("no checkpoints, a job that is interrupted starts over: schedule.owner is of type ")
    assert " ".join(capsys.readouterr().out.split()).count("no checkpoints, a job that is interrupted") == 1
    assert not (tmp_path / "job" / "checkpoint.pt").exists()
