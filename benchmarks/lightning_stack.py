"""The training that lightning-hydra-template is laid out for: its module, its data module, a callback that times.

Written after https://github.com/ashleve/lightning-hydra-template, `src/models/mnist_module.py` and
`src/data/mnist_datamodule.py`: what they compute and log, with the report's network in place of their own.
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

from benchmarks.baselines import LR, TEMPLATE_SPLIT
from benchmarks.pace import Pace
from mnist_resnet.models.resnet import ResNet, Stem

Batch = tuple[Tensor, Tensor]


class Network(LightningModule):
    """The report's network with the template's losses, metrics, optimiser and schedule."""

    def __init__(self, stem: Stem, width: int) -> None:
        super().__init__()
        self.net = ResNet(stem, width)
        self.criterion = torch.nn.CrossEntropyLoss()
        self.train_loss, self.val_loss = MeanMetric(), MeanMetric()
        self.train_acc, self.val_acc = _accuracy(), _accuracy()
        self.val_acc_best = MaxMetric()

    def forward(self, images: Tensor) -> Tensor:
        """Logits, float [batch, classes]."""
        logits: Tensor = self.net(images)
        return logits

    def on_train_start(self) -> None:
        """Forget what the check before training counted."""
        self.val_loss.reset()
        self.val_acc.reset()
        self.val_acc_best.reset()

    def training_step(self, batch: Batch, _: int) -> Tensor:
        """The loss of a batch, counted and logged."""
        loss = self._counted(batch, self.train_loss, self.train_acc)
        self.log("train/loss", self.train_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("train/acc", self.train_acc, on_step=False, on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch: Batch, _: int) -> None:
        """Counts and logs a batch."""
        self._counted(batch, self.val_loss, self.val_acc)
        self.log("val/loss", self.val_loss, on_step=False, on_epoch=True, prog_bar=True)
        self.log("val/acc", self.val_acc, on_step=False, on_epoch=True, prog_bar=True)

    def on_validation_epoch_end(self) -> None:
        """Log the best accuracy so far."""
        self.val_acc_best(self.val_acc.compute())
        self.log("val/acc_best", self.val_acc_best.compute(), sync_dist=True, prog_bar=True)

    def configure_optimizers(self) -> Any:
        """Adam, and a rate that falls when the validation loss does not."""
        optimizer = torch.optim.Adam(self.parameters(), lr=LR, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", factor=0.1, patience=10)
        watched = {"scheduler": schedule, "monitor": "val/loss", "interval": "epoch", "frequency": 1}
        return {"optimizer": optimizer, "lr_scheduler": watched}

    def _counted(self, batch: Batch, losses: MeanMetric, accuracies: MulticlassAccuracy) -> Tensor:
        images, labels = batch
        logits = self.forward(images)
        loss: Tensor = self.criterion(logits, labels)
        losses(loss)
        accuracies(logits.argmax(dim=1), labels)
        return loss


class Images(LightningDataModule):
    """Training and test images thrown together and split anew, each transformed as it is fetched."""

    def __init__(self, root: str, batch_size: int, transform: Any) -> None:
        super().__init__()
        self.root, self.batch_size, self.transform = root, batch_size, transform
        self.parts: list[Any] = []

    def setup(self, stage: str) -> None:  # noqa: ARG002 (Lightning calls it by name)
        """Read and split; shares of what there is, so that smaller data sets do as well."""
        parts: list[Dataset[Any]] = [MNIST(self.root, train=train, transform=self.transform) for train in (True, False)]
        whole: ConcatDataset[Any] = ConcatDataset(parts)
        lengths = [len(whole) * count // 70_000 for count in TEMPLATE_SPLIT]
        lengths.append(len(whole) - sum(lengths))
        self.parts = random_split(whole, lengths, generator=torch.Generator().manual_seed(42))

    def train_dataloader(self) -> DataLoader[Any]:
        """Shuffled."""
        return DataLoader(self.parts[0], batch_size=self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        """In order."""
        return DataLoader(self.parts[1], batch_size=self.batch_size)


class Turns(Callback):
    """Hands each step to the pace, and leaves validation out of its time."""

    def __init__(self, pace: Pace) -> None:
        self.pace = pace
        self._validating_since = 0.0

    def on_train_batch_end(self, trainer: Trainer, module: LightningModule, _: Any, batch: Batch, __: int) -> None:  # noqa: ARG002
        """A step was done."""
        self.pace.step(len(batch[1]))

    def on_validation_start(self, trainer: Trainer, module: LightningModule) -> None:  # noqa: ARG002
        """Validation begins."""
        self._validating_since = time.perf_counter()

    def on_validation_end(self, trainer: Trainer, module: LightningModule) -> None:  # noqa: ARG002
        """Validation ended."""
        self.pace.exclude(time.perf_counter() - self._validating_since)


def _accuracy() -> MulticlassAccuracy:
    return MulticlassAccuracy(num_classes=10, average="micro")
