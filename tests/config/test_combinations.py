"""Combinations of a sweep's overrides, and their exclusion."""

import re
from dataclasses import replace
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra

from mnist_resnet.config.combinations import Combination, combinations, without_excluded
from mnist_resnet.config.compose import make_job_spec
from mnist_resnet.config.hydra_versions import VERSION_BASE
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.sweep_grammar import refuse_repeated_keys, repeated_levels
from mnist_resnet.errors import UsageError
from tests.small_training import REPOSITORY, resolved


def combined(*arguments: str, **params: str) -> tuple[list[Combination], list[str]]:
    with initialize_config_dir(str(REPOSITORY / "conf"), **VERSION_BASE):
        dotted = {key.replace("__", "."): value for key, value in params.items()}
        return combinations(arguments, dotted, GlobalHydra.instance().config_loader())


def test_combinations_are_complete_and_ordered() -> None:
    jobs, swept = combined("optim.lr=0.02,0.001", "seed=3", "model=stem3x3,stem7x7")
    assert jobs == [
        ["optim.lr=0.02", "seed=3", "model=stem3x3"],
        ["optim.lr=0.02", "seed=3", "model=stem7x7"],
        ["optim.lr=0.001", "seed=3", "model=stem3x3"],
        ["optim.lr=0.001", "seed=3", "model=stem7x7"],
    ]
    assert swept == ["optim.lr", "model"]


def test_one_source_varies_each_alone_and_all_together() -> None:
    arguments = ["seeds.init=1,2,3", "optim.lr=0.1,0.2", "seeds.order=1,2", "seeds.split=5"]
    with initialize_config_dir(str(REPOSITORY / "conf"), **VERSION_BASE):
        jobs, swept = combinations(arguments, {}, GlobalHydra.instance().config_loader(), "one_source")
    assert swept == ["seeds.init", "optim.lr", "seeds.order"]
    pairs = [("1", "1"), ("2", "1"), ("3", "1"), ("1", "2"), ("2", "2")]
    assert jobs == [
        [f"seeds.init={init}", f"optim.lr={lr}", f"seeds.order={order}", "seeds.split=5"]
        for lr in ("0.1", "0.2")
        for init, order in pairs
    ]


def test_one_source_of_many_seeds_is_not_built_from_all_combinations() -> None:
    arguments = [f"seeds.{source}=range(1,31)" for source in ("init", "order", "dropout", "augmentation", "split")]
    with initialize_config_dir(str(REPOSITORY / "conf"), **VERSION_BASE):
        jobs, _ = combinations(arguments, {}, GlobalHydra.instance().config_loader(), "one_source")
        with pytest.raises(UsageError, match=r"sweep.design=one_source: no source of randomness is swept"):
            combinations(["seed=1,2", "seeds.init=3"], {}, GlobalHydra.instance().config_loader(), "one_source")
    assert len(jobs) == len({*map(tuple, jobs)}) == 1 + 5 * 29 + 29


@pytest.mark.parametrize(
    ("argument", "levels"),
    [
        ("seed=range(1,4)", ["seed=1", "seed=2", "seed=3"]),
        ("optim.lr=range(0.1,0.4,0.1)", ["optim.lr=0.1", "optim.lr=0.2", "optim.lr=0.3"]),
        ("optim.lr=range(0.3,0.1,-0.1)", ["optim.lr=0.3", "optim.lr=0.2"]),
        ("optim.lr=range(1,2,0.5)", ["optim.lr=1.0", "optim.lr=1.5"]),
        ("data.train_size=sort(range(32,100,32),reverse=true)", [f"data.train_size={size}" for size in (96, 64, 32)]),
        ("data.train_size=sort(range(96,0,-32))", [f"data.train_size={size}" for size in (32, 64, 96)]),
        ("data.train_size=sort(range(32,100,32))", [f"data.train_size={size}" for size in (32, 64, 96)]),
        ("optim.lr=sort(range(0.1,0.4,0.1),reverse=true)", ["optim.lr=0.3", "optim.lr=0.2", "optim.lr=0.1"]),
        ("seed=sort(shuffle(3,1,2))", ["seed=1", "seed=2", "seed=3"]),
        ("seed=sort(3,1,2)", ["seed=1", "seed=2", "seed=3"]),
        ("optim.lr=1e-3,0.001,1.0E-3", ["optim.lr=0.001"]),
        ("seed=1,1,2,1", ["seed=1", "seed=2"]),
        ("optim=adam,'adam'", ["optim=adam"]),
        ("experiment=report_d_sgd,null", ["experiment=report_d_sgd", "~experiment"]),
        ("model=glob(stem*)", ["model=stem3x3", "model=stem7x7"]),
        ("seed=choice(5,7)", ["seed=5", "seed=7"]),
        ("model.blocks=[1,1],[2,2]", ["model.blocks=[1,1]", "model.blocks=[2,2]"]),
        ("optim.lr=1e-3,null", ["optim.lr=0.001", "optim.lr=null"]),
        ("+new=a,b", ["+new=a", "+new=b"]),
        ("++seed=1,2", ["++seed=1", "++seed=2"]),
        ("~optim.eps", ["~optim.eps"]),
        ("data.root='a,b'", ["data.root='a,b'"]),
    ],
)
def test_levels_of_each_kind_of_override(argument: str, levels: list[str]) -> None:
    assert combined(argument)[0] == [[level] for level in levels]


