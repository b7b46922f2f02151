"""The training loop, which follows the report's protocol: its epochs, steps and the metrics of each."""

import math
import time
from collections.abc import Sequence

import torch

from mnist_resnet.data.batches import epoch_order, epoch_seed
from mnist_resnet.data.split import Split
from mnist_resnet.data.targets import balancing_weights
from mnist_resnet.job_folder import Metrics
from mnist_resnet.jobs.checkpoint import Checkpoints
from mnist_resnet.jobs.progress import Diverged
from mnist_resnet.jobs.signals import Interrupted
from mnist_resnet.jobs.stop_check import StopCheck
from mnist_resnet.tracking.callback import Callback
from mnist_resnet.training.async_metrics import AsyncMetrics
from mnist_resnet.training.combined_optimizer import set_mode
from mnist_resnet.training.evaluation import evaluate, prepare, undone_if_stopped
from mnist_resnet.training.own_metrics import check_scales
from mnist_resnet.training.training_run import Training


def train(training: Training, callbacks: Sequence[Callback], checkpoints: Checkpoints, stop: StopCheck) -> None:
    """Train until the last epoch, starting at `training.epoch` and `training.step`.

    Args:
        training: the run; it is changed.
        callbacks: called for batches and epochs.
        checkpoints: called after each step and epoch, and decides when to write a checkpoint.
        stop: checked after each step and before each batch of an evaluation.

    Raises:
        Diverged: the loss is no longer finite; detected when it is next reported, or at the epoch's end.
        Interrupted: the program was asked to stop; the current step was finished and a checkpoint written.
        Pruned: a callback stopped the run at the end of an epoch.
    """
    try:
        while training.epoch < training.config.epochs:
            train_epoch(training, callbacks, checkpoints, stop)
            with undone_if_stopped(training):
                metrics = epoch_metrics(training, stop)
            training.history.append(metrics)
            training.batch_losses.append(training.losses.cpu().clone())
            training.schedule_steps.epoch_ended(metrics, training.epoch + 1)
            training.epoch, training.step, training.seconds = training.epoch + 1, 0, 0.0
            training.correct.zero_()
            for callback in callbacks:
                callback.epoch(metrics)
            checkpoints.epoch_ended(training.state)
    except Interrupted:
        checkpoints.write_now(training.state)
        raise


def train_epoch(training: Training, callbacks: Sequence[Callback], checkpoints: Checkpoints, stop: StopCheck) -> None:
    """Train until the end of the current epoch.

    Raises:
        Diverged: a reported loss is not finite.
        Interrupted: the program was asked to stop.
    """
    config, model, device = training.config, training.model, training.numerics.device
    split, epoch = training.splits.train, training.epoch
    weights = balancing_weights(split.labels.cpu()) if config.data.balanced and isinstance(split, Split) else None
    order = epoch_order(len(split), config.seed_of("order"), epoch, weights, config.data.shuffle)
    own = config.seeds.augmentation
    drawn = epoch_seed(config.seed_of("dropout") if own is None else own, epoch)
    metrics = AsyncMetrics(device)
    started = time.perf_counter() - training.seconds
    model.train()
    if training.step < training.steps_per_epoch:  # else the weights are those to evaluate already
        set_mode([training.optimizer], "train")
    update = training.replay or training.update
    for indices in split.upcoming(order, config.data.batch_size, training.step, drawn):
        loss = update(indices)
        training.lr = training.optimizer.param_groups[0]["lr"]
        training.schedule_steps.batch_ended(training.epoch * training.steps_per_epoch + training.step + 1)
        training.averaging.update()
        training.losses[training.step] = loss
        training.step += 1

        if (training.step - 1) % config.trainer.log_interval == 0:
            metrics.put(training.step - 1, training.losses[training.step - 1], training.correct)
        for step, batch_loss, correct in metrics.arrived():
            report_batch(training, callbacks, step, batch_loss, correct)
        training.seconds = time.perf_counter() - started
        checkpoints.step_ended(training.step, training.state)
        stop.check()
    for step, batch_loss, correct in metrics.wait_for_rest():
        report_batch(training, callbacks, step, batch_loss, correct)
    training.losses.cpu()  # waits for the steps that are still queued on a GPU, so that their time counts
    training.seconds = time.perf_counter() - started


def report_batch(training: Training, callbacks: Sequence[Callback], step: int, loss: float, correct: int) -> None:
    """Report a step to the callbacks.

    Args:
        training: the run.
        callbacks: called with the step's loss and the accuracy, NaN where targets are numbers.
        step: the step in the current epoch, from 0.
        loss: the batch's mean loss.
        correct: number of images classified correctly in this epoch up to and including this step.

    Raises:
        Diverged: the loss is not finite.
    """
    if loss - loss != 0:  # true only for infinities and NaN
        raise first_divergence(training)
    images = min((step + 1) * training.config.data.batch_size, len(training.splits.train))
    for callback in callbacks:
        callback.batch(training.epoch, step, loss, training.accuracy(correct, images))


def first_divergence(training: Training) -> Diverged:
    """Return the error for the first step of this epoch whose loss is not finite.

    Losses are reported every few steps and with a delay, so an earlier step than the reported one may have diverged.
    """
    losses = training.losses[: training.step].cpu()
    step = int((~losses.isfinite()).nonzero()[0])
    return Diverged(training.epoch, step, losses[step].item())


def epoch_metrics(training: Training, stop: StopCheck) -> Metrics:
    """Evaluate the network, and return the metrics of the completed epoch, one line of `metrics.jsonl`.

    Args:
        training: the run, after the last step of an epoch.
        stop: checked before each batch of an evaluation.

    Returns:
        Losses as means per image, accuracies as fractions of one, times in seconds. `seconds` includes the evaluation,
        `training_seconds` and `images_per_second` do not.

    Raises:
        Diverged: the loss of a training batch or of an evaluation is not finite. The latter can happen when weights or
            running statistics overflow in the epoch's last step.
        Interrupted: the program was asked to stop.
    """
    count, batch_size = len(training.splits.train), training.config.data.batch_size
    set_mode([training.optimizer], "eval")
    training.free_gradients()
    losses = training.losses.cpu().double()
    if not losses.isfinite().all():
        raise first_divergence(training)
    sizes = torch.full_like(losses, batch_size)
    sizes[-1] = count - batch_size * (len(losses) - 1)
    started = time.perf_counter()
    metrics: Metrics = {
        "epoch": training.epoch,
        "train_loss": (losses @ sizes / count).item(),
    }
    if training.has_accuracy:
        metrics["train_accuracy"] = training.accuracy(training.correct.item(), count)
    prepare(training, stop)
    for name, split in (("val", training.splits.val), ("test", training.splits.test)):
        if split is not None:
            measured = evaluate(training, split, stop)
            if not math.isfinite(measured["loss"]):
                raise Diverged(training.epoch, training.step - 1, measured["loss"], f"{name} loss")
            check_scales(name, measured, training.declared)
            metrics |= {f"{name}_{key}": value for key, value in measured.items()}
    evaluation = time.perf_counter() - started
    return metrics | {
        "lr": float(training.lr),
        "seconds": training.seconds + evaluation,
        "training_seconds": training.seconds,
        "images_per_second": count / training.seconds,
    }
