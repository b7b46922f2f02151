"""All that a training step changes, kept to be put back, in the same tensors: a step can be tried and undone."""

from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mnist_resnet.jobs.checkpoint import random_states, set_random_states


class Snapshot:
    """What model, optimiser and generators are now.

    Args:
        model: all of its parameters and buffers are kept.
        optimizer: its state is kept; what it begins to keep later is zeroed, as a fresh one would begin.
        counted: further tensors.
    """

    def __init__(self, model: nn.Module, optimizer: Optimizer, counted: Sequence[Tensor] = ()) -> None:
        self._optimizer, self._device = optimizer, next(model.parameters()).device
        self._were = [
            (tensor, tensor.detach().clone())
            for tensor in chain(model.parameters(), model.buffers(), counted, state_tensors(optimizer))
        ]
        self._random = random_states(str(self._device))

    @torch.no_grad()
    def restore(self) -> None:
        """Put it all back."""
        known = {id(tensor) for tensor, _ in self._were}
        for tensor, was in self._were:
            tensor.copy_(was)
        for tensor in state_tensors(self._optimizer):
            if id(tensor) not in known:
                tensor.zero_()
        self._optimizer.zero_grad()
        set_random_states(self._random, str(self._device))


def state_tensors(optimizer: Optimizer) -> Iterator[Tensor]:
    """The tensors that an optimiser keeps from step to step."""
    for kept in optimizer.state.values():
        for value in kept.values():
            if isinstance(value, Tensor):
                yield value
