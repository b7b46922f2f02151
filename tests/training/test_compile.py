"""Compiled steps and CUDA graphs: when they are used, compiled code shared by jobs, and fallbacks."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mnist_resnet.config.identity import identity
from mnist_resnet.config.schema import Config
from mnist_resnet.config.signature import signature
from mnist_resnet.job_folder import RESULT, read_json
from mnist_resnet.jobs.checkpoint import Checkpoints
from mnist_resnet.jobs.packed_state import pack, unpack
from mnist_resnet.jobs.signals import Interrupt, Interrupted
from mnist_resnet.training import compile as compilation
from mnist_resnet.training.compile import Gain, decide, set_up
from mnist_resnet.training.loop import train
from mnist_resnet.training.numerics import Numerics
from mnist_resnet.training.training_run import Training, predict
from tests.small_training import (
    REPOSITORY,
    SIGNATURE,
    SMALL,
    differences,
    new_training,
    resolved,
    small,
    trained,
    unsaved,
)
from tests.training.test_resume import AtCheck

CPU, CUDA = Numerics("cpu", "fp32", 1), Numerics("cuda", "bf16", 1)


def decided_form(numerics: Numerics, *overrides: str, steps: int = 10_000, network: str = "new") -> tuple[bool, bool]:
    decided, _ = decide(small(*overrides).trainer, numerics, steps, network)
    return decided.compiled, decided.graphed


def test_auto_does_not_compile_where_there_is_no_gain() -> None:
    assert decided_form(CPU, steps=10**9) == (False, False)


def test_auto_weighs_the_steps_against_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compilation.GAINS, ("cpu", "fp32"), Gain(saved=0.01, warm_up=50.0))
    assert decided_form(CPU, steps=4_999) == (False, False)
    assert decided_form(CPU, steps=5_001) == (True, False)
    monkeypatch.setattr(compilation, "_compiled_networks", {"known"})
    assert decided_form(CPU, steps=1, network="known") == (True, False)


def test_auto_gives_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compilation.GAINS, ("cpu", "fp32"), Gain(saved=0.01, warm_up=50.0))
    reason = decide(small().trainer, CPU, 10_000, "new")[1]
    assert reason == "compiling saves 100 s of 10,000 steps, and takes 50 s"
    assert "not measured" in decide(small().trainer, CUDA, 10_000, "new")[1]
    assert "saved nothing" in decide(small().trainer, Numerics("cpu", "bf16", 1), 10_000, "new")[1]


def test_auto_uses_a_graph_for_longer_runs_on_cuda() -> None:
    assert decided_form(CUDA) == (False, True)
    assert decided_form(CUDA, steps=10) == (False, False)
    assert decided_form(CUDA, "trainer.detect_anomaly=true") == (False, False)


def test_compile_can_be_forced_on_or_off() -> None:
    assert decided_form(CPU, "trainer.compile=true", steps=1) == (True, False)
    assert decided_form(CUDA, "trainer.compile=true", steps=1) == (True, True)
    assert decided_form(CUDA, "trainer.compile=false") == (False, False)


def test_compile_makes_another_job_of_the_same_experiment_and_a_resumed_job_keeps_its_form() -> None:
    assert signature(resolved()) == signature(resolved("trainer.compile=true"))
    assert identity(resolved()) != identity(resolved("trainer.compile=true"))
    training = new_training(small("trainer.compile=true"))
    assert set_up(training, is_settled=True) == ([], "")
    assert not training.numerics.compiled


def test_failed_graph_falls_back_to_eager_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("for machines without CUDA")
    training = new_training(small())
    training.numerics = Numerics("cpu", "fp32", 1, graphed=True)
    notes, _ = set_up(training, is_settled=True)
    assert [note.partition(":")[0] for note in notes] == ["no CUDA graph"]
    assert not training.numerics.graphed
    train(training, [], unsaved(), Interrupt())
    assert differences(training, trained(small())) == []


class InMemoryCheckpoints(Checkpoints):
    """Checkpoints that keep the state in memory instead of writing it."""

    state: dict[str, Any] = {}  # noqa: RUF012 (only one at a time)

    def __init__(self) -> None:
        super().__init__(Path(), SIGNATURE, 1e9, None, lambda: None)

    def write_now(self, state: Callable[[], dict[str, Any]]) -> None:
        InMemoryCheckpoints.state = pack(state())


needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")


@pytest.fixture(scope="module")
def compiled() -> Iterator[Training]:
    """Return a run whose network has been compiled in this process; it has batch norm and dropout."""
    training = new_training(CONFIG)
    assert set_up(training, is_settled=False) == ([], "")
    yield training
    torch._dynamo.reset()


CONFIG: Config = small("trainer.compile=true", "model.blocks=[2]", "trainer.precision=bf16")


def new_compiled_training(config: Config) -> Training:
    training = new_training(config)
    assert set_up(training, is_settled=False) == ([], "")
    assert training.numerics.compiled
    return training


@needs_compiler
def test_later_jobs_with_the_same_network_and_smaller_batches_do_not_recompile(compiled: Training) -> None:
    from torch._dynamo.utils import counters

    before = counters["stats"]["unique_graphs"]
    assert before > 0
    for overrides in ((), ("seed=2", "optim=sgd", "schedule=cosine")):
        other = new_compiled_training(
            small("trainer.compile=true", "model.blocks=[2]", "trainer.precision=bf16", *overrides)
        )
        train(other, [], unsaved(), Interrupt())
    assert counters["stats"]["unique_graphs"] == before
    assert counters["stats"].get("graph_break", 0) == 0


@needs_compiler
def test_compiled_run_resumed_within_an_epoch_ends_bitwise_equal(
    compiled: Training,
) -> None:
    train(whole := new_compiled_training(CONFIG), [], unsaved(), Interrupt())
    first = new_compiled_training(CONFIG)
    with pytest.raises(Interrupted):
        train(first, [], InMemoryCheckpoints(), AtCheck(2))
    second = new_training(CONFIG)
    second.restore(unpack(InMemoryCheckpoints.state))
    assert set_up(second, is_settled=False) == ([], "")
    assert (second.epoch, second.step) == (0, 2)
    train(second, [], unsaved(), Interrupt())
    assert differences(whole, second) == []
    eager = trained(small("model.blocks=[2]", "trainer.precision=bf16"))
    assert "history" in differences(whole, eager)


def broken(graph: Any, inputs: Any) -> Any:
    raise RuntimeError("no code for this\nnetwork")


@needs_compiler
def test_failed_compilation_falls_back_to_eager_with_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "_compiled_predict", lambda: torch.compile(predict, dynamic=False, backend=broken))
    training = new_training(small("trainer.compile=true"))
    (note,), _ = set_up(training, is_settled=False)
    assert note.startswith("not compiled: ")
    assert "no code for this network" in note
    assert not training.numerics.compiled
    train(training, [], unsaved(), Interrupt())
    assert differences(training, trained(small())) == []


@pytest.mark.slow
def test_without_a_compiler_the_run_is_eager_with_a_note(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "train.py"), *SMALL, "trainer.compile=true", "sweep.keep=none"],
        cwd=tmp_path,
        env=os.environ | {"PATH": str(tmp_path), "CXX": "/nowhere/g++"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "not compiled: there is no C++ compiler" in done.stdout
    (folder,) = tmp_path.glob("outputs/*/*")
    result = read_json(folder / RESULT)
    assert result["numerics"]["compiled"] is False
    assert [note for note in result["notes"] if note.startswith("not compiled")]
