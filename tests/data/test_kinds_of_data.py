"""Data of any kind: floats, tokens, many classes, yes-or-no labels, numbers, and PyTorch's data sets, all trained."""

import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import Dataset, Subset, TensorDataset

from mnist_resnet.config.allowed_targets import allow
from mnist_resnet.config.schema import check
from mnist_resnet.data.dataset import DataSet, LabelledImages
from mnist_resnet.data.in_memory import in_memory
from mnist_resnet.errors import UsageError
from mnist_resnet.jobs.signals import Interrupt, Interrupted
from mnist_resnet.training.image_classifier import check_data
from mnist_resnet.training.recipe import try_recipe
from tests.small_training import differences, new_training, resolved, trained
from tests.small_training import in_memory as in_memory_split
from tests.training.test_resume import AtCheck, resume

HERE = __name__


def _split(inputs: Tensor, labels: Tensor) -> DataSet:
    return DataSet(LabelledImages(inputs[:100], labels[:100]), LabelledImages(inputs[100:], labels[100:]))


def table(noise: float = 0.1) -> DataSet:
    """Floats [n, 300], of which the largest tells one of 300 classes."""
    labels = torch.arange(150) * 2
    generator = torch.Generator().manual_seed(1)
    return _split(torch.nn.functional.one_hot(labels, 300) + noise * torch.rand(150, 300, generator=generator), labels)


def sequences() -> DataSet:
    """Tokens [n, 8], and for each position the token that follows."""
    start = torch.arange(150).unsqueeze(1) % 12
    tokens = (start + torch.arange(9)) % 12
    return _split(tokens[:, :-1], tokens[:, 1:])


def yes_or_no() -> DataSet:
    """Floats [n, 4], and for each whether it is above one half."""
    inputs = torch.rand(150, 4, generator=torch.Generator().manual_seed(2))
    return _split(inputs, (inputs > 0.5).float())


def one_yes_or_no() -> DataSet:
    """Floats [n, 4], and whether their mean is above one half."""
    inputs = torch.rand(150, 4, generator=torch.Generator().manual_seed(2))
    return _split(inputs, (inputs.mean(1) > 0.5).float())


def numbers() -> DataSet:
    """Floats [n, 4], and for each two numbers: their sum, and three times the first less the last."""
    inputs = torch.rand(150, 4, generator=torch.Generator().manual_seed(3))
    return _split(inputs, torch.stack([inputs.sum(1), 3 * (inputs[:, 0] - inputs[:, 3])], dim=1))


def linear(inputs: int, outputs: int) -> nn.Module:
    return nn.Linear(inputs, outputs)


class NextToken(nn.Module):
    def __init__(self, tokens: int) -> None:
        super().__init__()
        self.table = nn.Embedding(tokens, tokens)

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.table(tokens).transpose(1, 2)
        return logits


KINDS: dict[str, dict[str, Any]] = {
    "more than 256 classes": {
        "data": {"_target_": f"{HERE}.table", "classes": 300},
        "model": {"_target_": f"{HERE}.linear", "inputs": 300, "outputs": 300},
    },
    "sequences of tokens": {
        "data": {"_target_": f"{HERE}.sequences", "classes": 12},
        "model": {"_target_": f"{HERE}.NextToken", "tokens": 12},
    },
    "yes-or-no labels": {
        "data": {"_target_": f"{HERE}.yes_or_no", "classes": 4},
        "model": {"_target_": f"{HERE}.linear", "inputs": 4, "outputs": 4},
        "loss": {"_target_": "torch.nn.BCEWithLogitsLoss"},
    },
    "one yes-or-no label": {
        "data": {"_target_": f"{HERE}.one_yes_or_no", "classes": 1},
        "model": {"_target_": f"{HERE}.linear", "inputs": 4, "outputs": 1},
        "loss": {"_target_": "torch.nn.BCEWithLogitsLoss"},
    },
    "numbers": {
        "data": {"_target_": f"{HERE}.numbers", "classes": None, "val_size": 20, "train_size": 80},
        "model": {"_target_": f"{HERE}.linear", "inputs": 4, "outputs": 2},
        "loss": {"_target_": "torch.nn.MSELoss"},
    },
}


def config(nodes: dict[str, Any]) -> Any:
    base = resolved("trainer.checkpoint_every=1", "trainer.epochs=40", "optim.lr=0.05")
    sizes = {"batch_size": 32, "test_batch_size": 20, "train_size": 100}
    nodes = nodes | {"data": sizes | nodes["data"]}
    allow(nodes)
    return check(base | nodes)


