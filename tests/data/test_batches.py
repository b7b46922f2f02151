"""Tests of splits and batches: sizes, normalisation as in torchvision, caching, one-line errors."""

from typing import Any

import pytest
import torch
from torchvision.transforms import Normalize, ToTensor

from mnist_resnet.config.allowed_targets import allow
from mnist_resnet.config.classifier_schema import Data
from mnist_resnet.data.batches import epoch_order, load, shuffled
from mnist_resnet.data.dataset import DataSet, LabelledImages
from mnist_resnet.data.sources import digits
from mnist_resnet.data.split import AnySplit, Split
from mnist_resnet.errors import UsageError
from tests.small_training import SMALL, in_memory, new_training, resolved, small

GENERATOR = torch.Generator().manual_seed(3)
COLOURS = torch.randint(0, 256, (67, 3, 5, 4), generator=GENERATOR, dtype=torch.uint8)
CLASSES = torch.randint(0, 10, (67,), generator=GENERATOR)

decoded: list[dict[str, Any]] = []
"""The arguments of each call of `numbered`; tests that count calls pass a `who` of their own to avoid cache hits."""


def numbered(train: int = 67, test: int = 9, planes: int = 1, label: int = 0, **other: Any) -> DataSet:
    """Data source in which every pixel of image n has the value n."""
    decoded.append({"train": train, **other})
    images = torch.arange(256, dtype=torch.uint8)[:, None, None, None].expand(256, planes, 4, 4)
    labels = torch.full((256,), label)
    return DataSet(LabelledImages(images[:train], labels[:train]), LabelledImages(images[:test], labels[:test]))


def no_data_set() -> list[int]:
    return [1, 2]


def broken() -> DataSet:
    raise ZeroDivisionError("the user's own mistake")


@pytest.fixture(autouse=True)
def _clear_decoded() -> None:
    decoded.clear()


def data_config(target: str = "numbered", **keys: Any) -> Data:
    node = {"_target_": f"tests.data.test_batches.{target}", **keys}
    allow(node)
    return Data.model_validate(node)


def image_numbers(split: AnySplit | None) -> list[int]:
    return in_memory(split).pixels[:, 0, 0, 0].tolist()


def test_batches_are_normalised_bitwise_as_by_torchvision() -> None:
    mean, std = [0.1307, 0.5, 0.2], [0.3081, 0.25, 0.7]
    split = Split(COLOURS, CLASSES, torch.tensor(mean).reshape(-1, 1, 1), torch.tensor(std).reshape(-1, 1, 1))
    order = torch.randperm(67, generator=GENERATOR)
    batches = [split.batch(indices) for indices in torch.split(order, 16)]
    assert [len(labels) for _, labels in batches] == [16, 16, 16, 16, 3]
    theirs = [Normalize(mean, std)(ToTensor()(COLOURS[i].permute(1, 2, 0).numpy())) for i in order]
    assert torch.equal(torch.cat([images for images, _ in batches]), torch.stack(theirs))
    assert torch.equal(torch.cat([labels for _, labels in batches]), CLASSES[order])


def test_every_pixel_value_is_normalised_bitwise_as_by_torchvision() -> None:
    greys = torch.arange(256, dtype=torch.uint8).reshape(1, 1, 16, 16)
    ours = Split(greys, torch.zeros(1, dtype=torch.int64), torch.tensor(0.1307), torch.tensor(0.3081)).normalise(greys)
    assert torch.equal(ours[0], Normalize((0.1307,), (0.3081,))(ToTensor()(greys[0, 0].numpy())))


def test_batches_are_in_order_and_copies_of_the_pixels() -> None:
    split = in_memory(load(data_config(), "cpu").train)
    before = split.pixels.clone()
    for images, _ in split.batches(10):
        images.zero_()
    assert torch.equal(split.pixels, before)
    assert [images.shape[0] for images, _ in split.batches(10)] == [10] * 6 + [7]


