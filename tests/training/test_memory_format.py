"""Memory layout of weights."""

import pytest
import torch
from torch import nn

from mnist_resnet.training.memory_format import use_channels_last
from mnist_resnet.training.numerics import Numerics


@pytest.mark.parametrize("channels", [1, 3])
def test_convolution_outputs_are_channels_last_for_any_number_of_input_channels(channels: int) -> None:
    stem, images = nn.Conv2d(channels, 8, 3), torch.randn(4, channels, 6, 6)
    before = stem(images)
    use_channels_last(stem, Numerics("cpu", "fp32", 1))
    after = stem(images)
    assert after.is_contiguous(memory_format=torch.channels_last)
    assert not after.is_contiguous()
    assert torch.allclose(before, after, atol=1e-5)


def test_parameters_keep_their_identity() -> None:
    stem = nn.Conv2d(1, 8, 3)
    before = stem.weight
    use_channels_last(stem, Numerics("cpu", "fp32", 1))
    assert stem.weight is before
    assert stem.weight.requires_grad
    assert stem.weight.grad_fn is None
