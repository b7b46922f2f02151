"""The step's form: decided by what it gains, compiled once for all jobs of a process, left out where it can't be."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from mnist_resnet.config.schema import Config
from mnist_resnet.config.signature import identity
from mnist_resnet.job_folder import RESULT, read_json
from mnist_resnet.jobs.checkpoint import Checkpoints, on_cpu
from mnist_resnet.jobs.signals import Interrupt, Interrupted
from mnist_resnet.training import compile as compilation
from mnist_resnet.training.compile import Gain, decide, set_up
from mnist_resnet.training.loop import Training, predict, train
from mnist_resnet.training.numerics import Numerics
from tests.small_training import REPOSITORY, SIGNATURE, SMALL, begun, differences, resolved, small, trained, unsaved
from tests.training.test_resume import AtCheck

CPU, CUDA = Numerics("cpu", "fp32", 1), Numerics("cuda", "bf16", 1)


def form(numerics: Numerics, *overrides: str, steps: int = 10_000, network: str = "new") -> tuple[bool, bool]:
    decided, _ = decide(small(*overrides).trainer, numerics, steps, network)
    return decided.compiled, decided.graphed


def test_nothing_is_compiled_where_it_gains_nothing() -> None:
    assert form(CPU, steps=10**9) == (False, False)


def test_steps_to_come_are_weighed_against_warming_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compilation.GAINS, ("cpu", "fp32"), Gain(saved=0.01, warm_up=50.0))
    assert form(CPU, steps=4_999) == (False, False)
    assert form(CPU, steps=5_001) == (True, False)
    monkeypatch.setattr(compilation, "_compiled_networks", {"known"})
    assert form(CPU, steps=1, network="known") == (True, False)


def test_auto_says_what_it_decided_by(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(compilation.GAINS, ("cpu", "fp32"), Gain(saved=0.01, warm_up=50.0))
    why = decide(small().trainer, CPU, 10_000, "new")[1]
    assert why == "compiling saves 100 s of 10,000 steps, and takes 50 s"
    assert "not measured" in decide(small().trainer, CUDA, 10_000, "new")[1]
    assert "saved nothing" in decide(small().trainer, Numerics("cpu", "bf16", 1), 10_000, "new")[1]


def test_on_cuda_a_run_of_some_length_becomes_a_graph() -> None:
    assert form(CUDA) == (False, True)
    assert form(CUDA, steps=10) == (False, False)
    assert form(CUDA, "trainer.detect_anomaly=true") == (False, False)


def test_it_can_be_forced_either_way() -> None:
    assert form(CPU, "trainer.compile=true", steps=1) == (True, False)
    assert form(CUDA, "trainer.compile=true", steps=1) == (True, True)
    assert form(CUDA, "trainer.compile=false") == (False, False)


def test_what_is_asked_for_moves_no_job_and_one_that_goes_on_keeps_its_form() -> None:
    assert identity(resolved()) == identity(resolved("trainer.compile=true"))
    training = begun(small("trainer.compile=true"))
    assert set_up(training, is_settled=True) == ([], "")
    assert not training.numerics.compiled


def test_a_graph_that_can_t_be_had_is_left_out_with_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        pytest.skip("for machines without CUDA")
    training = begun(small())
    training.numerics = Numerics("cpu", "fp32", 1, graphed=True)
    lines, _ = set_up(training, is_settled=True)
    assert [line.partition(":")[0] for line in lines] == ["no CUDA graph"]
    assert not training.numerics.graphed
    train(training, [], unsaved(), Interrupt())
    assert differences(training, trained(small())) == []


class Kept(Checkpoints):
    """Keeps the state instead of writing it."""

    state: dict[str, Any] = {}  # noqa: RUF012 (of the one that a test has)

    def __init__(self) -> None:
        super().__init__(Path(), SIGNATURE, 1e9, None, lambda: None)

    def write_now(self, state: Callable[[], dict[str, Any]]) -> None:
        Kept.state = on_cpu(state())


needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")


@pytest.fixture(scope="module")
def compiled() -> Iterator[Training]:
    """A training of whose network the code is compiled now; the batch norms and dropout of the report's are in it."""
    training = begun(CONFIG)
    assert set_up(training, is_settled=False) == ([], "")
    yield training
    torch._dynamo.reset()


CONFIG: Config = small("trainer.compile=true", "model.blocks=[2]", "trainer.precision=bf16")


def again(config: Config) -> Training:
    training = begun(config)
    assert set_up(training, is_settled=False) == ([], "")
    assert training.numerics.compiled
    return training


@needs_compiler
def test_further_jobs_of_a_network_and_their_smaller_batches_compile_nothing(compiled: Training) -> None:
    from torch._dynamo.utils import counters

    before = counters["stats"]["unique_graphs"]
    assert before > 0
    for overrides in ((), ("seed=2", "optim=sgd", "schedule=cosine")):
        other = again(small("trainer.compile=true", "model.blocks=[2]", "trainer.precision=bf16", *overrides))
        train(other, [], unsaved(), Interrupt())
    assert counters["stats"]["unique_graphs"] == before
    assert counters["stats"].get("graph_break", 0) == 0


@needs_compiler
def test_a_compiled_run_that_was_interrupted_in_mid_epoch_ends_in_the_bits_of_one_that_was_not(
    compiled: Training,
) -> None:
    train(whole := again(CONFIG), [], unsaved(), Interrupt())
    first = again(CONFIG)
    with pytest.raises(Interrupted):
        train(first, [], Kept(), AtCheck(2))
    second = begun(CONFIG)
    second.restore(Kept.state)
    assert set_up(second, is_settled=False) == ([], "")
    assert (second.epoch, second.step) == (0, 2)
    train(second, [], unsaved(), Interrupt())
    assert differences(whole, second) == []
    eager = trained(small("model.blocks=[2]", "trainer.precision=bf16"))
    assert "history" in differences(whole, eager)


def broken(graph: Any, inputs: Any) -> Any:
    raise RuntimeError("no code for this\nnetwork")


@needs_compiler
def test_what_the_compiler_fails_at_is_trained_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilation, "_compiled_predict", lambda: torch.compile(predict, dynamic=False, backend=broken))
    training = begun(small("trainer.compile=true"))
    (line,), _ = set_up(training, is_settled=False)
    assert line.startswith("not compiled: ")
    assert "no code for this network" in line
    assert not training.numerics.compiled
    train(training, [], unsaved(), Interrupt())
    assert differences(training, trained(small())) == []


@pytest.mark.slow
def test_without_a_compiler_it_falls_back_and_says_so(tmp_path: Path) -> None:
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
