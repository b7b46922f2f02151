"""Configs that were frozen before this package had rooms: they are read under new paths and keep their signatures."""

import json
from pathlib import Path

import pytest

from mnist_resnet.config.allowed_targets import TRUSTED_TARGETS, targets
from mnist_resnet.config.signature import signature
from mnist_resnet.job_folder import MOVED_TARGETS, RESULT, SWEEP, read_json

REPOSITORY = Path(__file__).parents[2]
RECORDS = REPOSITORY / "multirun" / "records"
SIGNATURES = json.loads((Path(__file__).parent / "record_signatures.json").read_text())
"""By record and job, as the code computed them before the move."""


@pytest.mark.parametrize("record", sorted(SIGNATURES))
def test_records_keep_their_signatures(record: str) -> None:
    jobs = read_json(RECORDS / record / SWEEP)["jobs"]
    assert {job["name"]: signature(job["config"]) for job in jobs} == SIGNATURES[record]


@pytest.mark.parametrize("record", sorted(SIGNATURES))
def test_stored_configs_name_targets_that_are_there(record: str) -> None:
    for result in (RECORDS / record).glob(f"*/{RESULT}"):
        named = set(targets(read_json(result)["config"]))
        assert named <= TRUSTED_TARGETS | {"torch.nn.CrossEntropyLoss"}


def test_both_spellings_are_one_experiment() -> None:
    old = {"model": {"_target_": "mnist_resnet.running.network.ResNet"}, "augmentation": [{"_target_": "a.b"}]}
    new = {"model": {"_target_": "mnist_resnet.models.resnet.ResNet"}, "augmentation": [{"_target_": "a.b"}]}
    assert signature(old) == signature(new)


def test_what_moved_is_trusted_at_its_new_place() -> None:
    assert set(MOVED_TARGETS.values()) <= TRUSTED_TARGETS
