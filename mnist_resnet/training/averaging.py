"""Which weights a run is judged by: the latest, or an average over its steps.

An averaging is built with the network and the run's number of steps, and told of each step. PyTorch's own
`AveragedModel` reads its counter back to the host in every update, which a GPU would have to wait for and a CUDA graph
can't capture; here an update is three operations on lists of tensors, by a share that is computed on the device.
"""

import copy
from itertools import chain
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Averaging(Protocol):
    """What the loop knows of it.

    Attributes:
        model: the network with the weights to evaluate, export and keep.
    """

    model: nn.Module

    def update(self) -> None:
        """The optimiser did a step."""

    def state_dict(self) -> dict[str, Any]:
        """All that changes, but for the trained network itself."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave in another process."""


class LatestWeights:
    """No average: the network as it is trained."""

    def __init__(self, model: nn.Module, total_steps: int) -> None:  # noqa: ARG002 (all are built alike)
        self.model = model

    def update(self) -> None:
        """Nothing."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing changes here."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing."""


class WeightAverage:
    """A running average of the parameters, and of what batch norm has gathered; whole numbers are taken as they are.

    Step n moves the average by `share(n)` of its distance towards the weights, so that a share of 1 copies them.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = copy.deepcopy(model).requires_grad_(False)
        self._weights, self._counts = _tensors(model)
        self._averages, self._copies = _tensors(self.model)
        self.steps = torch.zeros((), device=self._averages[0].device)  # float32 counts 16 million of them exactly

    def share(self, steps: Tensor) -> Tensor:
        """Of the newest weights in the average, float32 [], at the step of this number, float32 [], from 1."""
        raise NotImplementedError

    @torch.no_grad()
    def update(self) -> None:
        """Take the weights into the average."""
        self.steps += 1
        share = self.share(self.steps)
        torch._foreach_mul_(self._averages, 1 - share)
        torch._foreach_add_(self._averages, torch._foreach_mul(self._weights, share))
        for copied, count in zip(self._copies, self._counts, strict=True):
            copied.copy_(count)

    def state_dict(self) -> dict[str, Any]:
        """The averages, and the number of steps."""
        return {"model": self.model.state_dict(), "steps": self.steps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from there."""
        self.model.load_state_dict(state["model"])
        self.steps.copy_(state["steps"])


class ExponentialAverage(WeightAverage):
    """Old averages fade by `decay` a step, but by (1 + n) / (10 + n) before step n + 1 if that is less.

    So a short run's average is one of its last tenth and not of its first steps: TensorFlow's
    `tf.train.ExponentialMovingAverage` with `num_updates`, whose formula it is.
    """

    def __init__(self, model: nn.Module, total_steps: int, decay: float) -> None:  # noqa: ARG002 (all are built alike)
        super().__init__(model)
        self.decay = decay

    def share(self, steps: Tensor) -> Tensor:
        """As the class says."""
        return 1 - (steps / (9 + steps)).clamp(max=self.decay)


class TailAverage(WeightAverage):
    """The mean of the weights after each of the last `share` of the steps, one at the least; until then the latest.

    Stochastic weight averaging (Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better
    Generalization"), taken at every step; batch norm's statistics are averaged too, in place of gathering them anew.
    """

    def __init__(self, model: nn.Module, total_steps: int, share: float) -> None:
        super().__init__(model)
        self.before = total_steps - max(1, round(share * total_steps))

    def share(self, steps: Tensor) -> Tensor:
        """As the class says."""
        return 1 / (steps - self.before).clamp(min=1)


def _tensors(model: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """The parameters and buffers, divided into those that can be averaged and those that count something."""
    tensors = [tensor.detach() for tensor in chain(model.parameters(), model.buffers())]
    return [one for one in tensors if one.is_floating_point()], [one for one in tensors if not one.is_floating_point()]
