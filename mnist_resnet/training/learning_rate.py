"""Builds the learning-rate schedule that a config names, and steps it when it is due."""

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from mnist_resnet.config.build import build
from mnist_resnet.config.classifier_schema import Schedule
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import Metrics

TOTAL_STEPS = "total_steps"
"""The argument, and the value of an argument, that stands for the number of the schedule's steps in the whole run."""


def build_schedule(schedule: Schedule, optimizer: Optimizer, steps_per_epoch: int, epochs: int) -> LRScheduler:
    """Build a schedule: one of this package's or PyTorch's, or one of the user's own.

    It is called with the optimiser and, if it takes it, `total_steps`: the number of the schedule's steps in the run.
    Arguments with the text `total_steps` as value become that number, and schedules inside of it (`SequentialLR`) are
    built likewise.
    """
    total = epochs * (1 if schedule.interval == "epoch" else steps_per_epoch)
    made: LRScheduler = _called(build(_with_total(schedule.node(), total)), optimizer, total)
    return made


class ScheduleSteps:
    """Steps a schedule at the end of each batch or epoch, whichever it is made for.

    Args:
        schedule: the schedule. If its `step` asks for an `epoch`, as timm's do, it gets the number of its steps so far.
        interval: `step` or `epoch`. A `ReduceLROnPlateau` is stepped after each epoch, whatever this is.
        has_accuracy: whether epochs have an accuracy beside a loss.

    Raises:
        UsageError: A `ReduceLROnPlateau` waits for an accuracy, and there is none; or the schedule's `step` asks for
            something else, or would do nothing.
    """

    def __init__(self, schedule: LRScheduler, interval: str, has_accuracy: bool) -> None:
        self._schedule, self._plateau = schedule, isinstance(schedule, ReduceLROnPlateau)
        if isinstance(schedule, ReduceLROnPlateau) and schedule.mode == "max" and not has_accuracy:
            raise UsageError("schedule.mode=max: waits for an accuracy, which numbers have not; take min")
        if getattr(schedule, "t_in_epochs", True) is False:
            raise UsageError("schedule.t_in_epochs=false: leave it out; schedule.interval says when a step is taken")
        self._is_by_epoch = self._plateau or interval == "epoch"
        self._is_told_where = not self._plateau and _asks_where_it_is(schedule)

    def batch_ended(self, done: int) -> None:
        """Step the schedule if it is stepped after each batch, of which so many are done in the run."""
        if not self._is_by_epoch:
            self._step(done)

    def epoch_ended(self, metrics: Metrics, done: int) -> None:
        """Step the schedule if it is stepped after each epoch, of which so many are done.

        A `ReduceLROnPlateau` gets the loss (`mode=max`: the accuracy) on the held-out images or, without any, of
        training: the test images decide nothing.
        """
        if isinstance(self._schedule, ReduceLROnPlateau):
            split = "val" if "val_loss" in metrics else "train"
            measured = "accuracy" if self._schedule.mode == "max" else "loss"
            self._schedule.step(metrics[f"{split}_{measured}"])
        elif self._is_by_epoch:
            self._step(done)

    def _step(self, done: int) -> None:
        if self._is_told_where:
            self._schedule.step(done)
        else:
            self._schedule.step()


def _asks_where_it_is(schedule: LRScheduler) -> bool:
    """Return whether a schedule's `step` must be given an `epoch`.

    Raises:
        UsageError: It must be given something else.
    """
    arguments = inspect.signature(schedule.step).parameters.values()
    asked = [one.name for one in arguments if one.default is one.empty and one.kind is one.POSITIONAL_OR_KEYWORD]
    if asked not in ([], ["epoch"]):
        raise UsageError(
            f"schedule: {type(schedule).__name__}.step asks for {', '.join(asked)}; it may ask for nothing, or for "
            f"epoch, the number of its steps so far. By a metric there is torch.optim.lr_scheduler.ReduceLROnPlateau"
        )
    return bool(asked)


def _with_total(value: Any, total: int) -> Any:
    if isinstance(value, Mapping):
        return {key: inner if key == "_target_" else _with_total(inner, total) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_total(inner, total) for inner in value]
    return total if value == TOTAL_STEPS else value


def _called(made: Any, optimizer: Optimizer, total: int) -> Any:
    """Call a schedule that still lacks its optimiser, and those among its arguments before it."""
    if not isinstance(made, partial):
        return made
    keywords = {key: _inner(value, optimizer, total) for key, value in made.keywords.items()}
    takes = inspect.signature(made.func).parameters
    if TOTAL_STEPS in takes and TOTAL_STEPS not in keywords:
        keywords[TOTAL_STEPS] = total
    if "optimizer" in takes:
        return made.func(*made.args, optimizer=optimizer, **keywords)
    return made.func(optimizer, *made.args, **keywords)


def _inner(value: Any, optimizer: Optimizer, total: int) -> Any:
    """Call a schedule among the arguments of one; other functions, such as the factors of LambdaLR, are arguments."""
    if isinstance(value, list):
        return [_inner(inner, optimizer, total) for inner in value]
    if not isinstance(value, partial):
        return value
    is_schedule = {"optimizer", TOTAL_STEPS} & inspect.signature(value.func).parameters.keys()
    return _called(value, optimizer, total) if is_schedule else value
