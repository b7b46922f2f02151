"""Convolutions of small feature maps, compared with those of PyTorch."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d

from mnist_resnet.training.convolution import SmallMaps


def output_and_gradients(images: Tensor, weight: Tensor, **settings: Any) -> list[Tensor]:
    torch.manual_seed(1)
    output = conv2d(images, weight, **settings)
    gradients = torch.autograd.grad(output, (images, weight), torch.randn(output.shape).to(output.dtype))
    return [output, *gradients]


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
def test_outputs_and_gradients_equal_those_of_pytorch_up_to_bf16_rounding(size: Any, settings: dict[str, Any]) -> None:
    torch.manual_seed(0)
    images = torch.randn(5, 128, *size, requires_grad=True)
    weight = torch.randn(256, 128 // settings.get("groups", 1), 3, 3, requires_grad=True)
    exact = output_and_gradients(images, weight, **settings)
    with torch.autocast("cpu", torch.bfloat16), SmallMaps():
        results = output_and_gradients(images, weight, **settings)
    for result, expected in zip(results, exact, strict=True):
        assert result.shape == expected.shape
        assert (result - expected).abs().max() < 0.02 * expected.abs().max()
    assert [tensor.dtype for tensor in results] == [torch.bfloat16, torch.float32, torch.float32]


def test_gradients_of_layers_with_bias_and_small_kernels_equal_those_of_pytorch() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(128, 128, 1, stride=2), nn.Conv2d(128, 256, 2))
    images = torch.randn(16, 128, 4, 4)
    network(images).square().mean().backward()
    exact = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    network.zero_grad()
    with torch.autocast("cpu", torch.bfloat16), SmallMaps():
        loss = network(images).square().mean()
    loss.backward()
    results = [parameter.grad for parameter in network.parameters() if parameter.grad is not None]
    assert len(exact) == len(results) == 4
    for result, expected in zip(results, exact, strict=True):
        assert (result - expected).abs().max() < 0.03 * expected.abs().max()


@pytest.mark.parametrize("size", [2, 4])
def test_gradients_of_a_gradient_penalty_equal_those_of_pytorch_up_to_bf16_rounding(size: int) -> None:
    torch.manual_seed(0)
    images, weight = torch.randn(4, 128, size, size).requires_grad_(), torch.randn(128, 128, 3, 3).requires_grad_()

    def gradients() -> tuple[Tensor, ...]:
        energy = conv2d(images, weight, padding=1).float().square().sum()
        (of_images,) = torch.autograd.grad(energy, images, create_graph=True)
        return torch.autograd.grad(of_images.square().sum(), (images, weight))

    exact = gradients()
    with torch.autocast("cpu", torch.bfloat16), SmallMaps():
        results = gradients()
    for result, expected in zip(results, exact, strict=True):
        assert (result - expected).norm() < 0.02 * expected.norm()


@pytest.mark.parametrize("size", [2, 4])
def test_outputs_can_be_changed_in_place(size: int) -> None:
    torch.manual_seed(0)
    images, weight = torch.randn(4, 128, size, size), torch.randn(128, 128, 3, 3).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16), SmallMaps():
        plain, changed = (conv2d(images, weight, padding=1) for _ in range(2))
    (expected,) = torch.autograd.grad((plain + 1).relu().sum(), weight)
    changed += 1
    (result,) = torch.autograd.grad(changed.relu_().sum(), weight)
    assert torch.equal(result, expected)


def test_layers_that_autocast_does_not_take_are_left_to_pytorch() -> None:
    torch.manual_seed(0)
    images, weight = torch.randn(2, 128, 4, 4), torch.randn(128, 128, 3, 3)
    with torch.autocast("cpu", torch.bfloat16), SmallMaps():
        of_doubles = conv2d(images.double(), weight.double(), padding=1)
        with torch.autocast("cpu", enabled=False):
            of_floats = conv2d(images, weight, padding=1)
    assert torch.equal(of_doubles, conv2d(images.double(), weight.double(), padding=1))
    assert torch.equal(of_floats, conv2d(images, weight, padding=1))


def test_other_functions_are_unchanged() -> None:
    with SmallMaps():
        assert torch.equal(torch.ones(2) + 1, torch.full((2,), 2.0))
