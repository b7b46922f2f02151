"""Numerics: settled once, set for each job anew, and used again when a job goes on."""

import json

import pytest
import torch

from mnist_resnet.errors import UsageError
from mnist_resnet.training.async_metrics import AsyncMetrics
from mnist_resnet.training.numerics import THREADS, Numerics, resolve, resume
from tests.small_training import small

HAS_CUDA = torch.cuda.is_available()
needs_cuda = pytest.mark.skipif(not HAS_CUDA, reason="needs a CUDA device")
without_cuda = pytest.mark.skipif(HAS_CUDA, reason="needs a machine without CUDA")


def asked(*overrides: str) -> Numerics:
    return resolve(small(*overrides).trainer)


def test_what_was_asked_for_is_used_and_stored_as_json() -> None:
    numerics = asked("trainer.threads=2", "trainer.precision=bf16")
    assert json.loads(json.dumps(numerics.as_dict())) == {
        "device": "cpu",
        "precision": "bf16",
        "threads": 2,
        "compiled": False,
        "graphed": False,
    }
    assert str(numerics) == "cpu, bf16, 2 threads, eager"
    assert str(asked()) == "cpu, fp32, 1 thread, eager"


def test_auto_is_settled() -> None:
    numerics = asked("trainer.device=auto", "trainer.precision=auto", "trainer.threads=null")
    assert numerics.device in ("cuda", "mps", "cpu")
    assert numerics.precision in ("fp32", "bf16")
    assert numerics.threads == THREADS


def test_a_job_without_a_wish_does_not_inherit_the_threads_of_the_one_before() -> None:
    asked(f"trainer.threads={THREADS + 1}").apply()
    assert torch.get_num_threads() == THREADS + 1
    asked("trainer.threads=null").apply()
    assert torch.get_num_threads() == THREADS


def test_a_job_overwrites_the_precision_of_the_one_before() -> None:
    Numerics("cuda", "tf32", 1).apply()
    assert torch.backends.cuda.matmul.allow_tf32
    Numerics("cuda", "fp32", 1).apply()
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_forward_passes_run_as_precisely_as_was_asked(precision: str, dtype: torch.dtype) -> None:
    with Numerics("cpu", precision, 1).autocast():
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype


@without_cuda
@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("trainer.device=cuda", "trainer.device=cuda: not on this machine"),
        ("trainer.device=cuda:7", "trainer.device=cuda:7: not on this machine"),
        ("trainer.precision=tf32", "trainer.precision=tf32: only CUDA devices since Ampere"),
    ],
)
def test_what_this_machine_lacks_is_refused_in_one_line(override: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        asked(override)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_job_goes_on_with_the_numerics_that_it_began_with() -> None:
    began = Numerics("cpu", "bf16", THREADS + 2)
    assert resume(began.as_dict()) == (began, [])


@without_cuda
@pytest.mark.parametrize("began", [Numerics("cuda", "tf32", 3), Numerics("cuda:1", "bf16", 3)])
def test_a_job_that_began_on_another_device_goes_on_and_says_so(began: Numerics) -> None:
    given, notes = resume(began.as_dict())
    assert given.device in ("cpu", "mps")
    assert given.threads == 3
    assert given.precision != "tf32"
    (note,) = notes
    assert str(began) in note
    assert str(given) in note
    assert "\n" not in note


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
def test_late_reports_come_each_once_and_in_order_whatever_happens_to_the_tensors_after(device: str) -> None:
    late = AsyncMetrics(device)
    loss, correct = torch.zeros((), device=device), torch.zeros((), dtype=torch.int64, device=device)
    found = []
    for step in range(50):
        loss.fill_(step / 4)
        correct.fill_(step * 1000)
        late.put(step, loss, correct)
        found += list(late.arrived())
    loss.fill_(-1)
    correct.fill_(-1)
    found += list(late.wait_for_rest())
    assert found == [(step, step / 4, step * 1000) for step in range(50)]
    assert list(late.wait_for_rest()) == []
