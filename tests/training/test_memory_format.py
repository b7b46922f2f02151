"""Memory layout of weights."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer
from torch.profiler import ProfilerActivity, profile

from mnist_resnet.training.memory_format import use_channels_last, use_fused_optimizer
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


def _steps(build: Callable[[list[nn.Parameter]], Optimizer], channels_last: bool) -> tuple[Tensor, dict[str, int]]:
    """Return weights after three fused steps, and how often the last one ran each operation."""
    torch.manual_seed(1)
    convolution = nn.Conv2d(7, 5, 3)
    if channels_last:
        use_channels_last(convolution, Numerics("cpu", "fp32", 1))
    optimizer = build(list(convolution.parameters()))
    use_fused_optimizer(optimizer)
    for _ in range(3):
        for parameter in convolution.parameters():
            parameter.grad = torch.empty_like(parameter).copy_(torch.randn(parameter.shape))
        with profile(activities=[ProfilerActivity.CPU]) as recorded:
            optimizer.step()
    return convolution.weight.detach().contiguous(), {event.key: event.count for event in recorded.key_averages()}


@pytest.mark.parametrize(
    "build",
    [
        lambda parameters: Adam(parameters, weight_decay=0.1),
        lambda parameters: Adam(parameters, amsgrad=True),
        lambda parameters: AdamW(parameters),
        lambda parameters: SGD(parameters, lr=0.1),
        lambda parameters: SGD(parameters, lr=0.1, momentum=0.9),
    ],
    ids=["adam", "amsgrad", "adamw", "sgd", "momentum"],
)
def test_fused_steps_update_channels_last_weights_where_they_are(
    build: Callable[[list[nn.Parameter]], Optimizer],
) -> None:
    expected, contiguous = _steps(build, channels_last=False)
    weights, operations = _steps(build, channels_last=True)
    assert torch.allclose(weights, expected, rtol=1e-6, atol=1e-7)
    assert operations.get("aten::copy_") == contiguous.get("aten::copy_")
    assert any("_fused_" in operation for operation in operations)
