"""Parts of a user's own for `benchmarks.chaos`, each with a state that a resumed job must find again."""

import os
import time
from pathlib import Path

import numpy
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

FOLDER = "CHAOS_FOLDER"
"""Environment variable: the folder of this run of the chaos, on a disk that is never full."""
STEPS, PAUSE = "steps", "pause"
"""Files in it: a byte for each step that any process has trained; the seconds that each step sleeps."""


class RememberingLoss(nn.Module):
    """Cross entropy relative to its own running mean; counts the steps of all processes, and slows them down."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = 1.0

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Return the loss of a batch: logits float32 [images, classes], labels int64 [images]."""
        loss = cross_entropy(logits, labels)
        if torch.is_grad_enabled() and len(labels) > 2:  # two are those on which each launch tries its recipe
            self.mean = 0.9 * self.mean + 0.1 * loss.item()
            _count_and_pause(Path(os.environ[FOLDER]))
        return loss / self.mean


def drifting(optimizer: Optimizer, total_steps: int) -> LambdaLR:  # noqa: ARG001 (all schedules take both)
    """Let the learning rate drift at random, drawn from a generator of NumPy's."""
    generator, level = numpy.random.default_rng(7), [numpy.float64(1)]

    def factor(_: int) -> float:
        level[0] = numpy.clip(level[0] * numpy.exp(0.1 * generator.normal()), 0.3, 3)
        return level[0]

    return LambdaLR(optimizer, factor)


def _count_and_pause(folder: Path) -> None:
    descriptor = os.open(folder / STEPS, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    try:
        os.write(descriptor, b".")
    finally:
        os.close(descriptor)
    time.sleep(float((folder / PAUSE).read_text()))
