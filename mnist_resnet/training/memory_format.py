"""Faster memory layouts and optimiser kernels. They compute the same values, up to rounding."""

from collections.abc import Callable
from functools import cache, wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer, adam, sgd

from mnist_resnet.training.numerics import Numerics

FUSED = (SGD, Adam, AdamW)
"""Optimisers with a fused kernel in PyTorch, on CPUs and CUDA."""

TAKES_ROWS_ONLY = {"torch.optim.LBFGS"}
"""Optimisers that flatten gradients by `view`, which fails on weights stored channels-last."""


def use_channels_last(model: nn.Module, numerics: Numerics) -> None:
    """Store convolution weights channels-last where that is faster; PyTorch then lays out feature maps the same way.

    It is faster on CPUs (by 3 to 6 % of a step, `benchmarks/NOTES.md`) and on NVIDIA GPUs in bf16, whose tensor cores
    work on this layout in half precision (NVIDIA's "Deep Learning Performance" guide on convolutions, section "Tensor
    Layouts").

    Args:
        model: the network; its 4-dimensional parameters [out, in, rows, columns] are changed in place.
        numerics: device and precision of the training.
    """
    kind = torch.device(numerics.device).type
    if kind == "cpu" or (kind == "cuda" and numerics.precision == "bf16"):
        for parameter in model.parameters():
            if parameter.dim() == 4:
                # `contiguous` would leave weights with one input channel as they are. Their outputs would then be
                # channels-first, and max pooling takes 20 times as long on those on a CPU.
                channels_last = torch.empty_like(parameter.data, memory_format=torch.channels_last)
                parameter.data = channels_last.copy_(parameter.data)


def use_fused_optimizer(optimizer: Optimizer) -> None:
    """Enable the optimiser's fused kernel, which updates all weights in one pass.

    Parameter groups on other devices, with non-floating-point weights, or with an explicit `fused`, `foreach` or
    `differentiable` setting are left as they are.
    """
    # A subclass may change what a step does, so only the exact types count.
    if type(optimizer) not in FUSED:
        return
    _use_memory_order()
    for group in optimizer.param_groups:
        is_supported = all(
            parameter.device.type in ("cpu", "cuda") and parameter.is_floating_point() for parameter in group["params"]
        )
        if is_supported and group["fused"] is None and not group["foreach"] and not group["differentiable"]:
            group["fused"] = True


@cache
def _use_memory_order() -> None:
    """Let the fused kernels work on channels-last weights on a CPU without copying them.

    They copy each tensor that isn't contiguous, and back (`FusedAdamKernel.cpp` of torch 2.14), which takes longer than
    the update. With its dimensions in the order of memory, the same tensor is contiguous.
    """
    adam.adam = _in_memory_order(adam.adam)
    sgd.sgd = _in_memory_order(sgd.sgd)


def _in_memory_order(update: Callable[..., None]) -> Callable[..., None]:
    @wraps(update)
    def call(*lists: list[Tensor | None], **options: Any) -> None:
        # What is missing is made in the shape of the others, as in the first step of SGD with momentum.
        is_complete = all(tensor is not None for tensors in lists for tensor in tensors)
        if options.get("fused") and is_complete:
            lists = tuple(
                [tensor if tensor is None else _memory_order(tensor) for tensor in tensors] for tensors in lists
            )
        update(*lists, **options)

    return call


def _memory_order(tensor: Tensor) -> Tensor:
    """Return a view of a channels-last tensor on a CPU that is contiguous; others as they are."""
    if tensor.device.type != "cpu" or tensor.dim() != 4 or tensor.is_contiguous():
        return tensor
    ordered = tensor.permute(0, 2, 3, 1)
    return ordered if ordered.is_contiguous() else tensor
