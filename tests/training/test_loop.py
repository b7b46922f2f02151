"""Training: the report's protocol, counted as an independent loop counts it, and the same bits each time."""

import json
import math
from collections.abc import Sequence

import pytest
import torch
from torch import nn
from torch.nn.functional import one_hot
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import Compose, Normalize, ToTensor

from mnist_resnet.config.schema import Config
from mnist_resnet.data.batches import shuffled
from mnist_resnet.data.dataset import LabelledImages
from mnist_resnet.data.sources import digits
from mnist_resnet.job_folder import Metrics
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.jobs.progress import Diverged
from mnist_resnet.models.resnet import ResNet
from mnist_resnet.training.loop import log_probabilities, train
from mnist_resnet.training.memory_format import use_channels_last
from mnist_resnet.training.numerics import Numerics
from tests.small_training import Told, begun, differences, small, trained, unsaved, without_times


def test_a_small_network_learns_digits() -> None:
    size = ("model.width=8", "model.blocks=[1,1,1]", "data.train_size=null", "data.test_size=null")
    config = small(*size, "data.test_batch_size=360", "trainer.epochs=4", "optim.lr=0.01", "schedule=cosine")
    last = trained(config).history[-1]
    assert last["test_accuracy"] > 0.9
    assert last["train_accuracy"] > 0.9


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    def __init__(self, images: LabelledImages, mean: float, std: float) -> None:
        self.images, self.transform = images, Compose([ToTensor(), Normalize((mean,), (std,))])

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images.pixels[index, 0].numpy()), int(self.images.labels[index])


def plain_loop(
    seed: int,
    stem: str,
    block_norm: str,
    dropout: float,
    lr: float,
    options: Sequence[Sequence[int]],
    train_images: Pictures,
    test_images: Pictures,
) -> tuple[nn.Module, list[Metrics], list[float]]:
    """The report's protocol as anybody would write it down, at the sizes of `SMALL`."""
    torch.manual_seed(seed)
    network = ResNet(stem, 2, [1, 1], block_norm, dropout)  # type: ignore[arg-type]
    use_channels_last(network, Numerics("cpu", "fp32", 1))  # sums are rounded in another order where channels lie last
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    mean_loss = nn.CrossEntropyLoss()
    metrics, batch_losses = [], []
    for epoch, order in enumerate(options):
        network.train()
        train_loss, train_correct = 0.0, 0
        # A generator of its own keeps the loader's draw away from the one that dropout draws from.
        for images, labels in DataLoader(train_images, 32, sampler=order, generator=torch.Generator()):
            optimizer.zero_grad()
            logits = network(images)
            loss = mean_loss(logits, labels)
            train_correct += int((logits.argmax(dim=1) == labels).sum())
            train_loss += loss.item() * len(labels)
            batch_losses.append(loss.item())
            loss.backward()
            optimizer.step()
        network.eval()
        test_loss, test_correct = 0.0, 0
        with torch.no_grad():
            for images, labels in DataLoader(test_images, 20, generator=torch.Generator()):
                logits = network(images)
                test_loss += mean_loss(logits, labels).item() * len(labels)
                test_correct += int((logits.argmax(dim=1) == labels).sum())
        metrics.append(
            {
                "epoch": epoch,
                "train_loss": train_loss / len(train_images),
                "train_accuracy": train_correct / len(train_images),
                "test_loss": test_loss / len(test_images),
                "test_accuracy": test_correct / len(test_images),
                "lr": lr,
            }
        )
    return network, metrics, batch_losses


