"""Ways to call convolutions in the contexts that compute them faster."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
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


def gradients_of_two_outputs(images: Tensor, weight: Tensor) -> Any:
    maps = conv2d(images, weight, padding=1)
    return torch.autograd.grad(maps, weight, torch.stack([maps, 2 * maps]).detach(), is_grads_batched=True)[0]


def tangent_by_dual_numbers(images: Tensor, weight: Tensor) -> Any:
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(images, images)  # type: ignore[no-untyped-call]
        return forward_ad.unpack_dual(energy(dual, weight))[1]  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("differentiate", [gradients_of_two_outputs, tangent_by_dual_numbers])
def test_autograd_can_take_several_gradients_at_once_and_tangents(
    differentiate: Callable[[Tensor, Tensor], Any], mode: Callable[[], AbstractContextManager[Any]]
) -> None:
    images, weight = images_and_weight()
    with torch.autocast("cpu", torch.bfloat16, enabled=mode is SmallMaps):
        expected = differentiate(images, weight)
        with mode():
            result = differentiate(images, weight)
    assert (result - expected).norm() < 0.02 * expected.norm()


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_a_backward_pass_in_autocast_is_as_exact_as_its_forward_pass(
    mode: Callable[[], AbstractContextManager[Any]],
) -> None:
    images, weight = images_and_weight()
    expected = torch.autograd.grad(energy(images, weight), weight)[0]
    with mode():
        loss = energy(images, weight)
    with torch.autocast("cpu", torch.bfloat16):
        result = torch.autograd.grad(loss, weight)[0]
    assert (result - expected).norm() < 1e-5 * expected.norm()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_settings_may_be_numbers_of_numpy(precision: str) -> None:
    images, weight = images_and_weight()
    one: Any = np.int64(1)
    with faster(precision):
        assert torch.equal(conv2d(images, weight, padding=one), conv2d(images, weight, padding=1))


def test_images_that_are_copied_to_bf16_may_be_changed_in_place() -> None:
    images, weight = images_and_weight()
    changed = images.detach().clone()
    with faster("bf16"):
        maps = conv2d(changed, weight, padding=1)
    changed.zero_()
    assert torch.autograd.grad(maps.float().sum(), weight)[0].norm() > 0


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_frozen_weights_change_no_gradient_of_images(mode: Callable[[], AbstractContextManager[Any]]) -> None:
    images, weight = images_and_weight()
    with torch.autocast("cpu", torch.bfloat16, enabled=mode is SmallMaps), mode():
        loss = energy(images, weight.detach())
        expected = energy(images, weight)
    assert torch.equal(*(torch.autograd.grad(one, images)[0] for one in (loss, expected)))