@pytest.mark.parametrize(
    ("keys", "train", "val", "test"),
    [
        ({}, range(67), None, range(9)),
        ({"train_size": 20}, range(20), None, range(9)),
        ({"val_size": 10}, range(57), range(57, 67), range(9)),
        ({"train_size": 20, "val_size": 10}, range(20), range(57, 67), range(9)),
        ({"train_size": 57, "val_size": 10}, range(57), range(57, 67), range(9)),
        ({"train_size": 67}, range(67), None, range(9)),
        ({"test_size": 4}, range(67), None, range(4)),
        ({"test_size": 9}, range(67), None, range(9)),
    ],
)
def test_training_takes_the_first_images_and_validation_the_last(
    keys: dict[str, Any], train: range, val: range | None, test: range
) -> None:
    splits = load(data_config(**keys), "cpu")
    assert image_numbers(splits.train) == list(train)
    assert (None if splits.val is None else image_numbers(splits.val)) == (None if val is None else list(val))
    assert image_numbers(splits.test) == list(test)
    assert len(splits.train) == len(in_memory(splits.train).labels) == len(train)


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"train_size": 68}, "data.train_size=68"),
        ({"train_size": 60, "val_size": 8}, "data.train_size=60, val_size=8: there are 67 images"),
        ({"val_size": 67}, "val_size=67: there are 67 images"),
        ({"test_size": 10}, "data.test_size=10: there are 9 test images"),
        ({"channels": 3}, "data.channels=3: the images have 1"),
        ({"label": 10}, "data.classes=10: there is a label 10"),
        ({"batch_size": 33}, "data.batch_size=33: leaves a last batch of one of 67 training images"),
        ({"val_size": 2}, "data.batch_size=64: leaves a last batch of one of 65 training images"),
        ({"mean": [0.1, 0.2, 0.3]}, "data.mean=[0.1, 0.2, 0.3]: give one number, or one for each of the 1 channels"),
        ({"std": [], "channels": 1}, "data.std=[]: give one number"),
        (
            {"target": "no_data_set"},
            "data._target_=tests.data.test_batches.no_data_set: must return a DataSet, returned a list",
        ),
    ],
)
def test_data_that_does_not_match_the_config_is_a_one_line_error(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        load(data_config(**keys), "cpu")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_train_size_that_leaves_a_batch_of_one_image_is_a_config_error() -> None:
    with pytest.raises(UsageError, match=r"train_size=97.* a last batch of one image .*take 96 or 98"):
        small("data.train_size=97")


def test_an_exception_in_the_users_source_is_kept_as_the_cause() -> None:
    with pytest.raises(Exception, match="the user's own mistake") as caught:
        load(data_config("broken"), "cpu")
    assert isinstance(caught.value.__cause__, ZeroDivisionError)


def test_configs_with_the_same_source_share_the_decoded_images() -> None:
    first = load(data_config(who="once"), "cpu")
    second = load(data_config(who="once", train_size=20, batch_size=7, mean=0.5), "cpu")
    assert len(decoded) == 1
    assert in_memory(first.train).pixels.data_ptr() == in_memory(second.train).pixels.data_ptr()
    load(data_config(who="once", train=40), "cpu")
    assert [arguments["train"] for arguments in decoded] == [67, 40]


def test_two_jobs_in_one_process_decode_once() -> None:
    source = ("data._target_=tests.data.test_batches.numbered", "+data.who=jobs")
    for seed in (1, 2):
        new_training(small(*source, "data.train_size=null", "data.test_size=9", f"seed={seed}"))
    assert len(decoded) == 1


def test_a_failed_source_is_called_again() -> None:
    for _ in range(2):
        with pytest.raises(UsageError):
            load(data_config(test=0), "cpu")
    assert len(decoded) == 2


def test_a_source_receives_its_own_keys_as_plain_containers() -> None:
    load(data_config(names=["a", "b"], nested={"deep": [1]}), "cpu")
    assert decoded == [{"train": 67, "names": ["a", "b"], "nested": {"deep": [1]}}]
    assert type(decoded[0]["names"]) is list
    assert type(decoded[0]["nested"]) is dict


def test_colour_images_are_normalised_per_channel() -> None:
    split = load(data_config(planes=3, channels=3, mean=[0.0, 0.5, 1.0], std=[1.0, 2.0, 4.0]), "cpu").train
    images, _ = next(split.batches(64))
    assert images[51, :, 0, 0].tolist() == pytest.approx([0.2, -0.15, -0.2])


def test_the_order_is_a_permutation_that_depends_on_seed_and_epoch_only() -> None:
    state = torch.get_rng_state()
    once = shuffled(1000, 1, 2)
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(7)
    assert torch.equal(shuffled(1000, 1, 2), once)
    assert torch.equal(once.sort().values, torch.arange(1000))


def test_order_that_is_not_shuffled_is_that_of_the_data_set() -> None:
    assert epoch_order(5, 1, 2, None, shuffle=False).tolist() == [0, 1, 2, 3, 4]
    assert torch.equal(epoch_order(5, 1, 2, None, shuffle=True), shuffled(5, 1, 2))


def test_no_two_seeds_or_epochs_share_an_order() -> None:
    seeds = [0, 1, 2, 255, 256, 257, 2**16 + 1, 2**24 + 1, 2**32 - 1]
    orders = {tuple(shuffled(100, seed, epoch).tolist()) for seed in seeds for epoch in range(30)}
    assert len(orders) == len(seeds) * 30


def test_mean_and_std_in_the_digits_config_match_the_data() -> None:
    fractions = digits().train.pixels.double() / 255
    config = resolved()["data"]
    assert "data=digits" in SMALL
    assert config["mean"] == pytest.approx(fractions.mean().item(), abs=1e-3)
    assert config["std"] == pytest.approx(fractions.std().item(), abs=1e-3)
