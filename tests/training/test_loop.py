"""The training loop: compared with an independent implementation of the report's protocol, and reproducible."""

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
from mnist_resnet.jobs.progress import Diverged
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.models.resnet import ResNet
from mnist_resnet.training.evaluation import log_probabilities
from mnist_resnet.training.loop import train
from mnist_resnet.training.memory_format import use_channels_last
from mnist_resnet.training.numerics import Numerics
from mnist_resnet.training.step import StepParts
from tests.small_training import (
    RecordingCallback,
    differences,
    in_memory,
    new_training,
    small,
    trained,
    unsaved,
    without_times,
)


def test_small_network_learns_digits() -> None:
    size = ("model.width=8", "model.blocks=[1,1,1]", "data.train_size=null", "data.test_size=null")
    config = small(*size, "data.test_batch_size=360", "trainer.epochs=4", "optim.lr=0.01", "schedule=cosine")
    last = trained(config).history[-1]
    assert last["test_accuracy"] > 0.9
    assert last["train_accuracy"] > 0.9


class TransformedImages(Dataset[tuple[torch.Tensor, int]]):
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
    orders: Sequence[Sequence[int]],
    train_images: TransformedImages,
    test_images: TransformedImages,
) -> tuple[nn.Module, list[Metrics], list[float]]:
    """An independent implementation of the report's protocol, at the sizes of `SMALL`."""
    torch.manual_seed(seed)
    network = ResNet(stem, 2, [1, 1], block_norm, dropout)  # type: ignore[arg-type]
    use_channels_last(network, Numerics("cpu", "fp32", 1))  # another memory layout rounds sums in another order
    optimizer = torch.optim.Adam(network.parameters(), lr=lr)
    mean_loss = nn.CrossEntropyLoss()
    metrics, batch_losses = [], []
    for epoch, order in enumerate(orders):
        network.train()
        train_loss, train_correct = 0.0, 0
        # With its own generator, the loader does not advance the one that dropout uses.
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


def test_without_shuffling_each_epoch_has_the_same_batches() -> None:
    standing_still = ("optim.lr=1e-30", "regularization=none")
    first, second = trained(small(*standing_still, "data.shuffle=false", "seeds.order=7")).batch_losses
    assert first.tolist() == pytest.approx(second.tolist())
    shuffled_first, shuffled_second = trained(small(*standing_still)).batch_losses
    assert shuffled_first.tolist() != pytest.approx(shuffled_second.tolist())


@pytest.mark.parametrize(
    ("stem", "block_norm", "dropout", "lr"),
    [("3x3", "after_every", 0.3, 0.001), ("7x7", "none", 0.0, 0.02)],
)
def test_metrics_equal_those_of_a_plain_pytorch_loop(stem: str, block_norm: str, dropout: float, lr: float) -> None:
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
        TransformedImages(LabelledImages(images.train.pixels[:100], images.train.labels[:100]), 0.3054, 0.3238),
        TransformedImages(LabelledImages(images.test.pixels[:50], images.test.labels[:50]), 0.3054, 0.3238),
    )
    training = trained(config)
    for ours, theirs in zip(without_times(training.history), metrics, strict=True):
        assert ours == pytest.approx(theirs, rel=1e-5)
    assert torch.cat(training.batch_losses).tolist() == pytest.approx(batch_losses, rel=1e-5)
    for name, weights in network.state_dict().items():
        torch.testing.assert_close(training.model.state_dict()[name], weights)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_same_seed_is_bitwise_reproducible_after_other_runs(precision: str) -> None:
    config = small(f"trainer.precision={precision}")
    first = trained(config)
    trained(small("seed=5", "model=stem7x7", "optim=sgd", "schedule=onecycle", "data.val_size=10"))
    assert differences(first, trained(config)) == []


def test_different_seed_gives_different_weights_and_losses() -> None:
    found = differences(trained(small()), trained(small("seed=2")))
    assert {"history", "batch_losses.0", "model.head.3.weight"} <= set(found)


def test_bf16_differs_from_fp32() -> None:
    assert differences(trained(small()), trained(small("trainer.precision=bf16")))


def test_callbacks_receive_every_batch_and_the_metrics_of_every_epoch() -> None:
    callback = RecordingCallback()
    training = trained(small("data.val_size=30"), callback)
    assert [(epoch, step) for epoch, step, _, _ in callback.batches] == [(e, s) for e in range(2) for s in range(4)]
    assert [loss for _, _, loss, _ in callback.batches] == torch.cat(training.batch_losses).tolist()
    assert callback.epochs == training.history
    for metrics, last_batch in zip(callback.epochs, callback.batches[3::4], strict=True):
        assert metrics["train_accuracy"] == pytest.approx(last_batch[3])
        assert list(metrics) == [
            *("epoch", "train_loss", "train_accuracy", "val_loss", "val_accuracy", "test_loss", "test_accuracy"),
            *("lr", "seconds", "training_seconds", "images_per_second"),
        ]
    assert json.loads(json.dumps(callback.epochs)) == callback.epochs


