"""The training loop: the report's protocol, one batch from the device's bytes to the loss on one screen."""

import math
import time
from collections.abc import Callable, Sequence

import torch
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, log_softmax
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from mnist_resnet.config.schema import Config
from mnist_resnet.data.batches import DataSplits, Split, shuffled
from mnist_resnet.job_folder import Metrics
from mnist_resnet.jobs.checkpoint import Checkpoints, State, random_states, seed_everything, set_random_states
from mnist_resnet.jobs.signals import Interrupt, Interrupted
from mnist_resnet.tracking.callback import Callback
from mnist_resnet.training.async_metrics import AsyncMetrics
from mnist_resnet.training.averaging import Averaging
from mnist_resnet.training.cuda_graph import Update
from mnist_resnet.training.memory_format import use_channels_last, use_fused_optimizer
from mnist_resnet.training.numerics import Numerics

LossFunction = Callable[[Tensor, Tensor], Tensor]
Forward = Callable[[nn.Module, LossFunction, Numerics, Tensor, Tensor], tuple[Tensor, Tensor]]


def predict(
    model: nn.Module, loss: LossFunction, numerics: Numerics, images: Tensor, labels: Tensor
) -> tuple[Tensor, Tensor]:
    """A batch's mean loss and its logits, float32 [] and [batch, classes]; what the compiler is given of a step."""
    with numerics.autocast(), numerics.convolutions():
        logits = model(images).float()
    return loss(logits, labels), logits


class Diverged(Exception):
    """The loss stopped being finite."""

    def __init__(self, epoch: int, step: int, loss: float, what: str = "loss") -> None:
        super().__init__(f"{what} {loss} in epoch {epoch}, step {step}")
        self.epoch, self.step, self.loss = epoch, step, loss


