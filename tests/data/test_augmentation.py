"""Tests of the augmentations: geometry, distribution of the draws, and that black stays black."""

import math

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import affine

from mnist_resnet.data.augmentation import Affine, Elastic, Translate, affine_matrices
from mnist_resnet.data.sources import digits
from tests.small_training import in_memory, new_training, small

BLACK = torch.tensor([[[-0.5]], [[-2.0]]])
OPTIONS = ("translate", "affine", "elastic")


def sample_images(count: int) -> Tensor:
    """Digits in two channels, float32 [count, 2, 28, 28], each channel offset by its own black value."""
    pixels = digits().train.pixels[:count].float() / 255
    return torch.cat([pixels, 2 * pixels], dim=1) + BLACK


def affine_with(limits: dict[str, float]) -> Affine:
    return Affine(BLACK, **({"translate": 0.0, "rotate": 0.0, "scale": 0.0, "shear": 0.0} | limits))


def shift(images: Tensor, down: int, right: int) -> Tensor:
    shifted = BLACK.expand(images.shape).clone()
    height, width = images.shape[2:]
    shifted[..., max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = images[
        ..., max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
    ]
    return shifted


def test_translate_draws_every_shift_equally_often() -> None:
    torch.manual_seed(1)
    images = sample_images(1)[:, :, :26, :].expand(2500, -1, -1, -1)  # not square
    augmented = Translate(BLACK, 2)(images)
    counts = {
        (down, right): int((augmented == shift(images[:1], down, right)).all(dim=(1, 2, 3)).sum())
        for down in range(-2, 3)
        for right in range(-2, 3)
    }
    assert sum(counts.values()) == 2500
    assert min(counts.values()) > 50  # of 100 expected


PARAMETERS = [
    {"right": 3.0, "down": -2.0, "degrees": 0.0, "scale": 1.0, "shear": 0.0},
    {"right": 0.0, "down": 0.0, "degrees": 20.0, "scale": 1.0, "shear": 0.0},
    {"right": 0.0, "down": 0.0, "degrees": 0.0, "scale": 1.3, "shear": 0.0},
    {"right": 0.0, "down": 0.0, "degrees": 0.0, "scale": 1.0, "shear": 15.0},
    {"right": 1.0, "down": 2.0, "degrees": -35.0, "scale": 0.8, "shear": 10.0},
]


class FixedAffine(Affine):
    """`Affine` with given parameters instead of random ones."""

    def __init__(self, right: float, down: float, degrees: float, scale: float, shear: float) -> None:
        super().__init__(BLACK, 0, 0, 0, 0)
        self.parameters_drawn = [torch.tensor([value]) for value in (right, down, degrees, scale, shear)]

    def random_matrices(self, images: Tensor) -> Tensor:
        assert len(images) == 1
        return affine_matrices(*self.parameters_drawn)


@pytest.mark.parametrize("height", [28, 20])
@pytest.mark.parametrize("parameters", PARAMETERS)
def test_affine_matches_torchvision(parameters: dict[str, float], height: int) -> None:
    image = sample_images(1)[:, :, :height]
    expected = affine(
        image - BLACK,
        angle=parameters["degrees"],
        translate=[int(parameters["right"]), int(parameters["down"])],
        scale=parameters["scale"],
        shear=[parameters["shear"], 0.0],
        interpolation=InterpolationMode.BILINEAR,
    )
    torch.testing.assert_close(FixedAffine(**parameters)(image), expected + BLACK, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("key", "limit", "read"),
    [
        ("translate", 3.0, lambda matrices: -matrices[:, 0, 2]),
        ("translate", 3.0, lambda matrices: -matrices[:, 1, 2]),
        ("rotate", 30.0, lambda matrices: torch.rad2deg(torch.atan2(-matrices[:, 1, 0], matrices[:, 1, 1]))),
        ("scale", 0.5, lambda matrices: 1 / matrices[:, 1, 1] - 1),
        ("shear", 20.0, lambda matrices: torch.rad2deg(torch.atan(matrices[:, 0, 1]))),
    ],
)
def test_affine_draws_uniformly_from_minus_to_plus_its_limit(key: str, limit: float, read: object) -> None:
    torch.manual_seed(1)
    matrices = affine_with({key: limit}).random_matrices(torch.empty(4000, 1, 1, 1))
    values = read(matrices) / limit  # type: ignore[operator]
    assert values.abs().max() <= 1 + 1e-5
    assert values.abs().max() > 0.99
    assert abs(values.mean()) < 0.05  # over five times the standard error of 0.009
    assert values.std().item() == pytest.approx(1 / math.sqrt(3), abs=0.03)


def test_affine_with_zero_limits_changes_nothing() -> None:
    images = sample_images(4)
    torch.testing.assert_close(affine_with({})(images), images)


def test_elastic_displacement_has_the_covariance_of_simards_field() -> None:
    torch.manual_seed(1)
    elastic = Elastic(BLACK, 0, 0, 0, 0, alpha=34, sigma=4)
    images = torch.zeros(2000, 2, 28, 28)
    pixels = (elastic.sampling_grid(images) - affine_with({}).sampling_grid(images)) * 14
    assert pixels.mean().item() == pytest.approx(0, abs=0.05)

    distances = torch.arange(-16, 17)
    gaussian = torch.exp(-0.5 * (distances / 4) ** 2)
    gaussian /= gaussian.sum()
    noise = torch.rand(4000, 33, 33 + 8) * 2 - 1  # all noise that affects nine pixels of a row
    field = 34 * (gaussian @ noise).unfold(1, 33, 1) @ gaussian
    for row in (0, 13, 27):
        for step in (0, 4, 8):
            covariance = (pixels[:, row, 10, 0] * pixels[:, row, 10 + step, 0]).mean().item()
            expected = (field[:, 0] * field[:, step]).mean().item()
            assert covariance == pytest.approx(expected, abs=0.25)  # the variance is 1.9
    assert (pixels[..., 0] * pixels[..., 1]).mean().item() == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("option", OPTIONS)
def test_black_images_stay_bitwise_black_and_each_image_gets_its_own_draw(option: str) -> None:
    training = new_training(small(f"augmentation={option}"))
    pixels = torch.zeros_like(in_memory(training.splits.train).pixels[:8])
    black = training.splits.train.normalise(pixels)
    assert torch.equal(training.augment(black), black)

    same = training.splits.train.normalise(in_memory(training.splits.train).pixels[:1]).expand(8, -1, -1, -1)
    changed = training.augment(same)
    assert changed.shape == same.shape
    assert changed.dtype == torch.float32
    assert len({tuple(image.flatten().tolist()) for image in changed}) >= 7  # with 25 possible shifts, two may be equal
    assert changed.min() >= black.min() - 1e-5


def test_no_augmentation_returns_the_same_tensor() -> None:
    images = sample_images(2)
    assert new_training(small()).augment(images) is images
