"""Runs that take a moment: the real training loop on the bundled digits, with a network of a few hundred weights."""

import os
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mnist_resnet.config.allowed_targets import allow
from mnist_resnet.config.hydra_versions import VERSION_BASE
from mnist_resnet.config.schema import Config, check
from mnist_resnet.data.batches import load
from mnist_resnet.data.split import AnySplit, Split
from mnist_resnet.job_folder import Metrics
from mnist_resnet.jobs.checkpoint import Checkpoints
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.models.resnet import ResNet
from mnist_resnet.tracking.callback import Callback, RunInfo
from mnist_resnet.training.loop import train
from mnist_resnet.training.numerics import resolve
from mnist_resnet.training.training_run import Training

REPOSITORY = Path(__file__).parents[1]
SIGNATURE = "of the job in this test"
TIMES = ("seconds", "training_seconds", "images_per_second")

SMALL = (
    "data=digits",
    "tracking=none",
    "model.width=2",
    "model.blocks=[1,1]",
    "data.train_size=100",
    "data.test_size=50",
    "data.batch_size=32",
    "data.test_batch_size=20",
    "trainer.epochs=2",
    "trainer.device=cpu",
    "trainer.precision=fp32",
    "trainer.threads=1",
    "trainer.log_interval=1",
)
"""Four steps per epoch, the last one with four images; three batches of test images."""


@lru_cache(maxsize=64)
def _resolved(*overrides: str) -> dict[str, Any]:
    with initialize_config_dir(str(REPOSITORY / "conf"), **VERSION_BASE):
        container = OmegaConf.to_container(compose("config", [*SMALL, *overrides]), resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


def resolved(*overrides: str) -> dict[str, Any]:
    container = _resolved(*overrides)
    allow(container)
    return container


def small(*overrides: str) -> Config:
    return check(resolved(*overrides))


def new_training(config: Config) -> Training:
    numerics = resolve(config.trainer)
    numerics.apply()
    return Training(config, load(config.data, numerics.device, config.seeds.split), numerics)


def in_memory(split: AnySplit | None) -> Split:
    """Return a split that is known to be in memory."""
    assert isinstance(split, Split)
    return split


def unsaved(folder: Path = Path()) -> Checkpoints:
    """Return a `Checkpoints` that never writes during a test, because of its long interval."""
    return Checkpoints(folder, SIGNATURE, interval=1e9, every=None, may_write=lambda: None)


def trained(config: Config, *callbacks: Callback) -> Training:
    training = new_training(config)
    train(training, callbacks, unsaved(), Interrupt())
    return training


def without_times(history: list[Metrics]) -> list[Metrics]:
    return [{key: value for key, value in epoch.items() if key not in TIMES} for epoch in history]


def differences(one: Training, other: Training) -> list[str]:
    """Return the names of everything that is not bitwise equal in two runs, except times."""
    return [
        *different_tensors(one.model.state_dict(), other.model.state_dict(), "model"),
        *different_tensors(one.optimizer.state_dict(), other.optimizer.state_dict(), "optimizer"),
        *different_tensors(one.averaging.state_dict(), other.averaging.state_dict(), "averaging"),
        *different_tensors(one.batch_losses, other.batch_losses, "batch_losses"),
        *(["history"] if without_times(one.history) != without_times(other.history) else []),
        *different_tensors(one.state()["random"], other.state()["random"], "random"),
    ]


def different_tensors(one: Any, other: Any, path: str) -> list[str]:
    if isinstance(one, Tensor):
        return [] if torch.equal(one, other) else [path]
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        return [found for key in one for found in different_tensors(one[key], other[key], f"{path}.{key}")]
    if isinstance(one, list | tuple):
        assert len(one) == len(other)
        return [found for i in range(len(one)) for found in different_tensors(one[i], other[i], f"{path}.{i}")]
    return [] if one == other else [path]


class RecordingCallback:
    """A callback that records its calls."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, int, float, float]] = []
        self.epochs: list[Metrics] = []

    def begin(self, run: RunInfo) -> None: ...

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        self.batches.append((epoch, step, loss, accuracy))

    def epoch(self, metrics: Metrics) -> None:
        self.epochs.append(metrics)

    def end(self, result: dict[str, Any]) -> None: ...


def exploding(optimizer: Optimizer, total_steps: int, at: int) -> LambdaLR:
    """A schedule with the optimiser's rate, except for the step `at`, whose huge rate makes the weights overflow."""
    return LambdaLR(optimizer, lambda step: 1e35 if step == at else 1.0)


class SlowResNet(ResNet):
    """The report's network, with training steps slowed down by `SECONDS_A_STEP` seconds.

    The two images on which a recipe is tried before the job are not: no batch of a job is as small.
    """

    def forward(self, images: Tensor) -> Tensor:
        if self.training and len(images) > 2:
            time.sleep(float(os.environ.get("SECONDS_A_STEP", "0")))
        return super().forward(images)