class Training:
    """A run: what it trains on, and all that changes while it trains.

    Attributes:
        model: what is trained.
        averaging: its `model` is evaluated, exported and kept: the one that is trained, or an average of its weights.
        augment: changes normalised training images, float32 [batch, channels, height, width], as they are used.
        forward: `predict`, or what was compiled of it.
        replay: what was recorded of `update`, to be done in its place.
        loss: of logits, float32 [batch, classes], and labels, int64 [batch]; evaluations take plain cross entropy.
        epoch: the epoch in progress, from 0; the number of epochs once it is done.
        step: optimiser steps done in it.
        losses: float32 [steps an epoch] on the device, each batch's mean loss in this epoch.
        correct: int64 [] on the device, images of this epoch read right, each before its batch's update.
        seconds: of training in this epoch so far.
        lr: learning rate of the last step done.
        history: one entry for each epoch done.
        batch_losses: float32 [steps an epoch] on the CPU, one for each epoch done.
    """

    def __init__(self, config: Config, splits: DataSplits, numerics: Numerics) -> None:
        self.config, self.splits, self.numerics = config, splits, numerics
        seed_everything(config.seed)
        self.model: nn.Module = instantiate(_node(config.model), _convert_="all").to(numerics.device)
        use_channels_last(self.model, numerics)
        self.optimizer: Optimizer = instantiate(_node(config.optim), _convert_="all")(self.model.parameters())
        use_fused_optimizer(self.optimizer)
        self.steps_per_epoch = -(-len(splits.train) // config.data.batch_size)
        total_steps = config.epochs * self.steps_per_epoch
        self.schedule: LRScheduler = instantiate(_node(config.schedule), _convert_="all")(
            self.optimizer, total_steps=total_steps
        )
        self.averaging: Averaging = instantiate(_node(config.averaging), _convert_="all")(
            self.model, total_steps=total_steps
        )
        black = splits.train.normalise(torch.zeros_like(splits.train.pixels[0, :, :1, :1]))
        self.augment: Callable[[Tensor], Tensor] = instantiate(_node(config.augmentation), _convert_="all")(black)
        self.loss: LossFunction = instantiate(_node(config.loss), _convert_="all")
        self.epoch = self.step = 0
        self.losses = torch.zeros(self.steps_per_epoch, device=numerics.device)
        self.correct = torch.zeros((), dtype=torch.int64, device=numerics.device)
        self.seconds, self.lr = 0.0, 0.0
        self.history: list[Metrics] = []
        self.batch_losses: list[Tensor] = []
        self.forward: Forward = predict
        self.replay: Update | None = None

    def update(self, places: Tensor) -> Tensor:
        """One optimiser step on the training images at `places`, int64 [batch]; gives their mean loss, float32 [].

        It waits for nothing on the host and branches on no figure, so that it can be a CUDA graph.
        """
        images, labels = self.splits.train.batch(places)
        self.optimizer.zero_grad()
        loss, logits = self.forward(self.model, self.loss, self.numerics, self.augment(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        self.correct += (logits.argmax(1) == labels).sum()
        return loss.detach()

    def state(self) -> State:
        """All that changes, so that a run restored from it ends where this one does, bit by bit on a CPU."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict(),
            "averaging": self.averaging.state_dict(),
            "random": random_states(self.numerics.device),
            "epoch": self.epoch,
            "step": self.step,
            "losses": self.losses,
            "correct": self.correct,
            "seconds": self.seconds,
            "lr": self.lr,
            "history": self.history,
            "batch_losses": self.batch_losses,
        }

    def restore(self, state: State) -> None:
        """Go on from what `state` gave in another process."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.schedule.load_state_dict(state["schedule"])
        self.averaging.load_state_dict(state.get("averaging", {}))  # there was none in older versions' checkpoints
        set_random_states(state["random"], self.numerics.device)
        self.epoch, self.step = state["epoch"], state["step"]
        self.seconds, self.lr = state["seconds"], state["lr"]
        self.losses.copy_(state["losses"])
        self.correct.copy_(state["correct"])
        self.history, self.batch_losses = list(state["history"]), list(state["batch_losses"])


def train(training: Training, callbacks: Sequence[Callback], checkpoints: Checkpoints, interrupt: Interrupt) -> None:
    """Train to the last epoch, from wherever `training` stands.

    Raises:
        Diverged: the loss is no number any more; noticed at the next report of it.
        Interrupted: the program was asked to end; the step in progress was finished and a checkpoint written.
    """
    try:
        while training.epoch < training.config.epochs:
            train_epoch(training, callbacks, checkpoints, interrupt)
            metrics = epoch_metrics(training, interrupt)
            training.history.append(metrics)
            training.batch_losses.append(training.losses.cpu().clone())
            training.epoch, training.step, training.seconds = training.epoch + 1, 0, 0.0
            training.correct.zero_()
            for callback in callbacks:
                callback.epoch(metrics)
            checkpoints.epoch_ended(training.state)
    except Interrupted:
        checkpoints.write_now(training.state)
        raise


def train_epoch(
    training: Training, callbacks: Sequence[Callback], checkpoints: Checkpoints, interrupt: Interrupt
) -> None:
    """Train to the end of the epoch in progress."""
    config, model, device = training.config, training.model, training.numerics.device
    order = shuffled(len(training.splits.train), config.seed, training.epoch).to(device)
    late = AsyncMetrics(device)
    started = time.perf_counter() - training.seconds
    model.train()
    do_step = training.replay or training.update
    for places in torch.split(order, config.data.batch_size)[training.step :]:
        loss = do_step(places)
        training.lr = training.optimizer.param_groups[0]["lr"]
        training.schedule.step()
        training.averaging.update()
        training.losses[training.step] = loss
        training.step += 1

        if (training.step - 1) % config.trainer.log_interval == 0:
            late.put(training.step - 1, training.losses[training.step - 1], training.correct)
        for step, batch_loss, correct in late.arrived():
            report(training, callbacks, step, batch_loss, correct)
        training.seconds = time.perf_counter() - started
        checkpoints.step_ended(training.step, training.state)
        interrupt.check()
    for step, batch_loss, correct in late.rest():
        report(training, callbacks, step, batch_loss, correct)
    training.losses.cpu()  # waits for the steps that a GPU has still queued: their time counts
    training.seconds = time.perf_counter() - started


def report(training: Training, callbacks: Sequence[Callback], step: int, loss: float, correct: int) -> None:
    """Tell the observers of a step, or end the run if its loss is no number any more."""
    if loss - loss != 0:  # true of infinities and of NaN alone
        raise first_bad(training)
    seen = min((step + 1) * training.config.data.batch_size, len(training.splits.train))
    for callback in callbacks:
        callback.batch(training.epoch, step, loss, correct / seen)


def first_bad(training: Training) -> Diverged:
    """The first step of the epoch in progress whose loss is no number; reports come every few steps, and late."""
    losses = training.losses[: training.step].cpu()
    step = int((~losses.isfinite()).nonzero()[0])
    return Diverged(training.epoch, step, losses[step].item())


def epoch_metrics(training: Training, interrupt: Interrupt) -> Metrics:
    """The epoch's line of `metrics.jsonl`: what was counted while training, and an evaluation.

    Raises:
        Diverged: a batch between two reports had a loss that is no number, or the evaluation has: weights or running
            statistics can overflow in an epoch's last step.
    """
    count, batch_size = len(training.splits.train), training.config.data.batch_size
    losses = training.losses.cpu().double()
    if not losses.isfinite().all():
        raise first_bad(training)
    sizes = torch.full_like(losses, batch_size)
    sizes[-1] = count - batch_size * (len(losses) - 1)
    started = time.perf_counter()
    metrics: Metrics = {
        "epoch": training.epoch,
        "train_loss": (losses @ sizes / count).item(),
        "train_accuracy": training.correct.item() / count,
    }
    for name, split in (("val", training.splits.val), ("test", training.splits.test)):
        if split is not None:
            loss, accuracy = evaluate(training, split, interrupt)
            if not math.isfinite(loss):
                raise Diverged(training.epoch, training.step - 1, loss, f"{name} loss")
            metrics |= {f"{name}_loss": loss, f"{name}_accuracy": accuracy}
    evaluation = time.perf_counter() - started
    return metrics | {
        "lr": training.lr,
        "seconds": training.seconds + evaluation,
        "training_seconds": training.seconds,
        "images_per_second": count / training.seconds,
    }


@torch.no_grad()
def evaluate(training: Training, split: Split, interrupt: Interrupt) -> tuple[float, float]:
    """Mean cross entropy for each image, whatever loss is trained, and accuracy, of the averaged model on `split`."""
    model = training.averaging.model.eval()
    losses, correct = [], []
    for images, labels in split.batches(training.config.data.test_batch_size):
        interrupt.check()
        with training.numerics.autocast():
            logits = model(images).float()
        losses.append(cross_entropy(logits, labels, reduction="sum"))
        correct.append((logits.argmax(1) == labels).sum())
    count = len(split)
    return torch.stack(losses).cpu().double().sum().item() / count, torch.stack(correct).sum().item() / count


@torch.no_grad()
def log_probabilities(training: Training, split: Split) -> Tensor:
    """What the trained model makes of each image: float32 [n, classes], on the CPU."""
    model = training.averaging.model.eval()
    batches = []
    for images, _ in split.batches(training.config.data.test_batch_size):
        with training.numerics.autocast():
            logits = model(images).float()
        batches.append(log_softmax(logits, dim=1))
    return torch.cat(batches).cpu()


def _node(component: object) -> dict[str, object]:
    dump = component.model_dump(by_alias=True, exclude_unset=True)  # type: ignore[attr-defined]
    return dict(dump)
