"""Configs frozen before the package was split into sub-packages: they load and keep their signatures."""

import json
from pathlib import Path

import pytest

from mnist_resnet.config.allowed_targets import TRUSTED_TARGETS, targets
from mnist_resnet.config.signature import signature
from mnist_resnet.job_folder import MOVED_TARGETS, RESULT, SWEEP, read_json

REPOSITORY = Path(__file__).parents[2]
RECORDS = REPOSITORY / "multirun" / "records"
SIGNATURES = json.loads((Path(__file__).parent / "record_signatures.json").read_text())
"""Signatures by record and job, computed by the code before the move."""


@pytest.mark.parametrize("record", sorted(SIGNATURES))
def test_records_keep_their_signatures(record: str) -> None:
    jobs = read_json(RECORDS / record / SWEEP)["jobs"]
    assert {job["name"]: signature(job["config"]) for job in jobs} == SIGNATURES[record]


@pytest.mark.parametrize("record", sorted(SIGNATURES))
def test_stored_configs_name_known_targets(record: str) -> None:
    for result in (RECORDS / record).glob(f"*/{RESULT}"):
        stored = set(targets(read_json(result)["config"]))
        assert stored <= TRUSTED_TARGETS | {"torch.nn.CrossEntropyLoss"}


def test_old_and_new_paths_have_the_same_signature() -> None:
    old = {"model": {"_target_": "mnist_resnet.running.network.ResNet"}, "augmentation": [{"_target_": "a.b"}]}
    new = {"model": {"_target_": "mnist_resnet.models.resnet.ResNet"}, "augmentation": [{"_target_": "a.b"}]}
    assert signature(old) == signature(new)


def test_moved_targets_are_trusted() -> None:
    assert set(MOVED_TARGETS.values()) <= TRUSTED_TARGETS
