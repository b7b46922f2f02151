"""Every key of the config moves the signature, or is on the list of those that do not."""

import copy
import json
from typing import Any

import pytest

from mnist_resnet.config.schema import check
from mnist_resnet.config.signature import (
    NEUTRAL,
    NOT_IN_SIGNATURE,
    NUMERICS,
    distinguishes_jobs,
    flatten,
    identity,
    signature,
)
from tests.small_training import resolved

VARIED = (
    (),
    ("model=stem7x7", "regularization=none", "optim=sgd", "schedule=onecycle", "data=mnist", "tracking=wandb"),
    ("optim=adamw", "schedule=cosine", "data=fashion_mnist", "scale=quick", "experiment=report_d_block_norm"),
    ("augmentation=elastic", "loss=label_smoothing", "averaging=ema"),
    ("augmentation=translate", "averaging=swa"),
    ("+mine.own=3", "+model.inner={depth:2,wide:[1,2]}", "+data.sharp=true"),
)


def changed(value: Any) -> Any:
    """Another value of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1
    if isinstance(value, str):
        return f"{value}x"
    if isinstance(value, list):
        return [*value, 1]
    return {"new": 1} if isinstance(value, dict) else 1


def with_other_value(config: dict[str, Any], key: str) -> dict[str, Any]:
    other = copy.deepcopy(config)
    *path, last = key.split(".")
    node = other
    for part in path:
        node = node[part]
    node[last] = changed(node[last])
    return other


def is_listed(key: str) -> bool:
    return any(f"{key}.".startswith(f"{listed}.") for listed in NOT_IN_SIGNATURE)


@pytest.mark.parametrize("overrides", VARIED)
def test_each_key_moves_the_signature_or_is_on_the_list(overrides: tuple[str, ...]) -> None:
    config = resolved(*overrides)
    keys = list(flatten(config))
    assert len(keys) > 40
    unmoved = [key for key in keys if signature(with_other_value(config, key)) == signature(config)]
    assert unmoved == [key for key in keys if is_listed(key)]


def test_every_entry_of_the_list_is_there() -> None:
    config = resolved()
    for listed in NOT_IN_SIGNATURE:
        node: Any = config
        for part in listed.split("."):
            assert part in node, listed
            node = node[part]


@pytest.mark.parametrize("group", NEUTRAL)
def test_group_that_came_later_does_not_count_at_its_default(group: str) -> None:
    config = resolved()
    assert config[group] == NEUTRAL[group]
    older = {key: value for key, value in config.items() if key != group}
    assert signature(older) == signature(config)
    assert check(older) == check(config)


def test_default_choices_keep_the_signature_that_older_sweeps_were_frozen_with() -> None:
    assert signature(resolved())[:12] == "073390762735"


def test_list_names_nothing_twice() -> None:
    assert len(set(NOT_IN_SIGNATURE)) == len(NOT_IN_SIGNATURE)
    assert not [one for one in NOT_IN_SIGNATURE for other in NOT_IN_SIGNATURE if one.startswith(f"{other}.")]


@pytest.mark.parametrize("key", NUMERICS)
def test_numerics_that_are_asked_for_tell_jobs_apart_all_the_same(key: str) -> None:
    config = resolved()
    other = with_other_value(config, key)
    assert signature(other) == signature(config)
    assert identity(other) != identity(config)
    assert distinguishes_jobs(key)


def test_new_key_moves_the_signature_even_if_it_is_empty() -> None:
    config = resolved()
    values: list[Any] = [{}, [], None, {"inner": {}}]
    for new in values:
        assert signature(config | {"mine": new}) != signature(config)
    assert signature(config | {"mine": {}}) != signature(config | {"mine": None})


def test_signature_is_that_of_the_content() -> None:
    config = resolved()
    assert signature(dict(reversed(list(config.items())))) == signature(config)
    assert signature(json.loads(json.dumps(config))) == signature(config)
    assert signature(config | {"seed": "1"}) != signature(config)
    assert len(signature(config)) == 64


@pytest.mark.parametrize("left_out", ["sweep", "tracking", "data.root"])
def test_key_that_only_begins_like_one_on_the_list_counts(left_out: str) -> None:
    config = resolved(f"+{left_out}_of_mine=1")
    assert signature(with_other_value(config, f"{left_out}_of_mine")) != signature(config)
