"""Lets PyTorch's optimisers work without importing its compiler, which takes over a second and 150 MB."""

import sys
from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import torch
from torch.optim import Optimizer

COMPILER = "torch._dynamo"


@cache
def use_eager_optimizers() -> None:
    """Make PyTorch's optimisers import the compiler only once something else has; call it before building one.

    Methods of `Optimizer` are marked for the compiler in a way that imports it at their first call, and each `step`
    does so to mark a break between two graphs (`torch/_compile.py` and `torch/optim/optimizer.py` of torch 2.14).
    Neither changes what is computed. What looks different in another version of PyTorch is left as it is.
    """
    for name, method in list(vars(Optimizer).items()):
        if getattr(getattr(method, "__code__", None), "co_filename", "").endswith("_compile.py"):
            setattr(Optimizer, name, _until_compiler(method, method.__wrapped__))
    kinds: list[Any] = Optimizer.__subclasses__()
    for kind in kinds:
        step = vars(kind).get("step")
        if getattr(getattr(step, "__code__", None), "co_name", "") == "_use_grad":
            kind.step = _until_compiler(step, _without_gradients(step.__wrapped__))


def _until_compiler(marked: Callable[..., Any], plain: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(marked)
    def call(*args: Any, **kwargs: Any) -> Any:
        return (marked if COMPILER in sys.modules else plain)(*args, **kwargs)

    return call


def _without_gradients(step: Callable[..., Any]) -> Callable[..., Any]:
    """Return the step as PyTorch runs it: with gradients only for an optimiser that is to be differentiable."""

    def call(optimizer: Optimizer, *args: Any, **kwargs: Any) -> Any:
        with torch.set_grad_enabled(optimizer.defaults["differentiable"]):
            return step(optimizer, *args, **kwargs)

    return call
