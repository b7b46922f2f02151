"""Convolutions of small maps: what PyTorch computes, to what bf16 rounds to, in the networks that use them."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from mnist_resnet.training.convolution import SmallMaps


def with_gradients(images: Tensor, weight: Tensor, **settings: Any) -> list[Tensor]:
    torch.manual_seed(1)
    given = conv2d(images, weight, **settings)
    gradients = torch.autograd.grad(given, (images, weight), torch.randn(given.shape).to(given.dtype))
    return [given, *gradients]


@pytest.mark.parametrize("size", [(1, 1), (2, 2), (4, 4), (3, 5), (7, 7)])
@pytest.mark.parametrize(
    "settings",
    [
        {"padding": (1, 1)},
        {"padding": 1, "stride": 2},
        {"stride": (1, 2), "padding": (2, 1)},
        {"padding": 2, "dilation": 2},
        {"padding": "same"},
        {"padding": 1, "groups": 2},
    ],
    ids=str,
)
def test_outputs_and_gradients_are_those_of_pytorch_to_what_bf16_rounds_to(size: Any, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    images = torch.randn(5, 128, *size, requires_grad=True)
    weight = torch.randn(256, 128 // settings.get("groups", 1), 3, 3, requires_grad=True)
    exact = with_gradients(images, weight, **settings)
    with torch.autocast("cpu", torch.bfloat16), SmallMaps():
        found = with_gradients(images, weight, **settings)
    for one, other in zip(found, exact, strict=True):
        assert one.shape == other.shape
        assert (one - other).abs().max() < 0.02 * other.abs().max()
    assert [tensor.dtype for tensor in found] == [torch.bfloat16, torch.float32, torch.float32]


def test_a_layer_with_a_bias_and_one_pixel_wide_kernels_learns_alike() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(128, 128, 1, stride=2), nn.Conv2d(128, 256, 2))
    images = torch.randn(16, 128, 4, 4)
    network(images).square().mean().backward()
    exact = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16), SmallMaps():
        loss = network(images).square().mean()
    loss.backward()
    found = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert len(exact) == len(found) == 4
    for one, other in zip(found, exact, strict=True):
        assert (one - other).abs().max() < 0.03 * other.abs().max()


def test_another_call_of_the_mode_is_left_alone() -> None:
    with SmallMaps():
        assert torch.equal(torch.ones(2) + 1, torch.full((2,), 2.0))
