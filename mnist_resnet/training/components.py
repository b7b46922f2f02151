"""What a run makes of the loss and the augmentation that its config builds."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from torch import nn

from mnist_resnet.errors import UsageError
from mnist_resnet.training.component_state import modules


def on_device(component: Any, device: str) -> Any:
    """Move the modules that a component is, or holds, to `device`, and return the component."""
    for module in modules(component):
        module.to(device)
    return component


def trained_with(model: nn.Module, loss: Any) -> Iterator[tuple[str, nn.Parameter]]:
    """Return the parameters that the optimiser trains, with names: the network's, and those of a loss that has any."""
    return chain(model.named_parameters(), *(module.named_parameters(prefix="loss") for module in modules(loss)))


def without_parameters(augmentation: Any) -> Any:
    """Return the augmentation, unless it has parameters that nothing would train.

    Raises:
        UsageError: It has.
    """
    names = [
        name for module in modules(augmentation) for name, value in module.named_parameters() if value.requires_grad
    ]
    if names:
        raise UsageError(
            f"augmentation: has parameters ({', '.join(names[:3])}), and nothing trains an augmentation; make them "
            f"buffers, or set requires_grad=False"
        )
    return augmentation
