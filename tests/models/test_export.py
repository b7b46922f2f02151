"""Tests of the export: both files match the live network, and training is not affected."""

import copy
import random
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mnist_resnet.job_folder import EXPORTED_MODEL, TRACED_MODEL, UnreadableFolder
from mnist_resnet.models.export import ExportMismatch, export_model
from mnist_resnet.models.model_file import ModelDescription, load_model
from mnist_resnet.models.resnet import ResNet, Stem

torch.set_num_threads(1)

FILES = [TRACED_MODEL, EXPORTED_MODEL]


def small(stem: Stem = "3x3") -> ResNet:
    return ResNet(stem=stem, width=4, blocks=[1, 1, 1, 1])


def some_images(count: int = 5) -> Tensor:
    return torch.randint(0, 256, (count, 1, 28, 28), dtype=torch.uint8)


def describe(images: Tensor) -> ModelDescription:
    return ModelDescription.of(images, 0.1307, 0.3081, 10)


def trained(network: nn.Module, steps: int = 3) -> list[Tensor]:
    """Train for a few steps, from the current random state; dropout draws from it."""
    optimizer = torch.optim.Adam(network.parameters())
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = cross_entropy(network(torch.randn(8, 1, 28, 28)), torch.randint(0, 10, (8,)))
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.detach())
    return losses


@pytest.mark.parametrize("stem", ["3x3", "7x7"])
@pytest.mark.parametrize("file", FILES)
def test_saved_network_gives_the_live_networks_logits_at_any_batch_size(tmp_path: Path, file: str, stem: Stem) -> None:
    network, images = small(stem), some_images(7)
    trained(network)
    description = describe(images)
    export_model(network, images, description, tmp_path)
    saved = load_model(tmp_path / file)
    assert saved.description == description
    with torch.no_grad():
        live = network.eval()(description.normalise(images))
    for batch_size in (1, 3, 7):
        assert torch.allclose(saved.logits(images, batch_size), live, atol=1e-5)


