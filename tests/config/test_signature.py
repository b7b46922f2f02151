"""Every config key changes the signature, unless it is on the list of exclusions."""

import copy
import inspect
import json
from typing import Any

import pytest
import yaml

from mnist_resnet.config.identity import identity
from mnist_resnet.config.schema import check
from mnist_resnet.config.signature import (
    NEUTRAL,
    NEUTRAL_VALUES,
    NOT_IN_SIGNATURE,
    NUMERICS,
    distinguishes_jobs,
    flatten,
    signature,
)
from mnist_resnet.data.stream import streamed
from tests.small_training import REPOSITORY, resolved

VARIED = (
    (),
    ("model=stem7x7", "regularization=none", "optim=sgd", "schedule=onecycle", "data=mnist", "tracking=wandb"),
    ("optim=adamw", "schedule=cosine", "data=fashion_mnist", "scale=quick", "experiment=report_d_block_norm"),
    ("augmentation=elastic", "loss=label_smoothing", "averaging=ema"),
    ("augmentation=translate", "averaging=swa"),
    ("+mine.own=3", "+model.inner={depth:2,wide:[1,2]}", "+data.sharp=true"),
)


def changed(value: Any) -> Any:
    """Return another value of the same type."""
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


def is_excluded(key: str) -> bool:
    return any(f"{key}.".startswith(f"{excluded}.") for excluded in NOT_IN_SIGNATURE)


@pytest.mark.parametrize("overrides", VARIED)
def test_each_key_changes_the_signature_or_is_excluded(overrides: tuple[str, ...]) -> None:
    config = resolved(*overrides)
    keys = list(flatten(config))
    assert len(keys) > 40
    without_effect = [key for key in keys if signature(with_other_value(config, key)) == signature(config)]
    assert without_effect == [key for key in keys if is_excluded(key)]


def test_every_exclusion_exists_in_the_config() -> None:
    config = resolved()
    of_a_function = yaml.safe_load((REPOSITORY / "conf/task/function.yaml").read_text())
    of_a_stream = dict(inspect.signature(streamed).parameters)
    for excluded in NOT_IN_SIGNATURE:
        node: Any = config | {"task": of_a_function, "data": config["data"] | of_a_stream}
        for part in excluded.split("."):
            assert part in node, excluded
            node = node[part]


@pytest.mark.parametrize("group", NEUTRAL)
def test_later_group_at_its_neutral_option_has_no_effect(group: str) -> None:
    config = resolved()
    assert config[group] == NEUTRAL[group]
    older = {key: value for key, value in config.items() if key != group}
    assert signature(older) == signature(config)
    assert check(older) == check(config)


@pytest.mark.parametrize(("key", "value"), NEUTRAL_VALUES.items())
def test_later_key_at_its_neutral_value_has_no_effect(key: str, value: Any) -> None:
    config, (group, name) = resolved(), key.split(".")
    assert config[group][name] == value
    older = config | {group: {inner: value for inner, value in config[group].items() if inner != name}}
    assert signature(older) == signature(config)
    assert check(older) == check(config)


def test_signature_of_the_defaults_is_that_of_older_sweeps() -> None:
    assert signature(resolved())[:12] == "073390762735"


def test_exclusions_do_not_overlap() -> None:
    assert len(set(NOT_IN_SIGNATURE)) == len(NOT_IN_SIGNATURE)
    assert not [key for key in NOT_IN_SIGNATURE for other in NOT_IN_SIGNATURE if key.startswith(f"{other}.")]


@pytest.mark.parametrize("key", NUMERICS)
def test_requested_numerics_distinguish_jobs_with_the_same_signature(key: str) -> None:
    config = resolved()
    other = with_other_value(config, key)
    assert signature(other) == signature(config)
    assert identity(other) != identity(config)
    assert distinguishes_jobs(key)


@pytest.mark.parametrize("name", ["compile", "convolutions"])
def test_a_job_that_was_stored_before_a_numerics_key_was_there_is_the_same_job(name: str) -> None:
    config = resolved()
    trainer = {key: value for key, value in config["trainer"].items() if key != name}
    assert identity(config | {"trainer": trainer}) == identity(config)


def test_new_key_changes_the_signature_even_if_empty() -> None:
    config = resolved()
    values: list[Any] = [{}, [], None, {"inner": {}}]
    for new in values:
        assert signature(config | {"mine": new}) != signature(config)
    assert signature(config | {"mine": {}}) != signature(config | {"mine": None})


def test_signature_depends_on_content_only() -> None:
    config = resolved()
    assert signature(dict(reversed(list(config.items())))) == signature(config)
    assert signature(json.loads(json.dumps(config))) == signature(config)
    assert signature(config | {"seed": "1"}) != signature(config)
    assert len(signature(config)) == 64


@pytest.mark.parametrize("left_out", ["sweep", "tracking", "data.root"])
def test_key_with_an_excluded_key_as_prefix_counts(left_out: str) -> None:
    config = resolved(f"+{left_out}_of_mine=1")
    assert signature(with_other_value(config, f"{left_out}_of_mine")) != signature(config)
