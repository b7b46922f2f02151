"""Which weights a run evaluates and saves: the latest ones, or an average over its steps.

Each class is built with the network and the run's number of steps, and updated after each step. PyTorch's own
`AveragedModel` reads its step counter back to the host in every update: a GPU would have to wait for that, and a CUDA
graph can't capture it. Here an update is three operations on lists of tensors, with weights computed on the device.
"""

import copy
from collections.abc import Iterable
from itertools import chain, islice
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import update_bn


class Averaging(Protocol):
    """The interface that the training loop uses.

    Attributes:
        model: the network whose weights are evaluated, exported and saved.
    """

    model: nn.Module

    def update(self) -> None:
        """Called after each optimiser step."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state for a checkpoint, without the trained network."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""


@runtime_checkable
class ImageAveraging(Averaging, Protocol):
    """An averaging that looks at training images before each evaluation."""

    def prepare(self, batches: Iterable[Tensor]) -> None:
        """Called before each evaluation.

        Args:
            batches: training images in the data set's order, normalised and not augmented, float32
                [batch, channels, height, width].
        """


class LatestWeights:
    """No averaging: `model` is the trained network itself."""

    def __init__(self, model: nn.Module, total_steps: int) -> None:  # noqa: ARG002 (all averagings take both)
        self.model = model

    def update(self) -> None:
        """Do nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Do nothing."""


class PreciseBatchNorm:
    """The latest weights, with batch norm's statistics computed anew before each evaluation.

    The running statistics are an average over the last steps, so that they lag behind weights that change fast. Here
    they are the mean over batches that all pass through the same weights: "precise batch norm" (Wu and Johnson 2021,
    "Rethinking 'Batch' in BatchNorm", section 3). Training is bitwise that without it.

    Args:
        model: the trained network.
        total_steps: unused.
        batches: number of batches to compute the statistics from.
    """

    def __init__(self, model: nn.Module, total_steps: int, batches: int) -> None:  # noqa: ARG002 (all take both)
        self.model = copy.deepcopy(model).requires_grad_(False)
        self._trained, self._batches = model, batches

    def update(self) -> None:
        """Do nothing."""

    def prepare(self, batches: Iterable[Tensor]) -> None:
        """Copy the weights and compute the statistics; see `ImageAveraging`."""
        self.model.load_state_dict(self._trained.state_dict())
        devices = {tensor.device for tensor in self.model.parameters() if tensor.is_cuda}
        with torch.random.fork_rng(devices):  # dropout draws here, too, and must not change what training draws
            update_bn(islice(batches, self._batches), self.model)

    def state_dict(self) -> dict[str, Any]:
        """Return the network's state as last evaluated."""
        return {"model": self.model.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.model.load_state_dict(state["model"])


class WeightAverage:
    """Base class: a running average of the network's floating-point parameters and buffers.

    Batch norm's running statistics are averaged like the weights. Integer buffers, such as batch counts, are copied.
    Step n changes the average to `(1 - share(n)) * average + share(n) * weights`; a share of 1 copies the weights.

    Attributes:
        model: a copy of the network that holds the average.
        steps: float32 [], number of updates so far.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self._weights, self._counts = _tensors(model)
        self._averages, self._copied_counts = _tensors(self.model)
        self.steps = torch.zeros((), device=self._averages[0].device)  # float32 is exact for counts up to 16 million

    def share(self, steps: Tensor) -> Tensor:
        """Return the share of the latest weights in the new average.

        Args:
            steps: float32 [], number of this step, from 1.

        Returns:
            float32 [], between 0 and 1.
        """
        raise NotImplementedError

    @torch.no_grad()
    def update(self) -> None:
        """Add the current weights to the average."""
        self.steps += 1
        share = self.share(self.steps)
        torch._foreach_mul_(self._averages, 1 - share)
        torch._foreach_add_(self._averages, torch._foreach_mul(self._weights, share))
        for copied, count in zip(self._copied_counts, self._counts, strict=True):
            copied.copy_(count)

    def state_dict(self) -> dict[str, Any]:
        """Return the averaged network's state and the number of updates."""
        return {"model": self.model.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` returned."""
        self.model.load_state_dict(state["model"])
        self.steps.copy_(state["steps"])


class ExponentialAverage(WeightAverage):
    """Exponential moving average (EMA), with a smaller decay at first.

    After n steps, the decay of the next one is min(`decay`, (1 + n) / (10 + n)). A short run's average then covers its
    last tenth and not its first steps. The formula is that of TensorFlow's `tf.train.ExponentialMovingAverage` with
    `num_updates`.

    Args:
        model: the trained network.
        total_steps: unused.
        decay: the largest share of the old average in the new one, between 0 and 1.
    """

    def __init__(self, model: nn.Module, total_steps: int, decay: float) -> None:  # noqa: ARG002 (all take both)
        super().__init__(model)
        self.decay = decay

    def share(self, steps: Tensor) -> Tensor:
        """Return one minus the decay, float32 []; see the class."""
        return 1 - (steps / (9 + steps)).clamp(max=self.decay)


class TailAverage(WeightAverage):
    """Mean of the weights after each of the run's last steps; until the first of those, the latest weights.

    This is stochastic weight averaging (Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better
    Generalization") at every step, except that batch norm's statistics are averaged instead of computed anew.

    Args:
        model: the trained network.
        total_steps: optimiser steps of the whole run.
        share: fraction of the steps that are averaged; at least one step is.
    """

    def __init__(self, model: nn.Module, total_steps: int, share: float) -> None:
        super().__init__(model)
        self.steps_before = total_steps - max(1, round(share * total_steps))

    def share(self, steps: Tensor) -> Tensor:
        """Return 1 / (number of averaged steps including this one), float32 []; 1 before the tail."""
        return 1 / (steps - self.steps_before).clamp(min=1)


def _tensors(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """Return the floating-point parameters and buffers, which are averaged, and the other ones, which are copied."""
    tensors = [tensor.detach() for tensor in chain(model.parameters(), model.buffers())]
    floating = [tensor for tensor in tensors if tensor.is_floating_point()]
    return floating, [tensor for tensor in tensors if not tensor.is_floating_point()]
