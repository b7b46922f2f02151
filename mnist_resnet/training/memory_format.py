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
NARROW = 8
"""Fewer channels than these leave room in one of AVX2's registers."""


def use_channels_last(model: nn.Module, numerics: Numerics) -> None:
    """Store convolution weights channels-last where that is faster; PyTorch then lays out feature maps the same way.

    It is faster on CPUs (by 3 to 6 % of a step, `benchmarks/NOTES.md`) and on NVIDIA GPUs in bf16, whose tensor cores
    work on this layout in half precision (NVIDIA's "Deep Learning Performance" guide on convolutions, section "Tensor
    Layouts").

    Networks that can't be trained in this layout keep theirs, see `_breaks_on_this_cpu`.

    Args:
        model: the network; its 4-dimensional parameters [out, in, rows, columns] are changed in place.
        numerics: device and precision of the training.
    """
    kind = torch.device(numerics.device).type
    is_faster = kind == "cpu" or (kind == "cuda" and numerics.precision == "bf16")
    if is_faster and not (kind == "cpu" and any(map(_breaks_on_this_cpu, model.modules()))):
        for parameter in model.parameters():
            if parameter.dim() == 4:
                # `contiguous` would leave weights with one input channel as they are. Their outputs would then be
                # channels-first, and max pooling takes 20 times as long on those on a CPU.
                channels_last = torch.empty_like(parameter.data, memory_format=torch.channels_last)
                parameter.data = channels_last.copy_(parameter.data)


def _breaks_on_this_cpu(layer: nn.Module) -> bool:
    """Return whether the gradient of a layer's weights, channels-last, overwrites other memory.

    Where there is no AVX-512, that of a strided 1 × 1 convolution of few channels does, as in a shortcut of a narrow
    ResNet: the process crashes, hangs or goes on with wrong numbers (oneDNN 3.12 in torch 2.14).
    """
    if not isinstance(layer, nn.Conv2d) or torch.backends.cpu.get_cpu_capability() == "AVX512":
        return False
    is_strided_point = max(layer.kernel_size) == 1 and max(layer.stride) > 1
    return is_strided_point and layer.in_channels // layer.groups < NARROW


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


def laid_out_as(parameter: Tensor, tensor: Tensor) -> Tensor:
    """Return a tensor with its elements in the order of a parameter's in memory: itself, or a copy.

    The fused kernels for CPUs take this for granted of gradients and averages, and go wrong without a word where it is
    not so (torch 2.14, see `findings/`).
    """
    if tensor.shape != parameter.shape or tensor.stride() == parameter.stride():
        return tensor
    return torch.empty_like(parameter, dtype=tensor.dtype, device=tensor.device).copy_(tensor)


@cache
def _use_memory_order() -> None:
    """Let the fused kernels work on channels-last weights on a CPU without a copy of the gradient.

    They copy a gradient that isn't contiguous, which takes longer than the update (torch 2.14). With its dimensions in
    the order of memory, the same tensor is contiguous.
    """
    adam.adam = _in_memory_order(adam.adam)
    sgd.sgd = _in_memory_order(sgd.sgd)


def _in_memory_order(update: Callable[..., None]) -> Callable[..., None]:
    @wraps(update)
    def call(parameters: list[Tensor], gradients: list[Tensor], *states: list[Any], **options: Any) -> None:
        lists = [parameters, gradients, *states]
        if options.get("fused"):
            lists[1] = list(map(laid_out_as, parameters, gradients))
            # What is missing is made in the shape of the others, as in the first step of SGD with momentum.
            if all(tensor is not None for state in states for tensor in state):
                lists = list(map(_memory_order, lists))
        update(*lists, **options)

    return call


def _memory_order(tensors: list[Tensor]) -> list[Tensor]:
    """Return views of channels-last tensors on a CPU that are contiguous, and others as they are."""
    return [
        tensor.permute(0, 2, 3, 1) if tensor.device.type == "cpu" and _is_channels_last(tensor) else tensor
        for tensor in tensors
    ]


def _is_channels_last(tensor: Tensor) -> bool:
    return tensor.dim() == 4 and not tensor.is_contiguous() and tensor.permute(0, 2, 3, 1).is_contiguous()
