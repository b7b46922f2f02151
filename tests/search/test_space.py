"""Tests of the space of a search, and of what samplers make of it."""

import sys
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import CmaEsSampler, GPSampler, TPESampler

from mnist_resnet.config.allowed_targets import allow
from mnist_resnet.errors import UsageError
from mnist_resnet.search.rehearsal import describe, drawn_alone, made_up_study, rehearse
from mnist_resnet.search.space import read_parameter
from mnist_resnet.search.study import (
    quiet_optuna,
)
from mnist_resnet.sweeps.folder import read_sweep
from tests.search.small_search import LR, space_of
from tests.small_sweeps import Place, Run


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("interval(0.1,0.5)", FloatDistribution(0.1, 0.5)),
        ("tag(log,interval(1e-4,1e-1))", FloatDistribution(1e-4, 1e-1, log=True)),
        ("int(interval(1,8))", IntDistribution(1, 8)),
        ("tag(log,int(interval(1,8)))", IntDistribution(1, 8, log=True)),
        ("range(1,8)", IntDistribution(1, 7)),
        ("range(8,1,-2)", IntDistribution(2, 8, step=2)),
        ("tag(log,range(1,8))", IntDistribution(1, 7, log=True)),
        ("range(0,1,step=0.25)", FloatDistribution(0.0, 0.75, step=0.25)),
        ("choice(1,true,a)", CategoricalDistribution(["1", "True", "a"])),
        ("1,null", CategoricalDistribution(["1", "null"])),
        ("1,2", CategoricalDistribution(["1", "2"])),
    ],
)
def test_hydra_overrides_become_distributions(typed: str, expected: Any) -> None:
    (parameter,) = space_of(f"optim.lr={typed}")
    assert parameter.distribution == expected
    assert read_parameter(parameter.as_dict()) == parameter


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("optim.lr=interval(2,1)", "from a smaller to a larger"),
        ("optim.lr=tag(log,interval(0,1))", "start above 0"),
        ("optim.lr=tag(lgo,interval(1,2))", "log"),
        ("optim.lr=tag(log,choice(1,2))", "interval"),
        ("optim.lr=tag(log,range(1,9,2))", "without a step"),
        ("seed=1,2", "luckiest"),
        ("sweep.trials=1,2", "whole sweep"),
        ("data.root=a,b", "no metric depends"),
        ("optim.lr=0.1", "nothing is searched"),
    ],
)
def test_invalid_space_is_a_one_line_error(override: str, words: str) -> None:
    with pytest.raises(UsageError, match=words) as refused:
        space_of(override)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("sampler", ["grid", "tpe"])
def test_null_can_be_a_choice(sampler: str, search: Run, place: Place) -> None:
    ended = search("nullable", "data.train_size=choice(null,32)", f"hydra/sweeper/sampler={sampler}", "sweep.trials=8")
    assert ended.code == 0, ended.out + ended.err
    sizes = [job.config["data"]["train_size"] for job in read_sweep(place.folder / "multirun" / "nullable").jobs]
    assert sorted(sizes, key=str) == [32, None]


def test_missing_package_of_a_sampler_is_named_before_the_first_trial(
    search: Run, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cmaes", None)
    own = ("hydra.sweeper.sampler._target_=optuna.samplers.CmaEsSampler", "~hydra.sweeper.sampler.n_startup_trials")
    ended = search("cma", "optim.lr=interval(0.001,0.1)", "model.width=int(interval(2,4))", *own)
    assert ended.code == 2
    assert ended.err == (
        "error: hydra.sweeper.sampler._target_=optuna.samplers.CmaEsSampler: needs cmaes, which is not installed: "
        "pip install cmaes\n"
    )
    assert not (place.folder / "multirun").exists()


def test_keys_that_a_sampler_can_not_model_are_named() -> None:
    quiet_optuna()
    space = space_of(LR, "model=stem3x3,stem7x7", "model.width=int(interval(4,64))", "data.batch_size=32,64")
    study = made_up_study(space, 3)
    for sampler, alone in [(CmaEsSampler(), ["model", "data.batch_size"]), (TPESampler(), []), (GPSampler(), [])]:
        study.sampler = sampler
        assert drawn_alone(study, space) == alone
    line = "CmaEsSampler can't model model, data.batch_size: drawn without regard to other trials"
    assert describe({"_target_": "optuna.samplers.CmaEsSampler"}, ["model", "data.batch_size"]) == line


@pytest.mark.parametrize("sampler", ["TPESampler", "RandomSampler", "GPSampler", "QMCSampler", "GridSampler"])
def test_a_rehearsal_finds_nothing_wrong_with_samplers_that_are_complete(sampler: str) -> None:
    space, node = space_of("optim.lr=0.1,0.2", "model=stem3x3,stem7x7"), {"_target_": f"optuna.samplers.{sampler}"}
    allow([node])
    assert rehearse(node, space) in ([], ["optim.lr", "model"])
