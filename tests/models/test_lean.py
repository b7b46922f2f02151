"""Tests of the lean network: parameter count, shapes, placement of batch norms, export."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from mnist_resnet.config.schema import check
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import EXPORTED_MODEL, TRACED_MODEL
from mnist_resnet.models.export import export_model
from mnist_resnet.models.lean import LeanNetwork
from mnist_resnet.models.model_file import ModelDescription
from mnist_resnet.models.resnet import BlockNorm
from tests.small_training import differences, resolved, small, trained

torch.set_num_threads(1)


def test_default_network_has_the_documented_number_of_parameters() -> None:
    convolutions = 9 * (1 * 16 + 16 * 16 + 16 * 32 + 32 * 32 + 32 * 64 + 64 * 64)
    norms, linear = 2 * 2 * (16 + 32 + 64), 64 * 10 + 10
    total = sum(parameter.numel() for parameter in LeanNetwork().parameters())
    assert total == convolutions + norms + linear == 72_666


@pytest.mark.parametrize(
    ("block_norm", "expected"),
    [("none", [0, 0, 0, 0, 0]), ("after_repeats", [0, 1, 1, 0, 1]), ("after_every", [1, 1, 1, 1, 1])],
)
def test_convolutions_have_either_a_batch_norm_or_a_bias(block_norm: BlockNorm, expected: list[int]) -> None:
    layers = list(LeanNetwork(width=4, blocks=[3, 2], block_norm=block_norm).stages)
    convolutions = [(layer, layers[i + 1]) for i, layer in enumerate(layers) if isinstance(layer, nn.Conv2d)]
    assert [isinstance(following, nn.BatchNorm2d) for _, following in convolutions] == list(map(bool, expected))
    assert [layer.bias is None for layer, _ in convolutions] == list(map(bool, expected))


def heights(network: LeanNetwork, images: torch.Tensor) -> list[int]:
    """Return the height of each convolution's feature maps."""
    found = []
    for layer in network.stages:
        images = layer(images)
        if isinstance(layer, nn.Conv2d):
            found.append(images.shape[2])
    return found


@pytest.mark.parametrize("pool", ["max", "average", "stride"])
@pytest.mark.parametrize(
    ("stem_kernel", "stem_stride", "expected"),
    [(3, 1, [28, 14, 14, 7]), (5, 2, [14, 7, 7, 4]), (4, 2, [14, 7, 7, 4]), (7, 4, [7, 4, 4, 2])],
)
def test_each_stage_halves_the_size(pool: Any, stem_kernel: int, stem_stride: int, expected: list[int]) -> None:
    network = LeanNetwork(2, blocks=[1, 2, 1], pool=pool, stem_kernel=stem_kernel, stem_stride=stem_stride)
    assert heights(network, torch.zeros(1, 1, 28, 28)) == expected


@pytest.mark.parametrize("side", [27, 8, 1])
def test_images_of_any_size_are_classified(side: int) -> None:
    network = LeanNetwork(width=2, blocks=[1, 1, 1, 1, 1], channels=3, classes=4).eval()
    assert network(torch.zeros(2, 3, side, side)).shape == (2, 4)


def test_growth_multiplies_the_channels_of_each_stage() -> None:
    network = LeanNetwork(width=24, growth=1.5, blocks=[1, 1, 1])
    assert [layer.out_channels for layer in network.stages if isinstance(layer, nn.Conv2d)] == [24, 36, 54]


def test_head_pools_globally_and_logit_scale_multiplies_the_logits() -> None:
    torch.manual_seed(1)
    images = torch.randn(2, 1, 28, 28)
    network = LeanNetwork(width=2, blocks=[1], head="max").eval()
    features, linear = network.stages(images), network.head[3]
    torch.testing.assert_close(network(images), linear(features.amax((2, 3))))
    other = LeanNetwork(width=2, blocks=[1], head="average", logit_scale=0.25).eval()
    other.load_state_dict(network.state_dict())
    torch.testing.assert_close(other(images), 0.25 * linear(features.mean((2, 3))))


@pytest.mark.parametrize("pool", ["max", "average", "stride"])
def test_exports_both_model_files(pool: Any, tmp_path: Path) -> None:
    images = torch.randint(0, 256, (3, 1, 28, 28), dtype=torch.uint8)
    network = LeanNetwork(width=2, blocks=[1, 2], pool=pool, logit_scale=0.5)
    export_model(network, images, ModelDescription.of(images, 0.1307, 0.3081, 10), tmp_path)
    assert {file.name for file in tmp_path.iterdir()} == {TRACED_MODEL, EXPORTED_MODEL}


def test_trains_with_all_other_options_and_is_bitwise_reproducible() -> None:
    config = small(
        *("model=lean", "augmentation=affine", "loss=label_smoothing", "averaging=ema", "schedule=linear"),
        *("optim=sgd", "optim.nesterov=true"),
    )
    training = trained(config)
    assert training.history[1]["train_loss"] < training.history[0]["train_loss"]
    assert differences(training, trained(config)) == []


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("model.kernel=4", r"^model\.kernel=4: must be odd$"),
        ("model.stem_kernel=2", r"^model\.stem_kernel=2: must be odd at stride 1"),
        ("model.pool=min", r"^model\.pool=min: must be 'max', 'average' or 'stride'$"),
        ("model.classes=3", r"^model\.classes=3: must be data\.classes=10 or more"),
        ("+model.depth=3", r"^model\.depth: no such key"),
    ],
)
def test_invalid_options_are_a_one_line_error(override: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        check(resolved("model=lean", override))
