"""The context in which a network's convolutions may be computed by other means than PyTorch's own."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.overrides import TorchFunctionMode


class ConvolutionMode(TorchFunctionMode):
    """A context in which `conv2d` is what `convolution` computes, in any network."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Replace `conv2d`, and call every other function unchanged."""
        arguments = dict(kwargs or {})
        if func is torch.conv2d and not _is_observed():
            if "input" in arguments:
                args = (arguments.pop("input"), *args)
            maps = self.convolution(*args, **arguments)
            if maps is not None:
                return maps
        return func(*args, **arguments)

    def convolution(
        self,
        images: Tensor,
        weight: Tensor,
        bias: Tensor | None = None,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
    ) -> Tensor | None:
        """Compute a 2D convolution, or return None to leave it to PyTorch.

        Args:
            images: [batch, in, height, width], or without `batch`.
            weight: [out, in / groups, rows, columns].
            bias: [out].
            stride: step of the kernel, one number or one each for rows and columns, as the next two.
            padding: zeros added on each side, or `same` or `valid`.
            dilation: distance between the kernel's taps.
            groups: number of groups of channels.
        """
        raise NotImplementedError


def _is_observed() -> bool:
    """Whether `torch.func`, forward differentiation or checkpointing works on what functions compute or save.

    The first two take PyTorch's own functions only. The third computes them again in the backward pass, out of the
    context, and expects the same tensors to be saved. The compiler has its own ways for all.
    """
    if torch.compiler.is_compiling():
        return False
    has_hooks = torch._C._autograd._top_saved_tensors_default_hooks(True) is not None
    return has_hooks or forward_ad._current_level >= 0 or torch._C._are_functorch_transforms_active()