def test_batches_are_reported_every_log_interval_from_the_first_step_of_each_epoch() -> None:
    callback = RecordingCallback()
    trained(small("trainer.log_interval=3"), callback)
    assert [(epoch, step) for epoch, step, _, _ in callback.batches] == [(0, 0), (0, 3), (1, 0), (1, 3)]


def test_smaller_last_batch_is_weighted_by_its_images() -> None:
    training = trained(small("trainer.epochs=1"))
    losses = training.batch_losses[0].double()
    assert len(losses) == 4
    mean = (32 * losses[:3].sum() + 4 * losses[3]) / 100
    assert training.history[0]["train_loss"] == pytest.approx(mean.item(), rel=1e-12)
    assert training.history[0]["train_accuracy"] * 100 == pytest.approx(
        round(training.history[0]["train_accuracy"] * 100)
    )


def test_test_metrics_equal_those_of_the_predictions() -> None:
    training = trained(small())
    predicted = log_probabilities(training, training.splits.test)
    labels, last = in_memory(training.splits.test).labels, training.history[-1]
    assert (predicted.argmax(1) == labels).double().mean().item() == last["test_accuracy"]
    assert -predicted.gather(1, labels[:, None]).double().mean().item() == pytest.approx(last["test_loss"], rel=1e-5)


@pytest.mark.parametrize("log_interval", [1, 3, 100])
def test_divergence_reports_the_epoch_and_the_first_step(log_interval: int) -> None:
    config = small(
        "schedule._target_=tests.small_training.exploding",
        "+schedule.at=5",
        f"trainer.log_interval={log_interval}",
    )
    callback, training = RecordingCallback(), new_training(config)
    with pytest.raises(Diverged) as caught:
        train(training, [callback], unsaved(), Interrupt())
    assert (caught.value.epoch, caught.value.step) == (1, 2)
    assert not math.isfinite(caught.value.loss)
    assert without_times(callback.epochs) == without_times(training.history)
    assert without_times(callback.epochs) == without_times(trained(small()).history)[:1]
    assert all(math.isfinite(loss) for _, _, loss, _ in callback.batches)


def test_huge_learning_rate_diverges_at_once() -> None:
    with pytest.raises(Diverged, match=r"^loss (nan|inf) in epoch 0, step 1$"):
        trained(small("optim.lr=1e35"))


class CollectingStep:
    """A step that updates with the gradients of four batches, of which the last is in the next epoch."""

    def __init__(self) -> None:
        self.batches = 0

    def __call__(
        self, parts: StepParts, images: torch.Tensor, labels: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        logits = parts.forward(images)
        loss = parts.loss(logits, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.batches += 1
        if self.batches % 4 == 1:
            parts.optimizer.step()
            parts.optimizer.zero_grad()
        return loss.detach(), logits.detach()


@pytest.mark.parametrize(("step", "has_gradients"), [(None, False), (CollectingStep(), True)])
def test_an_evaluation_frees_gradients_but_not_those_that_a_step_collects(
    step: CollectingStep | None, has_gradients: bool
) -> None:
    training = new_training(small("trainer.epochs=1"))
    training.own_step = step
    train(training, [], unsaved(), Interrupt())
    assert training.steps_per_epoch == 4
    assert all((parameter.grad is not None) == has_gradients for parameter in training.model.parameters())


def test_divergence_in_the_last_step_is_detected_by_the_evaluation() -> None:
    config = small("schedule._target_=tests.small_training.exploding", "+schedule.at=7")
    training = new_training(config)
    with pytest.raises(Diverged, match=r"^test loss (nan|inf) in epoch 1, step 3$"):
        train(training, [], unsaved(), Interrupt())
    assert len(training.history) == 1


def test_label_smoothing_follows_its_formula_and_evaluations_are_plain() -> None:
    config = small("loss=label_smoothing", "loss.label_smoothing=0.3", "regularization=none")
    training, fresh = trained(config), new_training(config)
    images, labels = fresh.splits.train.batch(shuffled(100, 1, 0)[:32])
    spread = 0.7 * one_hot(labels, 10) + 0.3 / 10
    expected = -(spread * fresh.model(images).log_softmax(1)).sum(1).mean().item()
    assert training.batch_losses[0][0].item() == pytest.approx(expected, rel=1e-5)

    predicted = log_probabilities(training, training.splits.test)
    plain = -predicted.gather(1, in_memory(training.splits.test).labels[:, None]).double().mean().item()
    assert training.history[-1]["test_loss"] == pytest.approx(plain, rel=1e-5)


def test_further_arguments_reach_the_configured_objects() -> None:
    config: Config = small("optim=sgd", "optim.momentum=0.5", "schedule=onecycle", "schedule.warmup=0.5")
    training = new_training(config)
    assert training.optimizer.param_groups[0]["momentum"] == 0.5
    assert training.optimizer.param_groups[0]["lr"] == pytest.approx(0.01 / 25)