def test_repeated_levels_are_reported() -> None:
    with initialize_config_dir(str(REPOSITORY / "conf"), **VERSION_BASE):
        typed = ["optim.lr=1e-3,0.001,0.1,1.0E-3", "seed=1", "data.val_size=interval(1,2)"]
        lines = [*repeated_levels(typed, {"model.width": [2, 2]}, GlobalHydra.instance().config_loader())]
    assert lines == [
        "model.width=2,2: lists 2 2 times; it runs once",
        "optim.lr=1e-3,0.001,0.1,1.0E-3: lists 0.001 3 times; it runs once",
    ]


@pytest.mark.parametrize(
    ("params", "levels"),
    [
        ({"seed": [1, 2]}, [["seed=1"], ["seed=2"]]),
        ({"seed": 3}, [["seed=3"]]),
        ({"optim": {"lr": [0.1, 0.2], "eps": None}}, [[f"optim.lr={lr}", "optim.eps=null"] for lr in (0.1, 0.2)]),
        ({"model": {"blocks": [[1, 1], [2]]}}, [["model.blocks=[1,1]"], ["model.blocks=[2]"]]),
        ({"optim.amsgrad": [True, False]}, [["optim.amsgrad=True"], ["optim.amsgrad=False"]]),
        ({"data.root": ["/a,b"]}, [["data.root='/a,b'"]]),
    ],
)
def test_sweeper_params_may_be_lists_and_nested(params: dict[str, Any], levels: list[list[str]]) -> None:
    with initialize_config_dir(str(REPOSITORY / "conf"), **VERSION_BASE):
        assert combinations([], params, GlobalHydra.instance().config_loader())[0] == levels


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("optim=glob(zzz*)", "optim=glob(zzz*): selects no choice; one of adam, adamw, sgd"),
        ("seed=range(1,3),7", "seed=range(1,3),7: a list can't hold a range or glob; write its values out"),
        ("optim.lr=range(0.1,0.3,0)", "range(0.1,0.3,0): needs a step other than 0"),
        ("seed=range(1,3,0)", "range(1,3,0): needs a step other than 0"),
    ],
)
def test_sweep_without_levels_is_rejected(argument: str, message: str) -> None:
    with pytest.raises(UsageError, match=re.escape(message)):
        combined(argument)


def test_sweeper_params_are_swept_and_typed_overrides_replace_them() -> None:
    jobs, swept = combined("seed=9", "optim.lr=0.1", seed="1,2", model="stem3x3,stem7x7", optim__lr="1,2")
    assert [set(job) for job in jobs] == [
        {"seed=9", "model=stem3x3", "optim.lr=0.1"},
        {"seed=9", "model=stem7x7", "optim.lr=0.1"},
    ]
    assert swept == ["model"]


def test_no_overrides_give_one_job() -> None:
    assert combined() == ([[]], [])


@pytest.mark.parametrize("keys", [["seed", "seed"], ["optim.lr", "+optim.lr"], ["a", "b", "++a"]])
def test_repeated_key_is_rejected(keys: list[str]) -> None:
    with pytest.raises(UsageError, match="given 2 times"):
        refuse_repeated_keys(keys)


def job(lr: float, model: str) -> JobSpec:
    spec = make_job_spec(resolved(f"optim.lr={lr}", f"model={model}"), {"model": model}, [], ["optim.lr", "model"])
    return replace(spec, name=f"{lr} {model}")


JOBS = [job(lr, model) for lr in (0.02, 0.001) for model in ("stem3x3", "stem7x7")]


@pytest.mark.parametrize(
    ("excluded", "remaining"),
    [
        ([], 4),
        (["model=stem7x7,optim.lr=0.02"], 3),
        (["model=stem7x7, optim.lr = 2e-2"], 3),
        (["model=stem7x7"], 2),
        (["model.stem=7x7"], 2),
        (["optim.lr=1e-3", "model=stem7x7"], 1),
        (["optim.lr=0.5"], 4),
        (["seed=1"], 0),
        (["data.train_size=100,optim.lr=0.001"], 2),
        (["trainer.checkpoint_every=null"], 0),
        (["data.train_size=1_000"], 4),
        (["model=no"], 4),
    ],
)
def test_excluded_combinations_are_left_out(excluded: list[str], remaining: int) -> None:
    assert len(without_excluded(JOBS, excluded)) == remaining


@pytest.mark.parametrize(
    ("excluded", "message"),
    [
        ("model", "sweep.exclude=model: not key=value,key=value"),
        ("=3", "sweep.exclude==3: not key=value,key=value"),
        ("", "sweep.exclude=: not key=value,key=value"),
        ("optim.rl=3", "sweep.exclude: optim.rl: no such key; did you mean optim.lr?"),
    ],
)
def test_invalid_exclusion_is_rejected(excluded: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        without_excluded(JOBS, [excluded])
    assert str(caught.value).startswith(message)


def test_job_spec_lists_swept_values_and_choices() -> None:
    assert JOBS[1].swept == {"optim.lr": 0.02, "model": "stem7x7"}
