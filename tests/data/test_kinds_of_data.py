"""Data of any kind: floats, tokens, many classes, yes-or-no labels, and PyTorch's data sets, each trained for real."""

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
from tests.small_training import differences, new_training, resolved, trained
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
    assert expected.history[-1]["train_accuracy"] > 0.9
    assert 0 <= expected.history[-1]["test_accuracy"] <= 1


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
    with pytest.raises(UsageError, match=r"data.train: item 3 is \[3, 6, 7\].* add a transform that makes them one"):
        in_memory(Pictures(5), Pictures(2))
    with pytest.raises(UsageError, match=r"data.train: 1000000000 items .* more than half of this machine's memory"):
        in_memory(Pictures(10**9, size=100), Pictures(2))
