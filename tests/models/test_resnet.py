"""Tests of the report's network: parameter count, shapes, placement of batch norms."""

import pytest
import torch
from torch import nn

from mnist_resnet.models.model_file import ignore_torchscript_deprecation
from mnist_resnet.models.resnet import BlockNorm, ResidualBlock, ResNet, Stem

torch.set_num_threads(1)


def parameter_count(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def norms_after_blocks(network: ResNet) -> list[list[bool]]:
    """Return for each block of each stage whether a batch norm follows it."""
    stages = [list(stage.children()) for stage in network.stages.children()]
    return [
        [
            isinstance(following, nn.BatchNorm2d)
            for layer, following in zip(stage, [*stage[1:], None], strict=True)
            if isinstance(layer, ResidualBlock)
        ]
        for stage in stages
    ]


@pytest.mark.parametrize(
    ("stem", "block_norm", "expected"),
    [
        ("3x3", "none", 21_280_970),
        # A 7 × 7 kernel has 40 more weights than a 3 × 3 kernel, for each of 64 channels.
        ("7x7", "none", 21_280_970 + 40 * 64),
        # A batch norm has a scale and a shift per channel; the stages have 2, 3, 5 and 2 blocks after the first.
        ("3x3", "after_repeats", 21_280_970 + 2 * (2 * 64 + 3 * 128 + 5 * 256 + 2 * 512)),
        ("3x3", "after_every", 21_280_970 + 2 * (3 * 64 + 4 * 128 + 6 * 256 + 3 * 512)),
    ],
)
def test_full_network_has_the_reports_number_of_parameters(stem: Stem, block_norm: BlockNorm, expected: int) -> None:
    with torch.device("meta"):
        network = ResNet(stem=stem, block_norm=block_norm)
    assert parameter_count(network) == expected


@pytest.mark.parametrize(
    ("block_norm", "expected"),
    [
        ("none", [[False] * 3, [False] * 4, [False] * 6, [False] * 3]),
        ("after_repeats", [[False] + [True] * (blocks - 1) for blocks in (3, 4, 6, 3)]),
        ("after_every", [[True] * 3, [True] * 4, [True] * 6, [True] * 3]),
    ],
)
def test_block_norm_places_the_batch_norms(block_norm: BlockNorm, expected: list[list[bool]]) -> None:
    assert norms_after_blocks(ResNet(width=2, block_norm=block_norm)) == expected


def test_two_blocks_after_repeats_have_one_batch_norm_per_stage() -> None:
    network = ResNet(width=2, blocks=[2, 2, 2, 2], block_norm="after_repeats")
    assert norms_after_blocks(network) == [[False, True]] * 4


def test_default_is_the_reports_improved_network() -> None:
    with torch.device("meta"):
        network = ResNet()
        explicit = ResNet("3x3", 64, (3, 4, 6, 3), "after_repeats", 0.3, 1, 10)
    assert str(network) == str(explicit)


@pytest.mark.parametrize("stem", ["3x3", "7x7"])
@pytest.mark.parametrize(("channels", "side", "classes"), [(1, 28, 10), (3, 32, 4), (1, 8, 10)])
def test_returns_one_logit_per_class(stem: Stem, channels: int, side: int, classes: int) -> None:
    network = ResNet(stem=stem, width=4, blocks=[1, 1, 1, 1], channels=channels, classes=classes).eval()
    assert network(torch.randn(3, channels, side, side)).shape == (3, classes)


@pytest.mark.parametrize(("stem", "sides"), [("3x3", [14, 14, 7, 4, 2]), ("7x7", [7, 7, 4, 2, 1])])
def test_stem_and_each_stage_but_the_first_halve_the_size(stem: Stem, sides: list[int]) -> None:
    network = ResNet(stem=stem, width=4, blocks=[1, 2, 1, 1]).eval()
    features = network.stem(torch.randn(2, 1, 28, 28))
    shapes = [features.shape[1:]]
    for stage in network.stages.children():
        features = stage(features)
        shapes.append(features.shape[1:])
    channels = [4, 4, 8, 16, 32]
    assert shapes == [(channel, side, side) for channel, side in zip(channels, sides, strict=True)]


@pytest.mark.parametrize(("channels_in", "channels_out", "stride"), [(4, 4, 1), (4, 8, 2)])
def test_residual_block_adds_its_input_before_the_last_activation(
    channels_in: int, channels_out: int, stride: int
) -> None:
    block = ResidualBlock(channels_in, channels_out, stride).eval()
    last_norm = block.residual[-1]
    assert isinstance(last_norm, nn.BatchNorm2d)
    nn.init.zeros_(last_norm.weight)  # turns off the residual branch and leaves the shortcut
    features = torch.randn(2, channels_in, 8, 8)
    assert torch.equal(block(features.clone()), block.shortcut(features).relu())
    assert isinstance(block.shortcut, nn.Identity) == (stride == 1)


def test_stem_has_a_leaky_relu_and_convolutions_have_no_bias() -> None:
    network = ResNet(width=4, blocks=[1, 1, 1, 1])
    leaky = [layer for layer in network.modules() if isinstance(layer, nn.LeakyReLU)]
    assert [layer.negative_slope for layer in leaky] == [0.01]
    assert all(layer.bias is None for layer in network.modules() if isinstance(layer, nn.Conv2d))


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_dropout_zeroes_pooled_features_in_training_only(dropout: float) -> None:
    torch.manual_seed(1)
    network = ResNet(width=4, blocks=[1, 1, 1, 1], dropout=dropout)
    before_linear = network.head[:-1]
    features = torch.ones(1000, 32, 2, 2)
    assert (before_linear(features) == 0).float().mean().item() == pytest.approx(dropout, abs=0.01)
    network.eval()
    assert torch.equal(before_linear(features), torch.ones(1000, 32))


@pytest.mark.parametrize("stem", ["3x3", "7x7"])
def test_traced_network_gives_the_same_logits_at_any_batch_size(stem: Stem) -> None:
    network = ResNet(stem=stem, width=4, blocks=[1, 1, 1, 1]).eval()
    with ignore_torchscript_deprecation(), torch.no_grad():
        traced = torch.jit.trace(network, torch.randn(2, 1, 28, 28))  # type: ignore[no-untyped-call]
        for batch in (1, 2, 7):
            images = torch.randn(batch, 1, 28, 28)
            assert torch.equal(traced(images), network(images))


def test_number_of_stages_and_width_are_configurable() -> None:
    network = ResNet(width=2, blocks=[1, 2], block_norm="after_every").eval()
    assert norms_after_blocks(network) == [[True], [True, True]]
    assert network(torch.randn(1, 1, 28, 28)).shape == (1, 10)
