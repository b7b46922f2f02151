"""Numerics: resolved once, applied for each job, and used again when a job resumes."""

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


def resolved(*overrides: str) -> Numerics:
    return resolve(small(*overrides).trainer)


def test_numerics_follow_the_config_and_are_stored_as_json() -> None:
    numerics = resolved("trainer.threads=2", "trainer.precision=bf16")
    assert json.loads(json.dumps(numerics.as_dict())) == {
        "device": "cpu",
        "precision": "bf16",
        "threads": 2,
        "compiled": False,
        "graphed": False,
        "convolutions": "",
    }
    assert str(numerics) == "cpu, bf16, 2 threads, eager"
    assert str(resolved()) == "cpu, fp32, 1 thread, eager"


def test_auto_is_resolved() -> None:
    numerics = resolved("trainer.device=auto", "trainer.precision=auto", "trainer.threads=null")
    assert numerics.device in ("cuda", "mps", "cpu")
    assert numerics.precision in ("fp32", "bf16")
    assert numerics.threads == THREADS


def test_job_without_threads_does_not_inherit_those_of_the_previous_job() -> None:
    resolved(f"trainer.threads={THREADS + 1}").apply()
    assert torch.get_num_threads() == THREADS + 1
    resolved("trainer.threads=null").apply()
    assert torch.get_num_threads() == THREADS


def test_job_overwrites_the_precision_of_the_previous_job() -> None:
    Numerics("cuda", "tf32", 1).apply()
    assert torch.backends.cuda.matmul.allow_tf32
    Numerics("cuda", "fp32", 1).apply()
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(("precision", "dtype"), [("fp32", torch.float32), ("bf16", torch.bfloat16)])
def test_forward_passes_run_in_the_configured_precision(precision: str, dtype: torch.dtype) -> None:
    with Numerics("cpu", precision, 1).autocast():
        assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == dtype


@without_cuda
@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("trainer.device=cuda", "trainer.device=cuda: not on this machine"),
        ("trainer.device=cuda:7", "trainer.device=cuda:7: not on this machine"),
        ("trainer.precision=tf32", "trainer.precision=tf32: only CUDA devices since Ampere"),
    ],
)
def test_unavailable_device_or_precision_is_a_one_line_error(override: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolved(override)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_job_resumes_with_its_recorded_numerics() -> None:
    original = Numerics("cpu", "bf16", THREADS + 2)
    assert resume(original.as_dict()) == (original, [])


@without_cuda
@pytest.mark.parametrize("original", [Numerics("cuda", "tf32", 3), Numerics("cuda:1", "bf16", 3)])
def test_job_resumes_on_another_device_with_a_note(original: Numerics) -> None:
    resumed, notes = resume(original.as_dict())
    assert resumed.device in ("cpu", "mps")
    assert resumed.threads == 3
    assert resumed.precision != "tf32"
    (note,) = notes
    assert str(original) in note
    assert str(resumed) in note
    assert "\n" not in note


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])
def test_asynchronous_metrics_arrive_once_in_order_and_with_the_values_at_the_time(device: str) -> None:
    metrics = AsyncMetrics(device)
    loss, correct = torch.zeros((), device=device), torch.zeros((), dtype=torch.int64, device=device)
    received = []
    for step in range(50):
        loss.fill_(step / 4)
        correct.fill_(step * 1000)
        metrics.put(step, loss, correct)
        received += list(metrics.arrived())
    loss.fill_(-1)
    correct.fill_(-1)
    received += list(metrics.wait_for_rest())
    assert received == [(step, step / 4, step * 1000) for step in range(50)]
    assert list(metrics.wait_for_rest()) == []
