"""A recipe's trial: what it computes with, and that the process is as before it."""

import pytest
import torch
from torch import Tensor

from mnist_resnet.errors import UsageError
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


def without_images(logits: Tensor, _: Tensor) -> float:
    return len(logits) / 0


def test_an_error_in_the_users_code_is_told_with_its_type_and_place() -> None:
    metric = f"+training.metrics.share={{_target_: {__name__}.without_images, _partial_: true}}"
    with pytest.raises(UsageError, match=r"without_images: ZeroDivisionError: .*by zero \(test_recipe.py, line \d+\)$"):
        try_recipe(small(metric))
