"""A recipe's trial: what it computes with, and that the process is as before it."""

import torch
from torch import Tensor

from mnist_resnet.training.recipe import try_recipe
from tests.small_training import small

METRIC = f"+training.metrics.threads={{_target_: {__name__}.threads, _partial_: true}}"
SEEN: list[int] = []


def threads(logits: Tensor, _: Tensor) -> float:
    SEEN.append(torch.get_num_threads())
    return logits.mean().item()


def test_a_trial_computes_with_one_thread_whatever_else_keeps_the_cores_busy_and_leaves_the_process_as_it_was() -> None:
    before, state = torch.get_num_threads(), torch.get_rng_state()
    torch.set_num_threads(3)
    try:
        try_recipe(small(METRIC))
        assert SEEN == [1]
        assert torch.get_num_threads() == 3
        assert torch.equal(torch.get_rng_state(), state)
    finally:
        torch.set_num_threads(before)
