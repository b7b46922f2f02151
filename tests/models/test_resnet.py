"""The report's network: its size, its shapes, and where its norms stand."""

import pytest
import torch
from torch import nn

from mnist_resnet.models.model_file import deprecation_of_torchscript_unsaid
from mnist_resnet.models.resnet import BlockNorm, ResidualBlock, ResNet, Stem

torch.set_num_threads(1)


def parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def norms_after_blocks(network: ResNet) -> list[list[bool]]:
    """For each stage, for each block: whether a batch norm follows it."""
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
        # A 7 × 7 kernel has 40 weights more than a 3 × 3 one, in each of 64 channels.
        ("7x7", "none", 21_280_970 + 40 * 64),
        # A norm has a scale and a shift for each channel; blocks 2, 3, … of the stages are 2, 3, 5 and 2.
        ("3x3", "after_repeats", 21_280_970 + 2 * (2 * 64 + 3 * 128 + 5 * 256 + 2 * 512)),
        ("3x3", "after_every", 21_280_970 + 2 * (3 * 64 + 4 * 128 + 6 * 256 + 3 * 512)),
    ],
)
def test_full_network_has_as_many_parameters_as_the_report_says(
    stem: Stem, block_norm: BlockNorm, expected: int
) -> None:
    with torch.device("meta"):
        network = ResNet(stem=stem, block_norm=block_norm)
    assert parameters(network) == expected


@pytest.mark.parametrize(
    ("block_norm", "expected"),
    [
        ("none", [[False] * 3, [False] * 4, [False] * 6, [False] * 3]),
        ("after_repeats", [[False] + [True] * (blocks - 1) for blocks in (3, 4, 6, 3)]),
        ("after_every", [[True] * 3, [True] * 4, [True] * 6, [True] * 3]),
    ],
)
def test_block_norms_stand_where_their_reading_says(block_norm: BlockNorm, expected: list[list[bool]]) -> None:
    assert norms_after_blocks(ResNet(width=2, block_norm=block_norm)) == expected


def test_third_reading_has_two_blocks_and_one_block_norm_a_stage() -> None:
    network = ResNet(width=2, blocks=[2, 2, 2, 2], block_norm="after_repeats")
    assert norms_after_blocks(network) == [[False, True]] * 4


def test_default_is_the_report_s_improved_network() -> None:
    with torch.device("meta"):
        network = ResNet()
        explicit = ResNet("3x3", 64, (3, 4, 6, 3), "after_repeats", 0.3, 1, 10)
    assert str(network) == str(explicit)


@pytest.mark.parametrize("stem", ["3x3", "7x7"])
@pytest.mark.parametrize(("channels", "side", "classes"), [(1, 28, 10), (3, 32, 4), (1, 8, 10)])
def test_gives_one_logit_a_class(stem: Stem, channels: int, side: int, classes: int) -> None:
    network = ResNet(stem=stem, width=4, blocks=[1, 1, 1, 1], channels=channels, classes=classes).eval()
    assert network(torch.randn(3, channels, side, side)).shape == (3, classes)


@pytest.mark.parametrize(("stem", "sides"), [("3x3", [14, 14, 7, 4, 2]), ("7x7", [7, 7, 4, 2, 1])])
def test_stem_halves_and_each_later_stage_halves_again(stem: Stem, sides: list[int]) -> None:
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
    nn.init.zeros_(last_norm.weight)  # silences the residual branch: the shortcut alone is left
    features = torch.randn(2, channels_in, 8, 8)
    assert torch.equal(block(features.clone()), block.shortcut(features).relu())
    assert isinstance(block.shortcut, nn.Identity) == (stride == 1)


def test_leaky_stem_and_bias_free_convolutions() -> None:
    network = ResNet(width=4, blocks=[1, 1, 1, 1])
    leaky = [layer for layer in network.modules() if isinstance(layer, nn.LeakyReLU)]
    assert [layer.negative_slope for layer in leaky] == [0.01]
    assert all(layer.bias is None for layer in network.modules() if isinstance(layer, nn.Conv2d))


@pytest.mark.parametrize("share", [0.0, 0.3])
def test_dropout_zeroes_its_share_of_the_pooled_features_in_training_only(share: float) -> None:
    torch.manual_seed(1)
    network = ResNet(width=4, blocks=[1, 1, 1, 1], dropout=share)
    before_linear = network.head[:-1]
    features = torch.ones(1000, 32, 2, 2)
    assert (before_linear(features) == 0).float().mean().item() == pytest.approx(share, abs=0.01)
    network.eval()
    assert torch.equal(before_linear(features), torch.ones(1000, 32))


@pytest.mark.parametrize("stem", ["3x3", "7x7"])
def test_traced_copy_gives_the_same_logits_for_any_batch_size(stem: Stem) -> None:
    network = ResNet(stem=stem, width=4, blocks=[1, 1, 1, 1]).eval()
    with deprecation_of_torchscript_unsaid(), torch.no_grad():
        traced = torch.jit.trace(network, torch.randn(2, 1, 28, 28))  # type: ignore[no-untyped-call]
        for batch in (1, 2, 7):
            images = torch.randn(batch, 1, 28, 28)
            assert torch.equal(traced(images), network(images))


def test_different_numbers_of_blocks_and_widths_are_taken() -> None:
    network = ResNet(width=2, blocks=[1, 2], block_norm="after_every").eval()
    assert norms_after_blocks(network) == [[True], [True, True]]
    assert network(torch.randn(1, 1, 28, 28)).shape == (1, 10)