@pytest.mark.parametrize("kind", KINDS)
def test_kind_trains_and_ends_with_the_same_bits_after_a_stop_in_mid_epoch(kind: str, tmp_path: Path) -> None:
    settings = config(KINDS[kind])
    with pytest.raises(Interrupted):
        resume(settings, tmp_path, AtCheck(6))
    resumed, expected = resume(settings, tmp_path, Interrupt()), trained(settings)
    assert differences(expected, resumed) == []
    last = expected.history[-1]
    if kind == "numbers":
        assert not any("accuracy" in name for name in last)
        assert last["val_loss"] < 0.01 > last["test_loss"]
        return
    assert last["train_accuracy"] > 0.9
    assert 0 <= last["test_accuracy"] <= 1


def test_loss_of_numbers_is_the_mean_squared_error_whatever_is_trained() -> None:
    training = trained(config(KINDS["numbers"] | {"loss": {"_target_": "torch.nn.L1Loss"}}))
    test = in_memory_split(training.splits.test)
    predicted = training.model(test.pixels)
    expected = (predicted - test.labels).square().mean().item()
    assert training.history[-1]["test_loss"] == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(
    ("kind", "section", "changes", "message"),
    [
        ("numbers", "loss", {"_target_": "torch.nn.CrossEntropyLoss"}, "is for classes, and data.classes=null"),
        ("numbers", "data", {"classes": 2}, "data.classes=2: the targets are floats other than 0 and 1; data.classes="),
        ("more than 256 classes", "data", {"classes": None}, "data.classes=null: the targets are classes, int64"),
        ("more than 256 classes", "data", {"classes": 1}, "data.classes=1: .* 2 or more, or make them one yes-or-no"),
        ("more than 256 classes", "data", {"classes": 298}, "data.classes=298: there is a label 298"),
        ("numbers", "data", {"balanced": True}, "data.balanced=true: is for data with one class each"),
        ("numbers", "model", {"outputs": 1}, r"model: returns \[2, 1\] for targets \[2, 2\]"),
        ("numbers", "schedule", {"mode": "max"}, "schedule.mode=max: waits for an accuracy"),
    ],
)
def test_targets_that_do_not_fit_are_refused(kind: str, section: str, changes: dict[str, Any], message: str) -> None:
    nodes = dict(KINDS[kind])
    plateau = {"_target_": "torch.optim.lr_scheduler.ReduceLROnPlateau", "_partial_": True}
    base = plateau if section == "schedule" else nodes.get(section, {"_target_": "torch.nn.MSELoss"})
    nodes[section] = base | changes
    if "loss" not in nodes:
        nodes["loss"] = {"_target_": "torch.nn.MSELoss"}
    with pytest.raises(UsageError, match=message):
        try_recipe(config(nodes))


def one_hot() -> DataSet:
    """Floats [n, 4], and the largest of them as one-hot floats."""
    inputs = torch.rand(150, 4, generator=torch.Generator().manual_seed(2))
    return _split(inputs, torch.nn.functional.one_hot(inputs.argmax(1), 4).float())


def test_one_hot_labels_with_cross_entropy_are_refused_with_what_to_do() -> None:
    model = {"_target_": f"{HERE}.linear", "inputs": 4, "outputs": 4}
    nodes = {"data": {"_target_": f"{HERE}.one_hot", "classes": 4}, "model": model}
    message = r"loss\._target_=torch\.nn\.CrossEntropyLoss: is for one class each, .*binary_cross_entropy, or .*argmax"
    with pytest.raises(UsageError, match=message):
        check_data(config(nodes))
    check_data(config(nodes | {"loss": {"_target_": "torch.nn.BCEWithLogitsLoss"}}))


def ends(code: int) -> nn.Module:
    sys.exit(code)


class EndsWhenUsed(nn.Linear):
    def forward(self, _: Tensor) -> Tensor:
        sys.exit(3)


