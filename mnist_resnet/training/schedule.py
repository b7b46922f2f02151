"""The learning rate's course: each schedule takes the optimiser and the run's steps, and is stepped each batch."""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler


def constant(optimizer: Optimizer, total_steps: int) -> LRScheduler:  # noqa: ARG001 (every schedule is called alike)
    """The rate that the optimiser was built with, at every step."""
    return LambdaLR(optimizer, lambda _: 1.0)


def cosine(optimizer: Optimizer, total_steps: int) -> LRScheduler:
    """Half a cosine from the optimiser's rate to zero (Loshchilov and Hutter 2017, SGDR, equation 5, one period)."""
    return LambdaLR(optimizer, lambda step: _half_cosine(step / total_steps))


def onecycle(optimizer: Optimizer, total_steps: int, warmup: float = 0.3) -> LRScheduler:
    """Linear up to the optimiser's rate, then half a cosine down to zero (after Smith and Topin 2018, one-cycle).

    Args:
        optimizer: its rate is the peak.
        total_steps: optimiser steps of the whole run.
        warmup: share of the run in which the rate rises, from a twenty-fifth of the peak (PyTorch's `div_factor`).
    """
    rise = max(1.0, warmup * total_steps)

    def factor(step: int) -> float:
        if step < rise:
            return 1 / 25 + (1 - 1 / 25) * step / rise
        return _half_cosine((step - rise) / max(1.0, total_steps - rise))

    return LambdaLR(optimizer, factor)


def linear(optimizer: Optimizer, total_steps: int, warmup: float = 0.2, final: float = 0.0) -> LRScheduler:
    """Linear up from nothing to the optimiser's rate, then linear down: the triangle of Smith and Topin 2018.

    Args:
        optimizer: its rate is the peak.
        total_steps: optimiser steps of the whole run.
        warmup: share of the run in which the rate rises; its first step has a rate already, its last one the peak.
        final: share of the peak that would be reached one step after the last one.
    """
    rise = warmup * total_steps

    def factor(step: int) -> float:
        if step < rise:
            return min(1.0, (step + 1) / rise)
        return 1 - (1 - final) * min(1.0, (step - rise) / (total_steps - rise))

    return LambdaLR(optimizer, factor)


def _half_cosine(progress: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
