"""Random generators are seeded together, and go on where they stood."""

import random
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch

from mnist_resnet.jobs.checkpoint import Checkpoints, load_checkpoint
from mnist_resnet.jobs.random_states import random_states, seed_everything, set_random_states


def draws() -> list[Any]:
    return [
        random.random(),
        random.gauss(0, 1),
        numpy.random.rand(),
        numpy.random.standard_normal(),
        torch.rand(2).tolist(),
        torch.randn(3).tolist(),
    ]


def test_the_generators_of_python_numpy_and_torch_go_on_where_they_stood(tmp_path: Path) -> None:
    seed_everything(5)
    draws()
    random.gauss(0, 1)  # every other normal number is kept back by Python and NumPy, and is part of the state
    checkpoints = Checkpoints(tmp_path, "my job", interval=0.0, every=None, may_write=lambda: None)
    checkpoints.write_now(lambda: {"random": random_states("cpu")})
    expected = draws()
    seed_everything(6)
    state, _ = load_checkpoint(tmp_path, "my job")
    assert state is not None
    set_random_states(state["random"], "cpu")
    assert draws() == expected


def test_a_seed_starts_all_generators() -> None:
    seed_everything(2**32 - 1)
    expected = draws()
    seed_everything(1)
    assert not any(one == other for one, other in zip(draws(), expected, strict=True))
    seed_everything(2**32 - 1)
    assert draws() == expected


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_the_generator_of_a_cuda_device_goes_on_where_it_stood() -> None:
    device = f"cuda:{torch.cuda.device_count() - 1}"
    states = random_states(device)
    expected = torch.rand(5, device=device)
    set_random_states(states, device)
    assert torch.equal(torch.rand(5, device=device), expected)
