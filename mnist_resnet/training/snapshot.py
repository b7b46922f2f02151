"""A snapshot of everything that a training step changes, so that a step can be tried and undone."""

import copy
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mnist_resnet.jobs.random_states import random_states, set_random_states
from mnist_resnet.training.component_state import ComponentState


class Snapshot:
    """Copies the state of a model, its optimiser and the random generators, and restores it in the same tensors.

    Args:
        model: all of its parameters and buffers are saved.
        optimizer: its state is saved. State that it creates later is set to zero, its initial value.
        components: the state of the loss and the other components, which is saved, too.
        extra: further tensors to save, of any shape and dtype.
    """

    def __init__(
        self, model: nn.Module, optimizer: Optimizer, components: ComponentState, extra: Sequence[Tensor] = ()
    ) -> None:
        self._optimizer, self._device = optimizer, next(model.parameters()).device
        self._restore_components = components.snapshot()
        self._saved = [
            (tensor, tensor.detach().clone())
            for tensor in chain(model.parameters(), model.buffers(), extra, state_tensors(optimizer))
        ]
        # some optimisers count in their groups
        self._groups = [_settings(group) for group in optimizer.param_groups]
        self._random = random_states(str(self._device))

    @torch.no_grad()
    def restore(self) -> None:
        """Restore the saved state, and clear the gradients."""
        saved_ids = {id(tensor) for tensor, _ in self._saved}
        for tensor, saved in self._saved:
            tensor.copy_(saved)
        for tensor in state_tensors(self._optimizer):
            if id(tensor) not in saved_ids:
                tensor.zero_()
        for group, settings in zip(self._optimizer.param_groups, self._groups, strict=True):
            group.update(copy.deepcopy(settings))
        self._optimizer.zero_grad()
        self._restore_components()
        set_random_states(self._random, str(self._device))


def _settings(group: dict[str, Any]) -> dict[str, Any]:
    return copy.deepcopy({key: value for key, value in group.items() if key != "params"})


def state_tensors(optimizer: Optimizer) -> Iterator[Tensor]:
    """Yield all tensors in the optimiser's state, such as moments and step counts."""
    for parameter_state in optimizer.state.values():
        for value in parameter_state.values():
            if isinstance(value, Tensor):
                yield value
