"""An optimiser of the user's own."""

from collections.abc import Callable
from typing import Any

import torch
from torch.optim import Optimizer


class SignDescent(Optimizer):
    """Goes by the sign of the gradient alone."""

    def __init__(self, params: Any, lr: float) -> None:
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """One step; a closure is not called."""
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter -= group["lr"] * parameter.grad.sign()
