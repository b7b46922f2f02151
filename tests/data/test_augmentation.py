"""Augmentations: they move what they say by what they say, black stays black, and no two images are changed alike."""

import math

import pytest
import torch
from torch import Tensor
from torchvision.transforms import InterpolationMode
from torchvision.transforms.functional import affine

from mnist_resnet.data.augmentation import Affine, Elastic, Translate, affine_maps
from mnist_resnet.data.sources import digits
from tests.small_training import begun, small

BLACK = torch.tensor([[[-0.5]], [[-2.0]]])
OPTIONS = ("translate", "affine", "elastic")


def pictures(count: int) -> Tensor:
    """Digits in two channels, float32 [count, 2, 28, 28], on the black of each channel."""
    pixels = digits().train.pixels[:count].float() / 255
    return torch.cat([pixels, 2 * pixels], dim=1) + BLACK


def affine_of(given: dict[str, float]) -> Affine:
    return Affine(BLACK, **({"translate": 0.0, "rotate": 0.0, "scale": 0.0, "shear": 0.0} | given))


def shifted(images: Tensor, down: int, right: int) -> Tensor:
    moved = BLACK.expand(images.shape).clone()
    height, width = images.shape[2:]
    moved[..., max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = images[
        ..., max(-down, 0) : height + min(-down, 0), max(-right, 0) : width + min(-right, 0)
    ]
    return moved


def test_translate_gives_each_image_one_of_the_shifts_and_uses_them_all_evenly() -> None:
    torch.manual_seed(1)
    images = pictures(1)[:, :, :26, :].expand(2500, -1, -1, -1)  # no square
    moved = Translate(BLACK, 2)(images)
    counts = {
        (down, right): int((moved == shifted(images[:1], down, right)).all(dim=(1, 2, 3)).sum())
        for down in range(-2, 3)
        for right in range(-2, 3)
    }
    assert sum(counts.values()) == 2500
    assert min(counts.values()) > 50  # of 100 expected


MOVES = [
    {"right": 3.0, "down": -2.0, "degrees": 0.0, "scale": 1.0, "shear": 0.0},
    {"right": 0.0, "down": 0.0, "degrees": 20.0, "scale": 1.0, "shear": 0.0},
    {"right": 0.0, "down": 0.0, "degrees": 0.0, "scale": 1.3, "shear": 0.0},
    {"right": 0.0, "down": 0.0, "degrees": 0.0, "scale": 1.0, "shear": 15.0},
    {"right": 1.0, "down": 2.0, "degrees": -35.0, "scale": 0.8, "shear": 10.0},
]


class Told(Affine):
    """Draws what it is told."""

    def __init__(self, right: float, down: float, degrees: float, scale: float, shear: float) -> None:
        super().__init__(BLACK, 0, 0, 0, 0)
        self.told = [torch.tensor([value]) for value in (right, down, degrees, scale, shear)]

    def maps(self, images: Tensor) -> Tensor:
        assert len(images) == 1
        return affine_maps(*self.told)


@pytest.mark.parametrize("height", [28, 20])
@pytest.mark.parametrize("move", MOVES)
def test_affine_moves_as_torchvision_does(move: dict[str, float], height: int) -> None:
    image = pictures(1)[:, :, :height]
    expected = affine(
        image - BLACK,
        angle=move["degrees"],
        translate=[int(move["right"]), int(move["down"])],
        scale=move["scale"],
        shear=[move["shear"], 0.0],
        interpolation=InterpolationMode.BILINEAR,
    )
    torch.testing.assert_close(Told(**move)(image), expected + BLACK, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("knob", "most", "drawn"),
    [
        ("translate", 3.0, lambda maps: -maps[:, 0, 2]),
        ("translate", 3.0, lambda maps: -maps[:, 1, 2]),
        ("rotate", 30.0, lambda maps: torch.rad2deg(torch.atan2(-maps[:, 1, 0], maps[:, 1, 1]))),
        ("scale", 0.5, lambda maps: 1 / maps[:, 1, 1] - 1),
        ("shear", 20.0, lambda maps: torch.rad2deg(torch.atan(maps[:, 0, 1]))),
    ],
)
def test_affine_draws_evenly_up_to_its_most_either_way(knob: str, most: float, drawn: object) -> None:
    torch.manual_seed(1)
    values = drawn(affine_of({knob: most}).maps(torch.empty(4000, 1, 1, 1))) / most  # type: ignore[operator]
    assert values.abs().max() <= 1 + 1e-5
    assert values.abs().max() > 0.99
    assert abs(values.mean()) < 0.05  # three times its standard error of 0.009 and more
    assert values.std().item() == pytest.approx(1 / math.sqrt(3), abs=0.03)


def test_affine_of_nothing_changes_nothing() -> None:
    images = pictures(4)
    torch.testing.assert_close(affine_of({})(images), images)


def test_elastic_displaces_by_what_simard_s_field_does() -> None:
    torch.manual_seed(1)
    elastic = Elastic(BLACK, 0, 0, 0, 0, alpha=34, sigma=4)
    images = torch.zeros(2000, 2, 28, 28)
    pixels = (elastic.places(images) - affine_of({}).places(images)) * 14
    assert pixels.mean().item() == pytest.approx(0, abs=0.05)

    distances = torch.arange(-16, 17)
    gaussian = torch.exp(-0.5 * (distances / 4) ** 2)
    gaussian /= gaussian.sum()
    noise = torch.rand(4000, 33, 33 + 8) * 2 - 1  # all that reaches nine pixels of a row
    field = 34 * (gaussian @ noise).unfold(1, 33, 1) @ gaussian
    for row in (0, 13, 27):
        for step in (0, 4, 8):
            found = (pixels[:, row, 10, 0] * pixels[:, row, 10 + step, 0]).mean().item()
            expected = (field[:, 0] * field[:, step]).mean().item()
            assert found == pytest.approx(expected, abs=0.25)  # of a variance of 1.9
    assert (pixels[..., 0] * pixels[..., 1]).mean().item() == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("option", OPTIONS)
def test_black_stays_black_bit_by_bit_and_images_are_changed_each_in_its_own_way(option: str) -> None:
    training = begun(small(f"augmentation={option}"))
    pixels = torch.zeros_like(training.splits.train.pixels[:8])
    black = training.splits.train.normalise(pixels)
    assert torch.equal(training.augment(black), black)

    same = training.splits.train.normalise(training.splits.train.pixels[:1]).expand(8, -1, -1, -1)
    changed = training.augment(same)
    assert changed.shape == same.shape
    assert changed.dtype == torch.float32
    assert len({tuple(one.flatten().tolist()) for one in changed}) >= 7  # of 25 shifts two may be equal
    assert changed.min() >= black.min() - 1e-5


def test_none_gives_the_images_themselves() -> None:
    images = pictures(2)
    assert begun(small()).augment(images) is images
