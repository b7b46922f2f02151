"""Faster memory layouts and optimiser kernels. They compute the same values, up to rounding."""

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

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
    for group in optimizer.param_groups:
        is_supported = all(
            parameter.device.type in ("cpu", "cuda") and parameter.is_floating_point() for parameter in group["params"]
        )
        if is_supported and group["fused"] is None and not group["foreach"] and not group["differentiable"]:
            group["fused"] = True
