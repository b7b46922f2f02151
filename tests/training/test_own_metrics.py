"""Metrics that a config names beside loss and accuracy: what they return is what is declared of them."""

import pytest
from torch import Tensor

from mnist_resnet.errors import UsageError
from mnist_resnet.training.recipe import try_recipe
from tests.small_training import small, trained

NOT_A_SHARE = (
    "+training.metrics.cost={_target_: torch.nn.CrossEntropyLoss}",
    "+metrics.test_cost={better: lower, scale: share}",
)
MESSAGE = (
    r"^training\.metrics.*: test_cost=[\d.]+ is declared a share, and so a fraction between 0 and 1; change "
    r"metrics\.test_cost\.scale, or what computes it$"
)


def test_a_value_that_contradicts_its_declaration_ends_the_job() -> None:
    with pytest.raises(UsageError, match=MESSAGE):
        trained(small(*NOT_A_SHARE))


def test_a_value_that_contradicts_its_declaration_is_found_before_any_job_starts() -> None:
    with pytest.raises(UsageError, match=MESSAGE):
        try_recipe(small(*NOT_A_SHARE))


def test_values_that_their_scale_allows_are_reported_by_name() -> None:
    run = trained(small(NOT_A_SHARE[0], "+metrics.test_cost={better: lower, scale: positive}"))
    assert all(epoch["test_cost"] == pytest.approx(epoch["test_loss"], rel=1e-4) for epoch in run.history)


def each_class(logits: Tensor, _: Tensor) -> dict[int, float]:
    return {0: logits.mean().item()}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["accuracy"], r"^training\.metrics\.accuracy: test_accuracy is measured anyway; choose another name"),
        (["recall", "recall_0"], r"^training\.metrics\.recall_0: another metric has a value named recall_0, too"),
    ],
)
def test_no_metric_replaces_another_one(names: list[str], message: str) -> None:
    nodes = [f"_target_: {__name__}.each_class, _partial_: true", "_target_: torch.nn.CrossEntropyLoss"]
    metrics = [f"+training.metrics.{name}={{{node}}}" for name, node in zip(names, nodes, strict=False)]
    with pytest.raises(UsageError, match=message):
        try_recipe(small(*metrics))
