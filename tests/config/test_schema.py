"""The options in conf/ and the config schema."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnist_resnet.config.schema import check
from mnist_resnet.config.signature import flatten
from mnist_resnet.errors import UsageError
from tests.small_training import REPOSITORY, resolved, small

CONF = REPOSITORY / "conf"
FILES = sorted(CONF.rglob("*.yaml"))
GROUPS = sorted(folder.name for folder in CONF.iterdir() if folder.is_dir() and folder.name not in ("hydra", "sweep"))
OPTIONS = [(group, file.stem) for group in GROUPS for file in sorted((CONF / group).glob("*.yaml"))]
OPTIONS.remove(("task", "function"))  # no task by itself: a user's file inherits it
OPTIONS.remove(("tracking", "several"))  # no tracker by itself, likewise

# Scripts rely on these keys in every option of their group.
STABLE_KEYS = {
    "model": ["width", "block_norm", "blocks"],
    "regularization": ["dropout"],
    "optim": ["lr"],
    "data": ["root", "train_size", "val_size", "test_size", "batch_size", "test_batch_size"],
    "trainer": ["epochs", "device", "precision", "log_interval"],
    "tracking": ["mode"],
}

GROUPS_WITH_TARGET = ("model", "optim", "data", "schedule", "augmentation", "loss", "averaging", "tracking")


@pytest.mark.parametrize("file", FILES, ids=[str(file.relative_to(CONF)) for file in FILES])
def test_config_file_starts_with_a_comment_on_its_meaning(file: Path) -> None:
    lines = [line for line in file.read_text().splitlines() if not line.startswith("# @package")]
    assert re.fullmatch(r"# \S.{15,}[.;:,]?", lines[0])


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_option_composes_into_a_valid_config(group: str, option: str) -> None:
    config = resolved(f"{group}={option}")
    check(config)
    for node, names in STABLE_KEYS.items():
        assert set(names) <= set(config[node]), node


@pytest.mark.parametrize("group", GROUPS_WITH_TARGET)
def test_every_option_of_the_group_has_a_target(group: str) -> None:
    for file in (CONF / group).glob("*.yaml"):
        assert "_target_" in resolved(f"{group}={file.stem}")[group]


def test_every_option_of_a_group_has_its_stable_keys() -> None:
    for group, names in STABLE_KEYS.items():
        options = [option for of, option in OPTIONS if of == group]
        present = [set(resolved(f"{group}={option}")[group]) for option in options]
        assert set(names) <= set.intersection(*present)
    assert resolved("tracking=none").keys() == resolved("tracking=wandb").keys()
    assert resolved("tracking=none")["tracking"].keys() == resolved("tracking=wandb")["tracking"].keys()


def test_defaults_are_the_reports_row_d() -> None:
    files = (CONF / "config.yaml", CONF / "task/image_classifier.yaml")
    entries = [entry for file in files for entry in yaml.safe_load(file.read_text())["defaults"]]
    choices = [item for entry in entries if isinstance(entry, dict) for item in entry.items()]
    defaults = {key.removeprefix("/"): value for key, value in choices}
    assert {key: defaults[key] for key in ("model", "regularization", "optim", "data", "experiment", "debug")} == {
        "model": "stem3x3",
        "regularization": "dropout",
        "optim": "adam",
        "data": "mnist",
        "experiment": None,
        "debug": None,
    }
    default, row_d = (flatten(resolved(*row)) for row in ((), ("experiment=report_d_block_norm",)))
    assert {key: value for key, value in default.items() if not key.startswith("claims")} == {
        key: value for key, value in row_d.items() if not key.startswith("claims")
    }
    assert (default["optim.lr"], default["regularization.dropout"], default["seed"]) == (0.001, 0.3, 1)


@pytest.mark.parametrize(
    ("row", "stem", "block_norm", "dropout", "lr", "epochs", "blocks"),
    [
        ("report_a_stem7x7", "7x7", "none", 0.0, 0.02, 10, [3, 4, 6, 3]),
        ("report_b_stem3x3", "3x3", "none", 0.0, 0.02, 10, [3, 4, 6, 3]),
        ("report_c_dropout", "3x3", "none", 0.3, 0.02, 10, [3, 4, 6, 3]),
        ("report_d_block_norm", "3x3", "after_repeats", 0.3, 0.001, 10, [3, 4, 6, 3]),
        ("report_e_30_epochs", "3x3", "after_repeats", 0.3, 0.001, 30, [3, 4, 6, 3]),
        ("report_printed", "3x3", "after_repeats", 0.3, 0.001, 10, [2, 2, 2, 2]),
    ],
)
def test_experiment_matches_the_reports_row(
    row: str, stem: str, block_norm: str, dropout: float, lr: float, epochs: int, blocks: list[int]
) -> None:
    experiment = yaml.safe_load((CONF / "experiment" / f"{row}.yaml").read_text())
    # `resolved` overrides these two keys with small values, which would hide the experiment's.
    config = check(resolved(f"experiment={row}", "model.blocks=[3,4,6,3]", "trainer.epochs=10"))
    assert config.model.model_dump()["stem"] == stem
    assert config.model.block_norm == block_norm
    assert config.model.model_dump()["dropout"] == config.regularization.dropout == dropout
    assert config.optim.lr == lr
    assert experiment.get("trainer", {}).get("epochs", 10) == epochs
    assert experiment.get("model", {}).get("blocks", [3, 4, 6, 3]) == blocks
    assert bool(config.claims) == (row != "report_printed")


@pytest.mark.parametrize(
    ("scale", "epochs", "trained"), [("full", 10, 10), ("quick", 10, 2), ("quick", 30, 6), ("tenth", 10, 10)]
)
def test_scale_multiplies_epochs(scale: str, epochs: int, trained: int) -> None:
    assert small(f"scale={scale}", f"trainer.epochs={epochs}").epochs == trained


def test_scale_keeps_at_least_one_epoch() -> None:
    assert small("scale.epochs=0.01", "trainer.epochs=3").epochs == 1


def test_message_names_the_key_that_others_refer_to() -> None:
    with pytest.raises(UsageError, match=r"^regularization\.dropout=1\.5: must be less than 1$"):
        check(resolved("regularization.dropout=1.5"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("data.mean", [0.1, 0.2, 0.3]),
        ("data.std", 0.5),
        ("data.train_size", None),
        ("trainer.device", "cuda:3"),
        ("trainer.checkpoint_interval", 0.0),
        ("trainer.threads", None),
        ("optim.lr", 1),
        ("sweep.seeds", [0, 7]),
        ("sweep.rerun", "failed"),
        ("sweep.rerun", ["seed=1", 3]),
        ("tracking.anything", {"of": "mine"}),
        ("optim.anything", [1, "2"]),
        ("mine", {"of": {"my": "own"}}),
    ],
)
def test_valid_values_pass(key: str, value: Any) -> None:
    config = resolved()
    *nodes, last = key.split(".")
    changed: dict[str, Any] = (
        {**config, nodes[0]: {**config[nodes[0]], last: value}} if nodes else {**config, key: value}
    )
    check(changed)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": 3}, "model=3: must be a node with keys and values"),
        ({"trainer": {}}, "trainer.epochs: must be given"),
        (
            {"claims": [{"metric": "loss", "value": 1.0, "words": ""}]},
            "claims.0.metric=loss: must be train_accuracy,",
        ),
        ({"claims": [{"metric": "test_loss", "words": ""}]}, "claims.0.value: must be given"),
        ({"claims": [{"metric": "test_loss", "value": 1.0, "word": ""}]}, "claims.0.word: no such key; did you mean"),
        ({"scale": {"epochs": 1.0, "epoch": 1}}, "scale.epoch: no such key; did you mean scale.epochs?"),
        ({"seed": True}, "seed=true: must be a whole number"),
        ({"seed": "1"}, "seed='1': must be a whole number"),
        ({"seed": None}, "seed=null: must be a whole number"),
    ],
)
def test_message_is_one_line_on_the_first_problem(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        check(resolved() | changes)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_users_network_is_not_checked_as_the_reports() -> None:
    config = resolved()
    other = config | {"model": {"_target_": "mine.network", "depth": 3, "width": 0}}
    with pytest.raises(UsageError, match=r"^model\.width=0: must be 1 or more$"):
        check(other)
