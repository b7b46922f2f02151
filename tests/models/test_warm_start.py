"""A network that begins with the weights of a job's files, by a config that has their hash."""

import hashlib
from pathlib import Path

import pytest
import torch
from torch import nn

from mnist_resnet.config.schema import check
from mnist_resnet.config.signature import signature
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import CHECKPOINT, TRACED_MODEL
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.models.export import export_model
from mnist_resnet.models.model_file import ModelDescription
from mnist_resnet.models.warm_start import warm_started
from tests.small_training import in_memory, new_training, resolved, small
from tests.training.test_resume import resume


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    """A folder with the files of a trained network, and the network."""
    folder = tmp_path_factory.mktemp("job")
    training = resume(small("trainer.checkpoint_every=1"), folder, Interrupt())
    images = in_memory(training.splits.test).pixels
    export_model(training.model, images, ModelDescription.of(images, 0.3, 0.3, 10), folder)
    return folder, training.model


@pytest.mark.parametrize("name", [TRACED_MODEL, CHECKPOINT])
def test_training_starts_from_the_files_weights_and_another_file_is_another_experiment(
    name: str, job: tuple[Path, nn.Module]
) -> None:
    folder, trained = job
    sha256 = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    container = resolved()
    node = {"_target_": "mnist_resnet.models.warm_start.warm_started", "network": container["model"]}
    warm = container | {"model": node | {"file": str(folder / name), "sha256": sha256}}
    started = new_training(check(warm)).model.state_dict()
    stored = trained.state_dict()
    if name == CHECKPOINT:  # it may be older than the network
        stored = torch.load(folder / name, weights_only=True)["model"]
    assert started.keys() == stored.keys()
    assert all(torch.equal(value, started[key]) for key, value in stored.items())
    assert signature(warm) != signature(container | {"model": warm["model"] | {"sha256": "0" * 64}})


def test_a_file_that_is_not_the_one_is_refused_in_one_line(job: tuple[Path, nn.Module]) -> None:
    file = job[0] / TRACED_MODEL
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(UsageError, match=r"^model.sha256=00000000: the hash of .* is [0-9a-f]{64}$"):
        warm_started(nn.Linear(1, 1), str(file), "00000000")
    with pytest.raises(UsageError, match=r"^model.file=.*: has not the weights of this network"):
        warm_started(nn.Linear(1, 1), str(file), sha256[:8])
    with pytest.raises(UsageError, match=r"has no weights of this network"):
        warm_started(nn.Linear(1, 1), str(file), sha256, strict=False)
    with pytest.raises(UsageError, match=r"^model.file=nowhere: can't be read"):
        warm_started(nn.Linear(1, 1), "nowhere", sha256)
    with pytest.raises(UsageError, match=r"^model.file=/dev/zero: can't be read \(not a regular file\)"):
        warm_started(nn.Linear(1, 1), "/dev/zero", sha256)
