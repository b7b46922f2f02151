"""Tries a recipe before any job starts: builds what a config names, and trains one step on two images."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from hydra.errors import InstantiationException
from torch import Tensor, nn

from mnist_resnet.config.schema import Config
from mnist_resnet.config.section import Component
from mnist_resnet.data.batches import load
from mnist_resnet.data.targets import summed_loss
from mnist_resnet.errors import UsageError, raised_at, wording
from mnist_resnet.jobs.random_states import random_states, set_random_states
from mnist_resnet.training.combined_optimizer import set_mode
from mnist_resnet.training.components import BUILDING
from mnist_resnet.training.numerics import resolve
from mnist_resnet.training.outputs import check_outputs
from mnist_resnet.training.own_metrics import check_scales, own_values
from mnist_resnet.training.training_run import Training, predict

DEVICE = "cpu"
"""Where recipes are tried: a launch would otherwise hold memory of a GPU for as long as its workers need it."""

PARTS = ("model", "loss", "optim", "schedule", "averaging", "augmentation", "training.step")
"""The config's keys of what a run is built of, apart from metrics."""


def try_recipe(config: Config) -> None:
    """Build a config's parts, train one step on its first two images, and evaluate the network on them.

    Raises:
        UsageError: Something fails. The message names the config's keys.
    """
    metrics = [f"training.metrics.{name}" for name in config.training.metrics]
    with _one_thread(), _random_states_kept():
        with _naming(config, "data"):
            splits = load(config.data, DEVICE)
        with _naming(config, *PARTS, *metrics):
            numerics = replace(resolve(config.trainer), device=DEVICE, precision="fp32")
            training = Training(config, splits, numerics)
        _logits(training, training.model)
        training.model.train()
        set_mode([training.optimizer], "train")
        _step(training, torch.arange(min(2, len(training.splits.train))))
        set_mode([training.optimizer], "eval")
        _evaluate(training)


@contextmanager
def _one_thread() -> Iterator[None]:
    # More gain nothing for two images, and wait for each other where other processes hold the cores: beside three of
    # them a dry run took 23 s with two threads, and takes 5 s.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _random_states_kept() -> Iterator[None]:
    before = random_states(DEVICE)
    try:
        yield
    finally:
        set_random_states(before, DEVICE)


def _step(training: Training, indices: Tensor) -> None:
    config = training.config
    if training.own_step is not None:
        with _naming(config, "training.step", "model", "loss", "optim", "augmentation"):
            training.update(indices)
        return
    images, labels = training.splits.train.batch(indices)
    with _naming(config, "augmentation"):
        images = training.augment(images)
    with _naming(config, "model", "loss"):
        loss, _ = predict(training.model, training.loss, training.numerics, images, labels)
        loss.backward()  # type: ignore[no-untyped-call]
    with _naming(config, "optim"):
        training.optimizer.step()
    with _naming(config, "schedule"):
        training.schedule_steps.batch_ended(1)
    with _naming(config, "averaging"):
        training.averaging.update()


@torch.no_grad()
def _evaluate(training: Training) -> None:
    _, labels = training.splits.test.batch(slice(0, 2))
    logits = _logits(training, training.averaging.model)
    summed_loss(logits, labels, training.splits.test.kind)
    values: dict[str, float] = {}
    for name, metric in training.metrics.items():
        with _naming(training.config, f"training.metrics.{name}"), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of two images, not every class has one
            measured = own_values({name: metric}, logits, labels, taken=values)
            for split in ("val", "test"):
                check_scales(split, measured, training.declared)
            values |= measured


@torch.no_grad()
def _logits(training: Training, model: nn.Module) -> Tensor:
    """Return what the network predicts for two images.

    Raises:
        UsageError: That is no tensor, or not of the shape that the targets ask for.
    """
    images, labels = training.splits.test.batch(slice(0, 2))
    with _naming(training.config, "model"):
        logits = model.eval()(images)
    if not isinstance(logits, Tensor):
        target = f"model._target_={training.config.model.target}"
        raise UsageError(f"{target}: returns a {type(logits).__name__} when it is evaluated; it must return one tensor")
    check_outputs(training.config, logits, labels, training.splits.test.kind)
    return logits


@contextmanager
def _naming(config: Config, *keys: str) -> Iterator[None]:
    """Say of an exception which of the config's parts raised it: the one that was being built, or one of `keys`."""
    try:
        yield
    except UsageError:
        raise
    except (Exception, SystemExit) as error:  # a component may try to end the process
        cause = error.__cause__ if isinstance(error, InstantiationException) and error.__cause__ else error
        notes = getattr(error, "__notes__", [])
        built = [key for key in keys if f"{BUILDING}{key}" in notes]
        named = [f"{key}._target_={target}" for key in built or keys if (target := _target(config, key))]
        told, at = wording(cause, 300), raised_at(cause)
        if at:  # in the user's own code, where the message alone may mean nothing
            told = f"{type(cause).__name__}: {told} ({at})"
        raise UsageError(f"{', '.join(named)}: {told}") from error


def _target(config: Config, key: str) -> str | None:
    if key.startswith("training.metrics."):
        return config.training.metrics[key.rpartition(".")[2]].target
    node = config.training.step if key == "training.step" else getattr(config, key)
    return node.target if isinstance(node, Component) else None
