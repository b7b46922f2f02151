"""predictions.npz: round trip, damaged files and unexpected content."""

import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mnist_resnet.comparing.predictions import read_predictions
from mnist_resnet.job_folder import PREDICTIONS, UnreadableFolder
from mnist_resnet.training import predictions as module
from mnist_resnet.training.predictions import write_predictions


def some_test_set(count: int = 300) -> tuple[Tensor, Tensor, Tensor]:
    """Return labels, log-probabilities and pixels; two of three images are misread."""
    generator = torch.Generator().manual_seed(1)
    labels = torch.arange(count) % 10
    logits = torch.zeros(count, 10)
    logits[torch.arange(count), torch.where(torch.arange(count) % 3 == 0, labels, (labels + 1) % 10)] = 3
    return (
        labels,
        logits.log_softmax(1),
        torch.randint(0, 256, (count, 1, 8, 8), generator=generator, dtype=torch.uint8),
    )


def test_predictions_survive_a_round_trip(tmp_path: Path) -> None:
    labels, log_probabilities, pixels = some_test_set()
    write_predictions(tmp_path, labels, log_probabilities, pixels, "abc")
    read = read_predictions(tmp_path)
    assert read.label.tolist() == labels.tolist()
    assert read.predicted.tolist() == log_probabilities.argmax(1).tolist()
    assert read.accuracy == pytest.approx(1 / 3)
    every = torch.arange(len(labels))
    assert torch.equal(torch.from_numpy(read.label_log_probability), log_probabilities[every, labels].half())
    assert torch.equal(torch.from_numpy(read.predicted_log_probability), log_probabilities.amax(1).half())
    assert read.test_set_sha256 == "abc"


def test_pixels_of_the_first_200_misread_images_are_stored(tmp_path: Path) -> None:
    labels, log_probabilities, pixels = some_test_set(600)
    write_predictions(tmp_path, labels, log_probabilities, pixels, "abc")
    read = read_predictions(tmp_path)
    misread = [index for index in range(600) if index % 3]
    assert read.misread_index.tolist() == misread[:200]
    assert torch.equal(torch.from_numpy(read.misread_pixels), pixels[misread[:200]])


def test_perfect_network_and_network_with_nan_outputs(tmp_path: Path) -> None:
    labels, _, pixels = some_test_set(10)
    write_predictions(tmp_path, labels, torch.eye(10).log_softmax(1), pixels, "abc")
    assert read_predictions(tmp_path).misread_pixels.shape == (0, 1, 8, 8)
    write_predictions(tmp_path, labels, torch.full((10, 10), float("nan")), pixels, "abc")
    assert np.isnan(read_predictions(tmp_path).label_log_probability).all()


def test_hash_depends_on_images_labels_and_their_order() -> None:
    labels, _, pixels = some_test_set(20)
    name = module.test_set_sha256(pixels, labels)
    assert name == module.test_set_sha256(pixels.clone(), labels.int())
    other = labels.clone()
    other[3] += 1
    darker = pixels.clone()
    darker[0, 0, 0, 0] ^= 1
    changed = [
        module.test_set_sha256(pixels, other),
        module.test_set_sha256(darker, labels),
        module.test_set_sha256(pixels.flip(0), labels.flip(0)),
        module.test_set_sha256(pixels.reshape(20, 1, 4, 16), labels),
        module.test_set_sha256(pixels[:10], labels[:10]),
    ]
    assert len({name, *changed}) == 6
    assert module.test_set_sha256(pixels.to(memory_format=torch.channels_last), labels) == name


def test_missing_and_truncated_files_are_one_line_errors(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFolder, match=r"no predictions\.npz in it"):
        read_predictions(tmp_path)
    write_predictions(tmp_path, *some_test_set(), "abc")
    content = (tmp_path / PREDICTIONS).read_bytes()
    for length in range(0, len(content), len(content) // 20):
        (tmp_path / PREDICTIONS).write_bytes(content[:length])
        with pytest.raises(UnreadableFolder) as caught:
            read_predictions(tmp_path)
        assert "\n" not in str(caught.value)


def test_flipped_bytes_are_detected_or_harmless(tmp_path: Path) -> None:
    write_predictions(tmp_path, *some_test_set(40), "abc")
    content = (tmp_path / PREDICTIONS).read_bytes()
    for place in range(0, len(content), 41):
        damaged = bytearray(content)
        damaged[place] ^= 0xFF
        (tmp_path / PREDICTIONS).write_bytes(damaged)
        try:
            read_predictions(tmp_path)
        except UnreadableFolder as error:
            assert "\n" not in str(error)  # noqa: PT017 (either outcome is right)


@pytest.mark.parametrize(
    "change",
    [
        {"label": np.zeros(300)},
        {"label": np.zeros((300, 1), np.uint8)},
        {"label": np.zeros(299, np.uint8)},
        {"misread_index": np.zeros(3, np.int32)},
        {"other": np.zeros(1)},
        {"label": np.array([{}] * 300, dtype=object)},
    ],
    ids=["dtype", "shape", "length", "number of images", "unknown array", "pickled"],
)
def test_unexpected_content_is_rejected(tmp_path: Path, change: dict[str, Any]) -> None:
    write_predictions(tmp_path, *some_test_set(), "abc")
    with np.load(tmp_path / PREDICTIONS) as archive:
        content = dict(archive)
    np.savez(tmp_path / PREDICTIONS, **(content | change))
    with pytest.raises(UnreadableFolder):
        read_predictions(tmp_path)


def test_pickle_is_rejected(tmp_path: Path) -> None:
    (tmp_path / PREDICTIONS).write_bytes(pickle.dumps([1]))
    with pytest.raises(UnreadableFolder):
        read_predictions(tmp_path)
    with zipfile.ZipFile(tmp_path / PREDICTIONS, "w") as archive:
        archive.writestr("label.npy", b"no array")
    with pytest.raises(UnreadableFolder):
        read_predictions(tmp_path)
