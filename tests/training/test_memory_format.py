"""Memory layout of weights."""

from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.profiler import ProfilerActivity, profile

from mnist_resnet.training.memory_format import use_channels_last, use_fused_optimizer
from mnist_resnet.training.numerics import Numerics
from mnist_resnet.training.optimizer_state import load_optimizer_state


@pytest.mark.parametrize("channels", [1, 3])
def test_convolution_outputs_are_channels_last_for_any_number_of_input_channels(channels: int) -> None:
    stem, images = nn.Conv2d(channels, 8, 3), torch.randn(4, channels, 6, 6)
    before = stem(images)
    use_channels_last(stem, Numerics("cpu", "fp32", 1))
    after = stem(images)
    assert after.is_contiguous(memory_format=torch.channels_last)
    assert not after.is_contiguous()
    assert torch.allclose(before, after, atol=1e-5)


@pytest.mark.parametrize(
    ("capability", "channels", "kernel", "stride", "is_converted"),
    [
        *(("AVX2", 2, 1, 2, False), ("AVX2", 8, 1, 2, True), ("AVX2", 2, 1, 1, True), ("AVX2", 2, 3, 2, True)),
        ("AVX512", 2, 1, 2, True),
    ],
)
def test_network_with_a_layer_that_breaks_on_this_cpu_keeps_its_layout(
    capability: str, channels: int, kernel: int, stride: int, is_converted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: capability)
    network = nn.Sequential(nn.Conv2d(1, channels, 3), nn.Conv2d(channels, 16, kernel, stride=stride))
    use_channels_last(network, Numerics("cpu", "fp32", 1))
    assert network(torch.zeros(2, 1, 12, 12)).is_contiguous() is not is_converted


def test_parameters_keep_their_identity() -> None:
    stem = nn.Conv2d(1, 8, 3)
    before = stem.weight
    use_channels_last(stem, Numerics("cpu", "fp32", 1))
    assert stem.weight is before
    assert stem.weight.requires_grad
    assert stem.weight.grad_fn is None


KINDS: dict[str, Callable[[list[nn.Parameter]], Optimizer]] = {
    "adam": lambda parameters: Adam(parameters, weight_decay=0.1),
    "amsgrad": lambda parameters: Adam(parameters, amsgrad=True),
    "adamw": lambda parameters: AdamW(parameters),
    "sgd": lambda parameters: SGD(parameters, lr=0.1),
    "momentum": lambda parameters: SGD(parameters, lr=0.1, momentum=0.9),
}


class Run:
    """Fused steps of a convolution on random gradients."""

    def __init__(self, kind: str, channels_last: bool) -> None:
        torch.manual_seed(1)
        self.convolution = nn.Conv2d(7, 5, 3)
        if channels_last:
            use_channels_last(self.convolution, Numerics("cpu", "fp32", 1))
        self.optimizer: Optimizer = KINDS[kind](list(self.convolution.parameters()))
        use_fused_optimizer(self.optimizer)

    def step(self, seed: int, gradients: torch.memory_format = torch.preserve_format) -> None:
        torch.manual_seed(seed)
        for parameter in self.convolution.parameters():
            gradient = torch.empty_like(parameter, memory_format=gradients if parameter.dim() == 4 else None)
            parameter.grad = gradient.copy_(torch.randn(parameter.shape))
        self.optimizer.step()

    def assert_equal(self, other: "Run") -> None:
        weights, others = self.convolution.weight, other.convolution.weight
        assert torch.allclose(weights, others, rtol=1e-5, atol=1e-6)


def _operations(run: Run) -> dict[str, int]:
    with profile(activities=[ProfilerActivity.CPU]) as recorded:
        run.optimizer.step()
    return {event.key: event.count for event in recorded.key_averages()}


@pytest.mark.parametrize("kind", KINDS)
def test_fused_steps_update_channels_last_weights_where_they_are(kind: str) -> None:
    run, contiguous = Run(kind, channels_last=True), Run(kind, channels_last=False)
    for seed in range(3):
        run.step(seed)
        contiguous.step(seed)
    run.assert_equal(contiguous)
    operations, expected = _operations(run), _operations(contiguous)
    assert operations.get("aten::copy_") == expected.get("aten::copy_")
    assert any("_fused_" in operation for operation in operations)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels_last", [True, False])
def test_fused_steps_take_gradients_in_any_order_of_memory(kind: str, channels_last: bool) -> None:
    run, expected = Run(kind, channels_last), Run(kind, channels_last)
    for seed in range(3):
        run.step(seed, torch.contiguous_format if channels_last else torch.channels_last)
        expected.step(seed)
    run.assert_equal(expected)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("channels_last", [True, False])
def test_fused_steps_go_on_with_a_state_in_any_order_of_memory(kind: str, channels_last: bool) -> None:
    saved, run, expected = Run(kind, not channels_last), Run(kind, channels_last), Run(kind, channels_last)
    for seed in range(2):
        saved.step(seed)
        expected.step(seed)
    run.convolution.load_state_dict(saved.convolution.state_dict())
    load_optimizer_state(run.optimizer, saved.optimizer.state_dict())
    for seed in range(2, 4):
        run.step(seed)
        expected.step(seed)
    run.assert_equal(expected)
