"""What a run makes of the loss and the augmentation that its config builds."""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import chain
from typing import Any

from torch import nn

from mnist_resnet.errors import UsageError
from mnist_resnet.training.component_state import modules

BUILDING = "while building "


@contextmanager
def building(key: str) -> Iterator[None]:
    """Add to an exception that the part of the run under this key of the config was being built."""
    try:
        yield
    except BaseException as error:
        error.add_note(f"{BUILDING}{key}")
        raise


def on_device(component: Any, device: str) -> Any:
    """Move the modules that a component is, or holds, to `device`, and return the component."""
    for module in modules(component):
        module.to(device)
    return component


def trained_with(model: nn.Module, loss: Any) -> Iterator[tuple[str, nn.Parameter]]:
    """Return the parameters that the optimiser trains, with names: the network's, and those of a loss that has any."""
    return chain(model.named_parameters(), *(module.named_parameters(prefix="loss") for module in modules(loss)))


def trained_parameters(model: nn.Module, loss: Any, target: str) -> list[tuple[str, nn.Parameter]]:
    """Return what `trained_with` does.

    Raises:
        UsageError: There is nothing to train; `target` is the model's.
    """
    trained = list(trained_with(model, loss))
    if not trained:
        raise UsageError(f"model._target_={target}: has no parameters to train")
    return trained


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
