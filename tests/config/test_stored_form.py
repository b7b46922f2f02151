"""Configs are read back as they were composed, and numbers that mean the same make the same experiment."""

from typing import Any

import pytest

from mnist_resnet.config.compose import make_job_spec
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import from_json, to_json
from tests.small_training import resolved


def composed(*overrides: str, **more: Any) -> JobSpec:
    return make_job_spec(resolved(*overrides) | more, {}, [], [])


@pytest.mark.parametrize(
    "value",
    [{1: 8}, {-1: {0: "a", 12: [{3: None}]}}, [{1: 8}, {"1": 8}], {}, {"1": 1.5}, {"nested": {1: True}}, 1e300, ""],
)
def test_config_is_read_back_as_it_was_composed(value: Any) -> None:
    assert repr(from_json(to_json({"mine": value}))) == repr({"mine": value})
    assert repr(composed(mine=value).config["mine"]) == repr(value)


def test_whole_number_keys_are_readable_in_the_file() -> None:
    assert to_json({"sizes": {1: 8}}) == '{"sizes": {"_keys_": "int", "1": 8}}'


@pytest.mark.parametrize("key", ["a", "01", "1.5", "9" * 30])
def test_object_that_only_looks_marked_is_left_as_it_is(key: str) -> None:
    assert from_json(f'{{"_keys_": "int", "{key}": 1}}') == {"_keys_": "int", key: 1}


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({1: 8, "a": 2}, "mine={1: 8, 'a': 2}"),
        ({"inner": {"deep": {True: 8}}}, "mine.inner.deep={True: 8}"),
        ({1.5: 8}, "mine={1.5: 8}"),
        ({"kept": 1, "raw": b"bytes"}, "mine.raw=b'bytes'"),
        ([1, b"bytes"], "mine=[1, b'bytes']"),
        ({"_keys_": "int", "1": 8}, "mine={'_keys_': 'int', '1': 8}"),
    ],
)
def test_what_would_be_read_back_as_something_else_is_refused_by_its_key(value: Any, shown: str) -> None:
    with pytest.raises(UsageError) as refused:
        composed(mine=value)
    assert str(refused.value).startswith(f"{shown}: can't be stored with the job; a config holds text, numbers")


@pytest.mark.parametrize(
    ("typed", "same"),
    [
        ("optim.weight_decay=0", "optim.weight_decay=0.0"),
        ("optim.weight_decay=-0.0", "optim.weight_decay=0.0"),
        ("optim.weight_decay=-0", "optim.weight_decay=0.0"),
        ("optim.lr=1", "optim.lr=1.0"),
        ("optim.betas=[0,0.999]", "optim.betas=[0.0,0.999]"),
        ("data.mean=0", "data.mean=0.0"),
        ("data.std=[1]", "data.std=[1.0]"),
        ("scale.epochs=1", "scale.epochs=1.0"),
        ("loss.label_smoothing=0", "loss.label_smoothing=0.0"),
    ],
)
def test_float_given_as_a_whole_number_is_the_same_experiment(typed: str, same: str) -> None:
    assert composed(typed).signature == composed(same).signature


@pytest.mark.parametrize(
    ("typed", "same"),
    [
        ("data.batch_size=32.0", "data.batch_size=32"),
        ("trainer.checkpoint_every=3.0", "trainer.checkpoint_every=3"),
        ("model.blocks=[1.0,2.0,1,1]", "model.blocks=[1,2,1,1]"),
        ("sweep.seeds=[1.0,2.0]", "sweep.seeds=[1,2]"),
        ("seed=1e3", "seed=1000"),
    ],
)
def test_whole_number_given_as_a_float_is_the_same_experiment(typed: str, same: str) -> None:
    assert repr(composed(typed).config) == repr(composed(same).config)


def test_float_with_a_fraction_is_no_whole_number() -> None:
    with pytest.raises(UsageError, match=r"^data.batch_size=32.5: must be a whole number$"):
        composed("data.batch_size=32.5", "data.test_size=100.0")


def test_numbers_of_undeclared_keys_stay_as_they_were_typed() -> None:
    assert repr(composed("+model.depth=3", "model._target_=a.b").config["model"]["depth"]) == "3"
    assert composed("+mine.depth=3").signature != composed("+mine.depth=3.0").signature


def test_defaults_keep_the_signature_of_older_sweeps() -> None:
    assert composed().signature[:12] == "073390762735"
