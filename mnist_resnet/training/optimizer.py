"""Builds the optimiser that a config names."""

import inspect
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from mnist_resnet.config.build import build
from mnist_resnet.config.classifier_schema import Optim
from mnist_resnet.errors import UsageError
from mnist_resnet.jobs.random_states import random_states, set_random_states

FLATTENED = "view size is not compatible"
"""What PyTorch says of a `view` of weights or gradients whose memory is in another order."""


def build_optimizer(optim: Optim, parameters: list[Any]) -> Optimizer:
    """Build an optimiser for parameters, or groups of them.

    They are its first argument or, if the config gives that one (`Lookahead` takes the optimiser that it wraps),
    `params`.

    Raises:
        UsageError: A group of it has no learning rate, which schedules set.
    """
    made = build(optim.node())
    is_wrapper = isinstance(made, partial) and _first_argument(made) in made.keywords
    optimizer: Optimizer = made(params=parameters) if is_wrapper else made(parameters)
    if not all("lr" in group for group in optimizer.param_groups):
        raise UsageError(f"optim._target_={optim.target}: its groups have no lr, the learning rate that schedules set")
    return optimizer


def takes_channels_last(optim: Optim) -> bool:
    """Return whether an optimiser steps weights stored channels-last: some flatten them by `view`, as LBFGS does."""
    weight = nn.Parameter(torch.ones(2, 2, 2, 2).contiguous(memory_format=torch.channels_last))
    weight.grad = torch.ones_like(weight)
    before = random_states("cpu")
    try:
        build_optimizer(optim, [weight]).step(lambda: 0.0)
    except Exception as error:  # another one is raised again, and named, where the run's own is built or stepped
        return FLATTENED not in str(error)
    finally:
        set_random_states(before, "cpu")
    return True


def _first_argument(made: "partial[Any]") -> str | None:
    return next(iter(inspect.signature(made.func).parameters), None)
