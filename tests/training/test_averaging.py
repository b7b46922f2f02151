"""Weight averages: checked against their formulas, and used by a run."""

import pytest
import torch
from torch import nn

from mnist_resnet.training.averaging import ExponentialAverage, PreciseBatchNorm, TailAverage, WeightAverage
from mnist_resnet.training.evaluation import log_probabilities
from tests.small_training import different_tensors, in_memory, small, trained


class Network(nn.Module):
    """One weight, one running mean and one count."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.0]))
        self.register_buffer("mean", torch.tensor([0.0]))
        self.register_buffer("count", torch.tensor(0))


def averages(averaging: WeightAverage, network: Network, weights: list[float]) -> list[float]:
    """Return the average after each step, for a weight that takes the values `weights`."""
    results = []
    averaged = averaging.model
    assert isinstance(averaged, Network)
    for weight in weights:
        with torch.no_grad():
            network.weight.fill_(weight)
            network.get_buffer("mean").fill_(10 * weight)
            network.get_buffer("count").add_(1)
        averaging.update()
        results.append(averaged.weight.item())
        assert averaged.get_buffer("mean").item() == pytest.approx(10 * results[-1], rel=1e-6)
        assert averaged.get_buffer("count") == network.get_buffer("count")
    return results


def test_exponential_average_follows_its_formula() -> None:
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
def test_tail_average_is_the_mean_of_the_last_steps(share: float, expected: list[float]) -> None:
    network = Network()
    given = [1.0, 5.0, 3.0, 3.0, 5.0]
    assert averages(TailAverage(network, 5, share), network, given) == pytest.approx(expected)


def test_before_the_tail_the_average_is_bitwise_the_latest_weights() -> None:
    network = Network()
    averaging = TailAverage(network, 100, share=0.5)
    given = torch.randn(20).tolist()
    assert averages(averaging, network, given) == [torch.tensor(weight).item() for weight in given]


def test_evaluation_uses_the_average_and_training_does_not() -> None:
    plain, averaged = trained(small()), trained(small("averaging=swa", "averaging.share=0.5"))
    assert different_tensors(plain.model.state_dict(), averaged.model.state_dict(), "model") == []
    assert [losses.tolist() for losses in plain.batch_losses] == [losses.tolist() for losses in averaged.batch_losses]
    for epochs in zip(plain.history, averaged.history, strict=True):
        assert len({epoch["train_loss"] for epoch in epochs}) == 1
    assert plain.history[0]["test_loss"] == averaged.history[0]["test_loss"]  # the tail begins with the second epoch
    assert plain.history[1]["test_loss"] != averaged.history[1]["test_loss"]

    predicted = log_probabilities(averaged, averaged.splits.test)
    labels = in_memory(averaged.splits.test).labels
    loss = -predicted.gather(1, labels[:, None]).double().mean().item()
    assert loss == pytest.approx(averaged.history[1]["test_loss"], rel=1e-5)


def test_statistics_computed_anew_are_those_of_the_evaluated_weights() -> None:
    plain, anew = trained(small()), trained(small("averaging=precise_batch_norm", "averaging.batches=3"))
    assert different_tensors(plain.model.state_dict(), anew.model.state_dict(), "model") == []
    assert torch.equal(plain.state()["random"]["torch"], anew.state()["random"]["torch"])
    assert plain.history[0]["test_loss"] != anew.history[0]["test_loss"]

    convolution, norm = list(anew.averaging.model.get_submodule("stem").children())[:2]
    assert isinstance(norm, nn.BatchNorm2d)
    given = [images for images, _ in in_memory(anew.splits.train).batches(32)][:3]
    with torch.no_grad():
        outputs = [convolution(images) for images in given]
    means = torch.stack([output.mean(dim=(0, 2, 3)) for output in outputs]).mean(0)
    variances = torch.stack([output.transpose(0, 1).flatten(1).var(dim=1) for output in outputs]).mean(0)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.running_mean.tolist() == pytest.approx(means.tolist(), rel=1e-4, abs=1e-6)
    assert norm.running_var.tolist() == pytest.approx(variances.tolist(), rel=1e-4)


def test_network_without_batch_norm_is_evaluated_with_its_latest_weights() -> None:
    network = nn.Linear(2, 2)
    averaging = PreciseBatchNorm(network, 1, batches=1)
    with torch.no_grad():
        network.weight.fill_(3.0)
    averaging.prepare(iter([torch.zeros(4, 2)]))
    assert averaging.model.get_parameter("weight").tolist() == [[3.0, 3.0]] * 2
