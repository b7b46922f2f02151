"""The training stack of lightning-hydra-template: its module, its data module, and a callback that times rounds.

It computes and logs the same as https://github.com/ashleve/lightning-hydra-template, `src/models/mnist_module.py` and
`src/data/mnist_datamodule.py`, but with the report's network.
"""

import time
from typing import Any

import torch
from lightning import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import ConcatDataset, DataLoader, Dataset, random_split
from torchmetrics import MaxMetric, MeanMetric
from torchmetrics.classification import MulticlassAccuracy
from torchvision.datasets import MNIST

from benchmarks.round_timer import RoundTimer
from benchmarks.workload import LEARNING_RATE
from mnist_resnet.models.resnet import ResNet, Stem

Batch = tuple[Tensor, Tensor]
"""Images, float32 [batch, 1, 28, 28], and labels, int64 [batch]."""

TEMPLATE_SPLIT = (55_000, 5_000)
"""The template's numbers of training and validation images; the rest of MNIST's 70,000 are test images."""


class Network(LightningModule):
    """The report's network with the template's losses, metrics, optimiser and schedule.

    Args:
        stem: stem of the network, as in `ResNet`.
        width: width of the network, as in `ResNet`.
    """

    def __init__(self, stem: Stem, width: int) -> None:
        super().__init__()
        self.net = ResNet(stem, width)
        self.criterion = torch.nn.CrossEntropyLoss()
        self.train_loss, self.val_loss = MeanMetric(), MeanMetric()
        self.train_acc, self.val_acc = _accuracy(), _accuracy()
        self.val_acc_best = MaxMetric()

    def forward(self, images: Tensor) -> Tensor:
        """Map images, float32 [batch, 1, 28, 28], to logits, float32 [batch, 10]."""
        logits: Tensor = self.net(images)
        return logits

    def on_train_start(self) -> None:
        """Reset the metrics of Lightning's sanity check."""
        self.val_loss.reset()
        self.val_acc.reset()
        self.val_acc_best.reset()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """Return the mean loss of a batch, float32 [], and log it."""
        loss = self._update_metrics(batch, self.train_loss, self.train_acc)
        self.log("train/loss", self.train_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("train/acc", self.train_acc, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Update and log the validation metrics."""
        self._update_metrics(batch, self.val_loss, self.val_acc)
        self.log("val/loss", self.val_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("val/acc", self.val_acc, on_step=False, on_epoch=True, prog_bar=True)

    def on_validation_epoch_end(self) -> None:
        """Log the best accuracy so far."""
        self.val_acc_best(self.val_acc.compute())
        self.log("val/acc_best", self.val_acc_best.compute(), sync_dist=True, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """Return Adam, with a learning rate that drops when the validation loss stops falling."""
        optimizer = torch.optim.Adam(self.parameters(), lr=LEARNING_RATE, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", factor=0.1, patience=10)
        scheduler = {"scheduler": schedule, "monitor": "val/loss", "interval": "epoch", "frequency": 1}
        return {"optimizer": optimizer, "lr_scheduler": scheduler}

    def _update_metrics(self, batch: Batch, losses: MeanMetric, accuracies: MulticlassAccuracy) -> Tensor:
        """Update the metrics and return the batch's mean loss, float32 []."""
        images, labels = batch
        logits = self.forward(images)
        loss: Tensor = self.criterion(logits, labels)
        losses(loss)
        accuracies(logits.argmax(dim=1), labels)
        return loss


class Images(LightningDataModule):
    """MNIST's training and test images, joined and split again as in the template, transformed one by one.

    Args:
        root: folder with torchvision's data sets.
        batch_size: images in a batch.
        transform: applied to each image when it is loaded.
    """

    def __init__(self, root: str, batch_size: int, transform: Any) -> None:
        super().__init__()
        self.root, self.batch_size, self.transform = root, batch_size, transform
        self.parts: list[Any] = []

    def setup(self, stage: str) -> None:  # noqa: ARG002 (Lightning calls it by name)
        """Read and split the images, in the template's proportions, so that smaller data sets work too."""
        parts: list[Dataset[Any]] = [MNIST(self.root, train=train, transform=self.transform) for train in (True, False)]
        whole: ConcatDataset[Any] = ConcatDataset(parts)
        lengths = [len(whole) * count // 70_000 for count in TEMPLATE_SPLIT]
        lengths.append(len(whole) - sum(lengths))
        self.parts = random_split(whole, lengths, generator=torch.Generator().manual_seed(42))

    def train_dataloader(self) -> DataLoader[Any]:
        """Return the training images' loader, shuffled."""
        return DataLoader(self.parts[0], batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        """Return the validation images' loader, in order."""
        return DataLoader(self.parts[1], batch_size=self.batch_size)


class TimerCallback(Callback):
    """Reports each step to the timer, and excludes validation from its time."""

    def __init__(self, timer: RoundTimer) -> None:
        self.timer = timer
        self._validation_started = 0.0

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, _: Any, batch: Batch, __: int) -> None:  # noqa: ARG002
        """Count a step."""
        self.timer.step(len(batch[1]))

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:  # noqa: ARG002
        """Start timing the validation."""
        self._validation_started = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:  # noqa: ARG002
        """Exclude the validation's time."""
        self.timer.exclude(time.perf_counter() - self._validation_started)


def _accuracy() -> MulticlassAccuracy:
    return MulticlassAccuracy(num_classes=10, average="micro")
