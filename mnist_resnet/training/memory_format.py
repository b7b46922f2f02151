"""How weights lie in memory and how an optimiser goes over them: what a device does fastest, the same numbers."""

import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer

from mnist_resnet.training.numerics import Numerics

FUSED = (SGD, Adam, AdamW)
"""Optimisers of which PyTorch has a fused kernel for CPUs and CUDA."""


def use_channels_last(model: nn.Module, numerics: Numerics) -> None:
    """Put the channels of convolutions' weights last, where that is faster: PyTorch then lays out images alike.

    So it is on CPUs (3 to 6 % of a step, `benchmarks/NOTES.md`), and NVIDIA's matrix units take half precision so
    (its "Deep Learning Performance" guide on convolutions, "Tensor Layouts").
    """
    kind = torch.device(numerics.device).type
    if kind == "cpu" or (kind == "cuda" and numerics.precision == "bf16"):
        for parameter in model.parameters():
            if parameter.dim() == 4:
                # `contiguous` leaves one channel's as they are, and what they make has its channels first then: max
                # pooling takes 20 times as long so on a CPU.
                laid_out = torch.empty_like(parameter.data, memory_format=torch.channels_last)
                parameter.data = laid_out.copy_(parameter.data)


def use_fused_optimizer(optimizer: Optimizer) -> None:
    """Have a step done in one pass over the weights, if nobody has chosen otherwise."""
    # Subclasses may do something else in their step.
    if type(optimizer) not in FUSED:
        return
    for group in optimizer.param_groups:
        fit = all(
            parameter.device.type in ("cpu", "cuda") and parameter.is_floating_point() for parameter in group["params"]
        )
        if fit and group["fused"] is None and not group["foreach"] and not group["differentiable"]:
            group["fused"] = True