@pytest.mark.parametrize(
    ("stem", "block_norm", "dropout", "lr"),
    [("3x3", "after_every", 0.3, 0.001), ("7x7", "none", 0.0, 0.02)],
)
def test_metrics_are_those_of_a_plain_pytorch_loop(stem: str, block_norm: str, dropout: float, lr: float) -> None:
    config = small(
        f"model=stem{stem}",
        f"model.block_norm={block_norm}",
        f"regularization.dropout={dropout}",
        f"optim.lr={lr}",
        "seed=7",
        "trainer.epochs=3",
    )
    images = digits()
    network, metrics, batch_losses = plain_loop(
        7,
        stem,
        block_norm,
        dropout,
        lr,
        [shuffled(100, 7, epoch).tolist() for epoch in range(3)],
        Pictures(LabelledImages(images.train.pixels[:100], images.train.labels[:100]), 0.3054, 0.3238),
        Pictures(LabelledImages(images.test.pixels[:50], images.test.labels[:50]), 0.3054, 0.3238),
    )
    training = trained(config)
    for ours, theirs in zip(without_times(training.history), metrics, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    assert torch.cat(training.batch_losses).tolist() == pytest.approx(batch_losses, rel=1e-5)
    for name, weights in network.state_dict().items():
        torch.testing.assert_close(training.model.state_dict()[name], weights)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_same_seed_gives_the_same_bits_whatever_ran_before(precision: str) -> None:
    config = small(f"trainer.precision={precision}")
    first = trained(config)
    trained(small("seed=5", "model=stem7x7", "optim=sgd", "schedule=onecycle", "data.val_size=10"))
    assert differences(first, trained(config)) == []


def test_another_seed_gives_other_weights_losses_and_order() -> None:
    found = differences(trained(small()), trained(small("seed=2")))
    assert {"history", "batch_losses.0", "model.head.3.weight"} <= set(found)


def test_bf16_is_not_fp32() -> None:
    assert differences(trained(small()), trained(small("trainer.precision=bf16")))


def test_observers_are_told_every_batch_and_what_the_metrics_say() -> None:
    told = Told()
    training = trained(small("data.val_size=30"), told)
    assert [(epoch, step) for epoch, step, _, _ in told.batches] == [(e, s) for e in range(2) for s in range(4)]
    assert [loss for _, _, loss, _ in told.batches] == torch.cat(training.batch_losses).tolist()
    assert told.epochs == training.history
    for metrics, last_batch in zip(told.epochs, told.batches[3::4], strict=True):
        assert metrics["train_accuracy"] == pytest.approx(last_batch[3])
        assert list(metrics) == [
            *("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy"),
            *("lr", "seconds", "training_seconds", "images_per_second"),
        ]
    assert json.loads(json.dumps(told.epochs)) == told.epochs


def test_reports_come_every_log_interval_from_the_first_step_of_each_epoch() -> None:
    told = Told()
    trained(small("trainer.log_interval=3"), told)
    assert [(epoch, step) for epoch, step, _, _ in told.batches] == [(0, 0), (0, 3), (1, 0), (1, 3)]


def test_the_smaller_last_batch_is_trained_on_and_counted_by_its_images() -> None:
    training = trained(small("trainer.epochs=1"))
    losses = training.batch_losses[0].double()
    assert len(losses) == 4
    mean = (32 * losses[:3].sum() + 4 * losses[3]) / 100
    assert training.history[0]["train_loss"] == pytest.approx(mean.item(), rel=1e-12)
    assert training.history[0]["train_accuracy"] * 100 == pytest.approx(
        round(training.history[0]["train_accuracy"] * 100)
    )


def test_the_test_metrics_are_those_of_the_predictions() -> None:
    training = trained(small())
    said = log_probabilities(training, training.splits.test)
    labels, last = training.splits.test.labels, training.history[-1]
    assert (said.argmax(1) == labels).double().mean().item() == last["test_accuracy"]
    assert -said.gather(1, labels[:, None]).double().mean().item() == pytest.approx(last["test_loss"], rel=1e-5)


@pytest.mark.parametrize("log_interval", [1, 3, 100])
def test_a_loss_that_is_no_number_ends_the_run_with_its_epoch_and_first_step(log_interval: int) -> None:
    config = small(
        "schedule._target_=tests.small_training.exploding",
        "+schedule.at=5",
        f"trainer.log_interval={log_interval}",
    )
    told, training = Told(), begun(config)
    with pytest.raises(Diverged) as caught:
        train(training, [told], unsaved(), Interrupt())
    assert (caught.value.epoch, caught.value.step) == (1, 2)
    assert not math.isfinite(caught.value.loss)
    assert without_times(told.epochs) == without_times(training.history)
    assert without_times(told.epochs) == without_times(trained(small()).history)[:1]
    assert all(math.isfinite(loss) for _, _, loss, _ in told.batches)


def test_an_absurd_learning_rate_diverges_at_once() -> None:
    with pytest.raises(Diverged, match=r"^loss (nan|inf) in epoch 0, step 1$"):
        trained(small("optim.lr=1e35"))


def test_weights_that_the_last_step_ruined_are_noticed_in_the_evaluation() -> None:
    config = small("schedule._target_=tests.small_training.exploding", "+schedule.at=7")
    training = begun(config)
    with pytest.raises(Diverged, match=r"^test loss (nan|inf) in epoch 1, step 3$"):
        train(training, [], unsaved(), Interrupt())
    assert len(training.history) == 1


def test_label_smoothing_is_trained_on_as_its_formula_says_and_evaluations_are_plain() -> None:
    config = small("loss=label_smoothing", "loss.label_smoothing=0.3", "regularization=none")
    training, fresh = trained(config), begun(config)
    images, labels = fresh.splits.train.batch(shuffled(100, 1, 0)[:32])
    spread = 0.7 * one_hot(labels, 10) + 0.3 / 10
    expected = -(spread * fresh.model(images).log_softmax(1)).sum(1).mean().item()
    assert training.batch_losses[0][0].item() == pytest.approx(expected, rel=1e-5)

    said = log_probabilities(training, training.splits.test)
    plain = -said.gather(1, training.splits.test.labels[:, None]).double().mean().item()
    assert training.history[-1]["test_loss"] == pytest.approx(plain, rel=1e-5)


def test_a_user_s_own_arguments_reach_what_a_config_builds() -> None:
    config: Config = small("optim=sgd", "optim.momentum=0.5", "schedule=onecycle", "schedule.warmup=0.5")
    training = begun(config)
    assert training.optimizer.param_groups[0]["momentum"] == 0.5
    assert training.optimizer.param_groups[0]["lr"] == pytest.approx(0.01 / 25)