@pytest.mark.parametrize(
    ("section", "node", "message"),
    [
        ("model", {"_target_": f"{HERE}.linear", "inputs": 300, "outputs": 299},
         rf"^model\._target_={HERE}\.linear: returns \[2, 299\] for 2 images .*classes=300 asks for \[2, 300\]$"),
        ("model", {"_target_": f"{HERE}.linear", "inputs": 300, "outputs": 301},
         rf"^model\._target_={HERE}\.linear: returns \[2, 301\] for 2 images .*classes=300 asks for \[2, 300\]$"),
        ("model", {"_target_": "torch.nn.Flatten", "start_dim": 0}, r"^model\._target_=torch\.nn\.Flatten: has no p"),
        ("model", {"_target_": f"{HERE}.ends", "code": 3}, rf"^model\._target_={HERE}\.ends: SystemExit: .* 3 \("),
        ("model", {"_target_": f"{HERE}.EndsWhenUsed", "in_features": 3, "out_features": 3},
         rf"^model\._target_={HERE}\.EndsWhenUsed: SystemExit: ends the process, with exit code 3 \("),
        ("augmentation", {"_target_": f"{HERE}.ends", "code": 4},
         rf"^augmentation\._target_={HERE}\.ends: SystemExit: .* 4 \("),
        ("optim", {"_target_": "torch.optim.RMSprop", "lr": 1.0, "alpha": -1.0, "_partial_": True},
         r"^optim\._target_=torch\.optim\.RMSprop: Invalid alpha value: -1\.0$"),
    ],
)  # fmt: skip
def test_a_recipe_that_fails_names_the_part_alone(section: str, node: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        try_recipe(config(KINDS["more than 256 classes"] | {section: node}))


def own_loss() -> Any:
    return torch.nn.functional.cross_entropy


def test_recipes_of_every_kind_are_fine_and_so_are_more_outputs_than_classes_for_a_loss_of_ones_own() -> None:
    for nodes in KINDS.values():
        try_recipe(config(nodes))
    wide = KINDS["more than 256 classes"] | {"model": {"_target_": f"{HERE}.linear", "inputs": 300, "outputs": 301}}
    try_recipe(config(wide | {"loss": {"_target_": f"{HERE}.own_loss"}}))
    with pytest.raises(UsageError, match=r"returns \[32, 301\] for 32 images .* asks for \[32, 300\]"):
        trained(config(wide))


def test_floats_are_normalised_only_by_what_the_config_gives() -> None:
    as_they_are = new_training(config(KINDS["yes-or-no labels"])).splits.train
    assert torch.equal(as_they_are.batch(slice(0, 9))[0], yes_or_no().train.pixels[:9])
    node = KINDS["yes-or-no labels"]
    given = node | {"data": node["data"] | {"mean": [0.5, 0.5, 0.5, 0.0], "std": 2.0}}
    expected = (yes_or_no().train.pixels[:9] - torch.tensor([0.5, 0.5, 0.5, 0.0])) / 2
    assert torch.equal(new_training(config(given)).splits.train.batch(slice(0, 9))[0], expected)


def test_balanced_batches_draw_rare_classes_as_often() -> None:
    from mnist_resnet.data.batches import shuffled
    from mnist_resnet.data.targets import balancing_weights

    labels = torch.tensor([0] * 900 + [1] * 90 + [2] * 10)
    order = shuffled(1000, 1, 0, balancing_weights(labels))
    counts = torch.bincount(labels[order])
    assert len(order) == 1000
    assert all(250 < count < 420 for count in counts.tolist())
    assert torch.equal(order, shuffled(1000, 1, 0, balancing_weights(labels)))


class Pictures(Dataset[tuple[Image.Image, int]]):
    """A map-style data set of pictures, as torchvision's are."""

    def __init__(self, count: int, size: int = 6, mode: str = "RGB") -> None:
        self.count, self.size, self.mode = count, size, mode

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.new(self.mode, (self.size + (index == 3), self.size), (index,) * len(self.mode)), index % 3


def test_pytorchs_data_sets_are_read_once_into_tensors() -> None:
    pictures = in_memory(Subset(Pictures(3), range(3)), Pictures(2))
    assert (pictures.train.pixels.dtype, list(pictures.train.pixels.shape)) == (torch.uint8, [3, 3, 6, 6])
    assert pictures.train.labels.tolist() == [0, 1, 2]
    assert not pictures.is_published
    tensors = TensorDataset(torch.rand(4, 5), torch.arange(4))
    assert torch.equal(in_memory(tensors, tensors).test.pixels, tensors.tensors[0])


def test_pytorchs_data_sets_that_fit_no_tensor_are_refused_with_what_to_do() -> None:
    with pytest.raises(UsageError, match=r"data.train: item 3 is uint8 \[3, 6, 7\].* add a transform"):
        in_memory(Pictures(5), Pictures(2))
    with pytest.raises(UsageError, match=r"data.test: item 2 can't be read: index 7 is out of bounds"):
        in_memory(Pictures(3), Subset(TensorDataset(torch.rand(3, 5), torch.arange(3)), [0, 1, 7]))
    with pytest.raises(UsageError, match=r"data.train: 1000000000 items .* more than half of this machine's memory"):
        in_memory(Pictures(10**9, size=100), Pictures(2))


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"image": 1.0, "label": 1}, "data: an item is a dict, not a pair of an input and a target; wrap"),
        ((1.0, 1, 2), "data: an item is 3 values, not a pair"),
        (None, "data: an item is a NoneType, not a pair"),
        (([1.0, 2.0], "cat"), "data: a part of an item is a str, neither a tensor nor an array"),
    ],
)
def test_items_that_are_no_pairs_of_numbers_are_refused(item: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        in_memory([item], [item])
