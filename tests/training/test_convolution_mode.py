"""Ways to call convolutions in the contexts that compute them faster."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.func import grad, jvp, vmap
from torch.nn.functional import conv2d
from torch.utils.checkpoint import checkpoint

from mnist_resnet.training.convolution import SmallMaps
from mnist_resnet.training.convolution_forms import ConvolutionForms


@contextmanager
def faster(precision: str) -> Iterator[None]:
    mode = SmallMaps() if precision == "bf16" else ConvolutionForms(["128x128@2:linear"])
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"), mode:
        yield


def images_and_weight() -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    return torch.randn(3, 128, 2, 2, requires_grad=True), torch.randn(128, 128, 3, 3, requires_grad=True)


def energy(images: Tensor, weight: Tensor) -> Tensor:
    return conv2d(images, weight, padding=1).float().square().sum()


MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "winograd": partial(ConvolutionForms, ["128x128@2"]),
    "linear": partial(ConvolutionForms, ["128x128@2:linear"]),
    "bf16": SmallMaps,
}

TRANSFORMED: dict[str, Callable[[Tensor, Tensor], Any]] = {
    "gradient": lambda images, weight: grad(energy)(images, weight),
    "gradients of each image": lambda images, weight: vmap(grad(energy), (0, None))(images[:, None], weight),
    "tangent": lambda images, weight: jvp(lambda images: energy(images, weight), (images,), (images,))[1],
}


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_images_may_be_given_by_keyword(precision: str) -> None:
    images, weight = images_and_weight()
    with faster(precision):
        assert torch.equal(conv2d(input=images, weight=weight, padding=1), conv2d(images, weight, padding=1))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_batch_may_be_empty(precision: str) -> None:
    images, weight = images_and_weight()
    with faster(precision):
        maps = conv2d(images[:0], weight, padding=1)
    (gradient,) = torch.autograd.grad(maps.float().sum(), weight)
    assert maps.shape == (0, 128, 2, 2)
    assert torch.equal(gradient, torch.zeros_like(weight))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_layers_may_be_computed_again_in_the_backward_pass(precision: str) -> None:
    images, weight = images_and_weight()
    expected = torch.autograd.grad(energy(images, weight), weight)[0]
    with faster(precision):
        again = checkpoint(energy, images, weight, use_reentrant=False)
    result = torch.autograd.grad(again, weight)[0]
    assert (result - expected).norm() < 0.02 * expected.norm()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("transformed", TRANSFORMED.values(), ids=TRANSFORMED)
def test_torch_func_can_transform_layers(transformed: Callable[[Tensor, Tensor], Any], precision: str) -> None:
    images, weight = (tensor.detach() for tensor in images_and_weight())
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
        expected = transformed(images, weight)
    with faster(precision):
        assert torch.equal(transformed(images, weight), expected)
