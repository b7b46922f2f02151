"""Seeds of single sources of randomness: each moves what it names and nothing else, and keeps all other bits."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch

from mnist_resnet.data.batches import check_split, load
from mnist_resnet.errors import UsageError
from mnist_resnet.training.training_run import Training
from tests.small_training import differences, in_memory, new_training, small, trained

DRAWING = ("augmentation=translate", "data.val_size=30", "optim=sgd")
"""A config with every source of randomness."""


def initial_weights(*overrides: str) -> list[torch.Tensor]:
    return [parameter.detach().clone() for parameter in new_training(small(*DRAWING, *overrides)).model.parameters()]


def equal(one: Sequence[torch.Tensor], other: Sequence[torch.Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def drawn(*overrides: str) -> tuple[Any, ...]:
    """Return what a run draws after it is built: the first augmented images, then what dropout would draw next."""
    training = new_training(small(*DRAWING, *overrides))
    images = training.augment(training.splits.train.batch(slice(0, 8))[0])
    return images, torch.rand(4)


@pytest.mark.parametrize("source", ["init", "order", "dropout"])
def test_seed_of_a_source_equal_to_the_seed_is_the_same_run_bit_for_bit(source: str) -> None:
    plain = trained(small(*DRAWING, "seed=3"))
    assert differences(plain, trained(small(*DRAWING, "seed=3", f"seeds.{source}=3"))) == []


@pytest.mark.parametrize("source", ["init", "order", "dropout", "augmentation", "split"])
def test_each_source_changes_the_run(source: str) -> None:
    assert differences(trained(small(*DRAWING)), trained(small(*DRAWING, f"seeds.{source}=2"))) != []


def test_all_sources_together_are_the_run_with_that_seed() -> None:
    apart = trained(small(*DRAWING, "seed=1", "seeds.init=7", "seeds.order=7", "seeds.dropout=7"))
    assert differences(trained(small(*DRAWING, "seed=7")), apart) == []


def test_initial_weights_are_those_of_the_run_with_their_seed() -> None:
    assert equal(initial_weights("seed=1", "seeds.init=2"), initial_weights("seed=2"))
    for other in ("seeds.order=2", "seeds.dropout=2", "seeds.augmentation=2", "seeds.split=2"):
        assert equal(initial_weights("seed=1", other), initial_weights("seed=1")), other


def test_what_is_drawn_in_training_does_not_depend_on_the_seed_of_the_weights() -> None:
    assert equal(drawn("seed=1", "seeds.init=2"), drawn("seed=1"))
    assert equal(drawn("seed=1", "seeds.dropout=2"), drawn("seed=2"))


def test_augmentation_with_a_seed_of_its_own_leaves_dropout_alone() -> None:
    images, dropout = drawn("seeds.augmentation=1")
    for overrides in (("seeds.augmentation=1", "seeds.dropout=5"), ("seeds.augmentation=1", "seeds.init=5")):
        assert torch.equal(drawn(*overrides)[0], images), overrides
    other_images, same_dropout = drawn("seeds.augmentation=2")
    assert torch.equal(same_dropout, dropout)
    assert not torch.equal(other_images, images)


def test_split_shuffles_the_images_before_they_are_split() -> None:
    config = small("data.val_size=30")
    plain, one, again, other = (load(config.data, "cpu", seed) for seed in (None, 1, 1, 2))

    def images(splits: Any) -> list[list[int]]:
        return [split.pixels.flatten(1).sum(1).tolist() for split in (splits.train, splits.val, splits.test)]

    assert images(one) == images(again)
    assert images(one)[2] == images(plain)[2], "the test images stay the published ones"
    assert len({str(images(splits)[:2]) for splits in (plain, one, other)}) == 3
    available = in_memory(load(small("data.train_size=null").data, "cpu").train)
    train, val = images(one)[:2]
    everything = available.pixels.flatten(1).sum(1).tolist()
    for kind in (train, val):
        assert all(kind.count(total) <= everything.count(total) for total in kind), "each image at most once"


def test_split_of_all_images_is_refused() -> None:
    check_split(small("data.train_size=null", "data.val_size=30").data, 1)
    check_split(small().data, 1)
    check_split(small("data.train_size=null").data, None)
    with pytest.raises(UsageError, match=r"seeds.split=1: has no effect, all 1437 images are trained on; set data.val"):
        check_split(small("data.train_size=null").data, 1)


def test_building_the_network_twice_leaves_one(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    original = Training.__init__

    def counted(self: Training, *arguments: Any) -> None:
        built.append(arguments[0].seed_of("init"))
        original(self, *arguments)

    monkeypatch.setattr(Training, "__init__", counted)
    new_training(small("seed=4"))
    assert built == [4]
    new_training(small("seed=4", "seeds.init=5"))
    assert built == [4, 5, 4]
