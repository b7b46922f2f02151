"""Averages of weights, computed again by hand, and what a run does with them."""

import pytest
import torch
from torch import nn

from mnist_resnet.training.averaging import ExponentialAverage, TailAverage, WeightAverage
from mnist_resnet.training.loop import log_probabilities
from tests.small_training import different_tensors, small, trained


class Network(nn.Module):
    """One weight, what batch norm gathers, and a count."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.0]))
        self.register_buffer("mean", torch.tensor([0.0]))
        self.register_buffer("count", torch.tensor(0))


def averages(averaging: WeightAverage, network: Network, weights: list[float]) -> list[float]:
    """The average after each step, of a weight that takes these values."""
    found = []
    averaged = averaging.model
    assert isinstance(averaged, Network)
    for weight in weights:
        with torch.no_grad():
            network.weight.fill_(weight)
            network.get_buffer("mean").fill_(10 * weight)
            network.get_buffer("count").add_(1)
        averaging.update()
        found.append(averaged.weight.item())
        assert averaged.get_buffer("mean").item() == pytest.approx(10 * found[-1], rel=1e-6)
        assert averaged.get_buffer("count") == network.get_buffer("count")
    return found


def test_exponential_average_is_what_the_formula_gives_by_hand() -> None:
    network = Network()
    weights = [1.0, 5.0, -2.0, 8.0, 4.0, 3.0]
    expected, average = [], 0.0
    for done, weight in enumerate(weights):
        decay = min(0.25, (1 + done) / (10 + done))  # 0.1, 0.182, 0.25, 0.25, …
        average = decay * average + (1 - decay) * weight
        expected.append(average)
    assert averages(ExponentialAverage(network, 6, decay=0.25), network, weights) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.5, [1, 5, 3, 3, 4]), (1.0, [1, 3, 3, 3, 3.4]), (0.01, [1, 5, 3, 3, 5])],
)
def test_tail_average_is_the_mean_of_the_last_steps_and_until_then_the_latest(
    share: float, expected: list[float]
) -> None:
    network = Network()
    given = [1.0, 5.0, 3.0, 3.0, 5.0]
    assert averages(TailAverage(network, 5, share), network, given) == pytest.approx(expected)


def test_before_the_tail_the_average_is_the_weights_bit_by_bit() -> None:
    network = Network()
    averaging = TailAverage(network, 100, share=0.5)
    given = torch.randn(20).tolist()
    assert averages(averaging, network, given) == [torch.tensor(one).item() for one in given]


def test_a_run_is_evaluated_and_read_by_its_average_and_trains_on_without_it() -> None:
    plain, averaged = trained(small()), trained(small("averaging=swa", "averaging.share=0.5"))
    assert different_tensors(plain.model.state_dict(), averaged.model.state_dict(), "model") == []
    assert [one.tolist() for one in plain.batch_losses] == [one.tolist() for one in averaged.batch_losses]
    for before_and_after in zip(plain.history, averaged.history, strict=True):
        assert len({epoch["train_loss"] for epoch in before_and_after}) == 1
    assert plain.history[0]["test_loss"] == averaged.history[0]["test_loss"]  # the tail begins with the second epoch
    assert plain.history[1]["test_loss"] != averaged.history[1]["test_loss"]

    said, labels = log_probabilities(averaged, averaged.splits.test), averaged.splits.test.labels
    loss = -said.gather(1, labels[:, None]).double().mean().item()
    assert loss == pytest.approx(averaged.history[1]["test_loss"], rel=1e-5)
