"""Evaluations of the network in training: loss, accuracy and metrics of a split, and log-probabilities."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.nn.functional import log_softmax

from mnist_resnet.data.split import AnySplit
from mnist_resnet.data.targets import count_right, summed_loss
from mnist_resnet.job_folder import Metrics
from mnist_resnet.jobs.packed_state import NotRestorable
from mnist_resnet.jobs.random_states import random_states, set_random_states
from mnist_resnet.jobs.signals import Interrupted
from mnist_resnet.jobs.stop_check import StopCheck
from mnist_resnet.training.averaging import ImageAveraging
from mnist_resnet.training.own_metrics import own_values
from mnist_resnet.training.training_run import Training

MAX_EVALUATED = 250
"""Images that an evaluation passes through the network at once on a CPU. A layer of the report's network takes 100 KB
for each of them in bf16, and three such tensors are needed at a time."""


@contextmanager
def undone_if_stopped(training: Training) -> Iterator[None]:
    """Undo what an evaluation has changed if it is stopped: it is repeated when the job goes on.

    A network may draw random numbers or count while it is evaluated.
    """
    models, device = (training.model, training.averaging.model), training.numerics.device
    buffers = [(buffer, buffer.clone()) for model in models for buffer in model.buffers()]
    random = random_states(device)
    try:
        restore = training.components.snapshot()
    except NotRestorable:  # there are no checkpoints then
        restore = _nothing
    try:
        yield
    except Interrupted:
        for buffer, before in buffers:
            buffer.copy_(before)
        restore()
        set_random_states(random, device)
        raise


def _nothing() -> None: ...


@torch.no_grad()
def prepare(training: Training, stop: StopCheck) -> None:
    """Let an averaging that wants to look at training images before an evaluation.

    Raises:
        Interrupted: the program was asked to stop.
    """
    if isinstance(training.averaging, ImageAveraging):
        with training.numerics.autocast():
            training.averaging.prepare(_training_images(training, stop))


def _training_images(training: Training, stop: StopCheck) -> Iterator[Tensor]:
    for images, _ in training.splits.train.batches(training.config.data.batch_size):
        stop.check()
        yield images


@torch.no_grad()
def evaluate(training: Training, split: AnySplit, stop: StopCheck) -> Metrics:
    """Evaluate the averaged model on `split`.

    Returns:
        `loss`: the mean cross entropy per image, or of numbers the mean squared error, whatever the training loss is;
        of others than numbers `accuracy`, as a fraction of one; and the metrics that the config names.

    Raises:
        Interrupted: the program was asked to stop.
    """
    model = training.averaging.model.eval()
    losses, correct, all_logits, all_labels = [], [], [], []
    for images, labels in split.batches(training.config.data.test_batch_size):
        stop.check()
        logits = _logits(training, model, images)
        losses.append(summed_loss(logits, labels, split.kind))
        if training.has_accuracy:
            correct.append(count_right(logits, labels, split.kind))
        if training.metrics:
            all_logits.append(logits)
            all_labels.append(labels)
    measured = {"loss": torch.stack(losses).cpu().double().sum().item() / len(split)}
    if training.has_accuracy:
        measured["accuracy"] = training.accuracy(torch.stack(correct).sum().item(), len(split))
    if training.metrics:
        measured |= own_values(training.metrics, torch.cat(all_logits), torch.cat(all_labels))
    return measured


@torch.no_grad()
def log_probabilities(training: Training, split: AnySplit) -> Tensor:
    """Return the averaged model's log-probabilities (natural logarithm) for each image.

    Returns:
        float32 [n, classes], on the CPU.
    """
    model = training.averaging.model.eval()
    batches = []
    for images, _ in split.batches(training.config.data.test_batch_size):
        batches.append(log_softmax(_logits(training, model, images), dim=1))
    return torch.cat(batches).cpu()


def _logits(training: Training, model: nn.Module, images: Tensor) -> Tensor:
    """Run a model in evaluation mode, float32 [batch, classes]; on a CPU on a few images at a time, to save memory."""
    at_once = MAX_EVALUATED if images.device.type == "cpu" else len(images)
    with training.numerics.autocast():
        return torch.cat([model(few).float() for few in torch.split(images, at_once)])