def test_one_image_is_enough_for_the_check(tmp_path: Path) -> None:
    images = some_images(1)
    export_model(small(), images, describe(images), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(FILES)


def test_colour_images_with_a_mean_per_channel(tmp_path: Path) -> None:
    network = ResNet(width=4, blocks=[1, 1], channels=3, classes=2)
    images = torch.randint(0, 256, (4, 3, 16, 20), dtype=torch.uint8)
    export_model(network, images, ModelDescription.of(images, [0.1, 0.2, 0.3], [1, 2, 3], ["cat", "dog"]), tmp_path)
    saved = load_model(tmp_path / EXPORTED_MODEL)
    assert (saved.description.height, saved.description.width, saved.description.class_names) == (
        16,
        20,
        ("cat", "dog"),
    )
    assert torch.allclose(saved.description.normalise(images)[:, 2], (images[:, 2] / 255 - 0.3) / 3)


def test_exporting_does_not_change_later_training_bitwise(tmp_path: Path) -> None:
    def run(export: bool) -> tuple[list[Tensor], list[Tensor], float, float]:
        torch.manual_seed(3)
        random.seed(3)
        np.random.seed(3)
        images, first = some_images(), small()
        losses = trained(first)
        if export:
            export_model(first, images, describe(images), tmp_path)
        second = small()
        losses += trained(first) + trained(second)
        weights = [*first.state_dict().values(), *second.state_dict().values()]
        return losses, weights, random.random(), float(np.random.random())

    plain, exported = run(export=False), run(export=True)
    for expected, actual in zip(plain[0] + plain[1], exported[0] + exported[1], strict=True):
        assert torch.equal(expected, actual)
    assert plain[2:] == exported[2:]


def test_live_network_keeps_its_mode_dtype_and_gradients(tmp_path: Path) -> None:
    network, images = small().to(torch.bfloat16).train(), some_images()
    before = copy.deepcopy(network.state_dict())
    cross_entropy(
        network(torch.randn(8, 1, 28, 28, dtype=torch.bfloat16)), torch.zeros(8, dtype=torch.int64)
    ).backward()  # type: ignore[no-untyped-call]
    before = copy.deepcopy(network.state_dict())
    export_model(network, images, describe(images), tmp_path)
    assert network.training
    assert all(parameter.grad is not None for parameter in network.parameters())
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert load_model(tmp_path / EXPORTED_MODEL).logits(images).dtype == torch.float32


def test_a_network_with_random_logits_in_evaluation_mode_is_a_mismatch(tmp_path: Path) -> None:
    class Drawing(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images.flatten(1)[:, :10] + torch.rand(10)

    images = some_images()
    state = torch.get_rng_state()
    with pytest.raises(ExportMismatch, match=r"model\.pt: its logits differ"):
        export_model(Drawing(), images, describe(images), tmp_path)
    assert torch.equal(torch.get_rng_state(), state)


def test_a_description_with_another_number_of_classes_is_a_mismatch(tmp_path: Path) -> None:
    images = some_images()
    with pytest.raises(ExportMismatch, match=r"its logits are \[1, 10\] for 7 classes"):
        export_model(small(), images, ModelDescription.of(images, 0.1307, 0.3081, 7), tmp_path)


def test_diverged_weights_are_exported_unchanged(tmp_path: Path) -> None:
    network, images = small(), some_images()
    nn.init.constant_(network.stem[0].weight, float("nan"))  # type: ignore[arg-type]
    export_model(network, images, describe(images), tmp_path)
    assert load_model(tmp_path / TRACED_MODEL).logits(images).isnan().all()


def test_exporting_and_loading_give_no_warnings(tmp_path: Path) -> None:
    images = some_images()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        export_model(small(), images, describe(images), tmp_path)
        for file in FILES:
            load_model(tmp_path / file)


def test_other_warnings_are_not_suppressed(tmp_path: Path) -> None:
    class Warning_(nn.Module):  # noqa: N801
        def forward(self, images: Tensor) -> Tensor:
            warnings.warn("the user's own", stacklevel=1)
            return images.flatten(1)[:, :10]

    images = some_images()
    with pytest.warns(UserWarning, match="the user's own"):
        export_model(Warning_(), images, describe(images), tmp_path)


class Shifted(nn.Module):
    """A network with a constant that is not in its state dict; torch stores it in the graph."""

    forwards = 0

    def __init__(self, shift: float) -> None:
        super().__init__()
        self.linear, self.shift = nn.Linear(28 * 28, 10), torch.full((10,), shift)

    def forward(self, images: Tensor) -> Tensor:
        Shifted.forwards += 1
        logits: Tensor = self.linear(images.flatten(1)) + self.shift
        return logits


class Tied(nn.Module):
    """A network whose two layers share one weight, which is a single record in the file."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(28 * 28, 28 * 28), nn.Linear(28 * 28, 28 * 28)
        self.second.weight = self.first.weight

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.second(self.first(images.flatten(1)).relu())[:, :10]
        return logits


def export_to(network: nn.Module, images: Tensor, folder: Path, architecture: str) -> Path:
    folder.mkdir()
    export_model(network, images, describe(images), folder, architecture)
    return folder


def assert_file_matches(network: nn.Module, file: Path, images: Tensor) -> None:
    saved = load_model(file)
    live = network.eval()(saved.description.normalise(images))
    for batch_size in (1, 3, len(images)):
        assert torch.allclose(saved.logits(images, batch_size), live, atol=1e-5)
    assert isinstance(saved.network, nn.Module)
    state = saved.network.state_dict()
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_later_networks_of_an_architecture_are_exported_with_their_own_weights(tmp_path: Path) -> None:
    images = some_images()
    for job in ("first", "second", "third"):
        network = small()
        trained(network)
        if job == "third":
            network.to(memory_format=torch.channels_last)
        folder = export_to(network, images, tmp_path / job, "small")
        for file in FILES:
            assert_file_matches(network, folder / file, images)


def test_graphs_are_cached_per_architecture_and_rebuilt_if_they_compute_other_logits(tmp_path: Path) -> None:
    images, forwards = some_images(), []
    for job, shift in (("first", 1.0), ("same", 1.0), ("other", 2.0)):
        network, Shifted.forwards = Shifted(shift), 0
        folder = export_to(network, images, tmp_path / job, "shifted")
        forwards.append(Shifted.forwards)
        for file in FILES:
            assert_file_matches(network, folder / file, images)
    first, same, other = forwards
    assert same == 1 < first < other


def test_networks_with_shared_weights_are_exported_too(tmp_path: Path) -> None:
    images = some_images()
    for job in ("first", "second"):
        network = Tied()
        folder = export_to(network, images, tmp_path / job, "tied")
        for file in FILES:
            assert_file_matches(network, folder / file, images)


def test_a_failed_write_leaves_no_partial_file(tmp_path: Path) -> None:
    images = some_images()
    with pytest.raises(FileNotFoundError):
        export_model(small(), images, describe(images), tmp_path / "missing")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("file", FILES)
def test_a_truncated_file_is_a_one_line_error(tmp_path: Path, file: str) -> None:
    images = some_images()
    export_model(small(), images, describe(images), tmp_path)
    content = (tmp_path / file).read_bytes()
    for length in (0, 100, len(content) // 2, len(content) - 1):
        (tmp_path / file).write_bytes(content[:length])
        for trusted in (False, True):
            with pytest.raises(UnreadableFolder) as caught:
                load_model(tmp_path / file, trusted)
            assert "\n" not in str(caught.value)
