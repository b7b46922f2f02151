"""Learning-rate schedules. Each takes the optimiser and the run's number of steps, and is stepped after each batch.

Every schedule multiplies the learning rate that the optimiser was built with by a factor.
"""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler


def constant(optimizer: Optimizer, total_steps: int) -> LRScheduler:  # noqa: ARG001 (all schedules take both)
    """Keep the optimiser's learning rate at every step.

    Args:
        optimizer: its learning rate is used.
        total_steps: unused.
    """
    return LambdaLR(optimizer, lambda _: 1.0)


def cosine(optimizer: Optimizer, total_steps: int) -> LRScheduler:
    """Decay from the optimiser's rate to zero along half a cosine (Loshchilov and Hutter 2017, SGDR, equation 5).

    Args:
        optimizer: its learning rate is the first step's.
        total_steps: optimiser steps of the whole run.
    """
    return LambdaLR(optimizer, lambda step: _half_cosine(step / total_steps))


def onecycle(optimizer: Optimizer, total_steps: int, warmup: float = 0.3) -> LRScheduler:
    """Rise linearly to the optimiser's rate, then decay to zero along half a cosine (Smith and Topin 2018, one-cycle).

    Args:
        optimizer: its learning rate is the peak.
        total_steps: optimiser steps of the whole run.
        warmup: fraction of the run in which the rate rises, starting at 1/25 of the peak (PyTorch's `div_factor`).
    """
    rise = max(1.0, warmup * total_steps)

    def factor(step: int) -> float:
        if step < rise:
            return 1 / 25 + (1 - 1 / 25) * step / rise
        return _half_cosine((step - rise) / max(1.0, total_steps - rise))

    return LambdaLR(optimizer, factor)


def linear(optimizer: Optimizer, total_steps: int, warmup: float = 0.2, final: float = 0.0) -> LRScheduler:
    """Rise linearly from zero to the optimiser's rate, then fall linearly: the triangle of Smith and Topin 2018.

    Args:
        optimizer: its learning rate is the peak.
        total_steps: optimiser steps of the whole run.
        warmup: fraction of the run in which the rate rises. Its first step has a rate above zero, its last the peak.
        final: fraction of the peak that would be reached one step after the last.
    """
    rise = warmup * total_steps

    def factor(step: int) -> float:
        if step < rise:
            return min(1.0, (step + 1) / rise)
        return 1 - (1 - final) * min(1.0, (step - rise) / (total_steps - rise))

    return LambdaLR(optimizer, factor)


def _half_cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
