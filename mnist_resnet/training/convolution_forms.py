"""The forms in which training steps compute the convolutions of small maps on a CPU in float32, by layer."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from mnist_resnet.training import unfolded, winograd, winograd_rows
from mnist_resnet.training.convolution_mode import ConvolutionMode

MIN_CHANNELS = 64
"""Fewest input and output channels for which a form is considered."""
MAX_STRIDED_SIZE = 16
"""Largest height and width of maps that a convolution with stride 2 may have a form for."""
SHAPE = re.compile(r"(\d{1,9})x(\d{1,9})@(\d{1,9})(s2)?", re.ASCII)
FORMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "": winograd.convolution,
    "linear": partial(winograd.convolution, by_linear=True),
    "rows": winograd_rows.convolution,
    "unfolded": partial(unfolded.convolution, stride=2),
}
"""By name: Winograd's form with products by MKL or by oneDNN, that along rows alone, products of unfolded images."""


def layer(
    images: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,  # noqa: ARG001 (the arguments are those of `conv2d`)
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> str | None:
    """Name the shape of the convolution that `torch.conv2d` would compute with these arguments.

    Returns:
        The name, such as `256x256@4` for a 3 × 3 kernel with 256 input and output channels at 4 × 4 pixels, or
        `256x512@4s2` for one with stride 2; None if there is no form for it.
    """
    size = images.shape[-1]
    channels_out, channels_in, *kernel = weight.shape
    is_plain = groups == 1 and kernel == [3, 3] and _is(1, padding) and _is(1, dilation)
    if not is_plain or images.shape[1:] != (channels_in, size, size) or len(images) == 0:
        return None
    if {images.dtype, weight.dtype} != {torch.float32} or torch.is_autocast_enabled("cpu"):
        return None
    if min(channels_in, channels_out) < MIN_CHANNELS:
        return None
    if _is(1, stride) and size in winograd.SIZES:
        return f"{channels_in}x{channels_out}@{size}"
    return f"{channels_in}x{channels_out}@{size}s2" if _is(2, stride) and size <= MAX_STRIDED_SIZE else None


def forms_of(name: str) -> list[str]:
    """Return the forms that a layer has; none if the name is not one of `layer`'s."""
    if not SHAPE.fullmatch(name):
        return []
    _, _, size, stride = shape_of(name)
    if stride == 2:
        return ["unfolded"]
    return ["", "linear" if size <= 2 else "rows"]


def is_known(name: str) -> bool:
    """Return whether a layer, with its form after a colon, is one that `ConvolutionForms` can take."""
    shape, _, form = name.partition(":")
    return form in forms_of(shape)


def shape_of(name: str) -> tuple[int, int, int, int]:
    """Return a layer's input channels, output channels, height and width, and stride."""
    match = SHAPE.fullmatch(name)
    assert match is not None
    return int(match[1]), int(match[2]), int(match[3]), 2 if match[4] else 1


class ConvolutionForms(ConvolutionMode):
    """A context in which `conv2d` in float32 takes the forms in `layers`, in any network.

    Args:
        layers: names of shapes, from `layer`, and after a colon that of their form, unless it is empty.
    """

    def __init__(self, layers: Sequence[str]) -> None:
        super().__init__()
        parts = [name.partition(":") for name in layers]
        self.forms = {name: FORMS[form] for name, _, form in parts}

    def convolution(
        self, images: Tensor, weight: Tensor, bias: Tensor | None = None, *others: Any, **named: Any
    ) -> Tensor | None:
        """Compute a 2D convolution in its layer's form, or return None to leave it to PyTorch."""
        form = self.forms.get(layer(images, weight, bias, *others, **named) or "")
        if form is None:
            return None
        maps = form(images, weight)
        return maps if bias is None else maps + bias[:, None, None]


def _is(number: int, value: Any) -> bool:
    """Whether a setting for rows and columns, one number or two, is this number for both."""
    if isinstance(value, (tuple, list)):
        return all(one == number for one in value)
    return bool(value == number)
