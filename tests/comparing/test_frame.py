"""Frames of jobs and epochs, and the factors that vary in them."""

import json
from pathlib import Path

import pytest

import mnist_resnet
from mnist_resnet.comparing.factors import other_factors, shared_values, varying_factors
from mnist_resnet.comparing.frame import jobs_frame, load_sweep
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.verdicts import claims_of
from mnist_resnet.config.levels import level_text
from mnist_resnet.job_folder import METRICS
from tests.made_up_jobs import write_job
from tests.synthetic_sweep import SyntheticSweep


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    return SyntheticSweep(predictions=False).write(tmp_path / "sweep")


def test_one_row_per_job_with_config_choices_and_metrics(sweep: Path) -> None:
    frame = mnist_resnet.load_sweep(sweep)
    assert len(frame) == 12
    row = frame.iloc[0]
    assert (row["sweep"], row["status"], row["model"], row["optim.lr"], row["seed"]) == (
        "lr_vs_stem", "completed", "stem3x3", 0.001, 1,
    )  # fmt: skip
    last = json.loads((sweep / row["name"] / METRICS).read_text().splitlines()[-1])
    assert row["test_accuracy"] == last["test_accuracy"]
    assert row["best_test_accuracy"] >= row["test_accuracy"]
    assert frame.attrs["remarks"] == []


def test_one_row_per_epoch(sweep: Path) -> None:
    frame = load_sweep(sweep, epochs=True)
    assert len(frame) == 36
    assert frame["epoch"].tolist()[:4] == [0, 1, 2, 0]
    assert frame["optim.lr"].nunique() == 2


def test_several_sweeps_share_a_frame_and_each_is_read_once(tmp_path: Path) -> None:
    first = SyntheticSweep(predictions=False).write(tmp_path / "a")
    second = SyntheticSweep(name="other", predictions=False).write(tmp_path / "b")
    frame = load_sweep([first, second, first])
    assert len(frame) == 24
    assert varying_factors(frame)[0] == "sweep"


def test_swept_factors_vary_and_implied_keys_do_not(sweep: Path) -> None:
    frame = load_sweep(sweep)
    assert varying_factors(frame) == ["optim.lr", "model"]
    assert shared_values(frame)["optim"] == "adam"
    assert "model" not in shared_values(frame)


STEMS = {"stem3x3": {"model.stem": "3x3"}, "stem7x7": {"model.stem": "7x7"}}
REGULARIZATIONS: dict[str, dict[str, object]] = {
    "none": {"model.dropout": 0.0, "regularization.dropout": 0.0},
    "dropout": {"model.dropout": 0.3, "regularization.dropout": 0.3},
}


def rows(tmp_path: Path) -> Path:
    for name, stem, regularization, lr in [
        ("a", "stem7x7", "none", 0.02),
        ("b", "stem3x3", "none", 0.02),
        ("c", "stem3x3", "dropout", 0.02),
        ("d", "stem3x3", "dropout", 0.001),
    ]:
        write_job(
            tmp_path / "study" / name,
            choices={"experiment": name, "model": stem, "regularization": regularization},
            config={"optim.lr": lr, **STEMS[stem], **REGULARIZATIONS[regularization]},
        )
    return tmp_path / "study"


def test_experiment_and_the_factors_it_sets_vary(tmp_path: Path) -> None:
    assert set(varying_factors(load_sweep(rows(tmp_path)))) == {"experiment", "model", "regularization", "optim.lr"}


def test_experiment_does_not_count_as_another_factor(tmp_path: Path) -> None:
    frame = load_sweep(rows(tmp_path))
    assert set(other_factors(frame, "model")) == {"regularization", "optim.lr"}
    assert other_factors(frame, "experiment") == []


def test_integers_stay_integers_beside_missing_values(tmp_path: Path) -> None:
    write_job(tmp_path / "runs" / "a", config={"data.train_size": 1000})
    write_job(tmp_path / "runs" / "b")
    assert load_sweep(tmp_path / "runs")["data.train_size"].tolist() == [1000, None]


def test_no_jobs_give_an_empty_frame() -> None:
    assert jobs_frame([]).empty
    assert varying_factors(jobs_frame([])) == []


def test_equal_levels_have_the_same_text() -> None:
    assert level_text(1) == level_text(1.0) == "1"
    assert level_text(True) == "True"
    assert level_text(None) == "null"
    assert level_text(0.001) == "0.001"


def test_malformed_claims_are_ignored(tmp_path: Path) -> None:
    folder = write_job(tmp_path / "job", config={"claims": {"value": 1}})
    assert claims_of(load_jobs([folder])[0][0]) == []


def test_data_that_changed_under_the_same_config_are_a_factor(tmp_path: Path) -> None:
    for seed, (lr, data) in enumerate([(0.01, "a"), (0.01, "a"), (0.02, "b")]):
        write_job(tmp_path / str(seed), seed=seed, config={"optim.lr": lr}, data_sha256=data * 64)
    assert varying_factors(load_sweep(tmp_path)) == ["optim.lr"]
    write_job(tmp_path / "edited", seed=3, config={"optim.lr": 0.01}, data_sha256="c" * 64)
    frame = load_sweep(tmp_path)
    assert varying_factors(frame) == ["optim.lr", "data_sha256"]
    assert set(frame["data_sha256"]) == {"a" * 12, "b" * 12, "c" * 12}


def test_a_config_group_that_older_jobs_lack_is_no_factor(tmp_path: Path) -> None:
    write_job(tmp_path / "old", seed=1)
    new: dict[str, object] = {"training.step": None, "training.metrics": {}}
    write_job(tmp_path / "new", seed=2, config=new, choices={"training": "plain"})
    write_job(tmp_path / "mixed", seed=2, config={"training.step": "x"}, choices={"training": "mixup"})
    assert varying_factors(jobs_frame(load_jobs([tmp_path / "old", tmp_path / "new"])[0])) == []
    assert varying_factors(jobs_frame(load_jobs([tmp_path])[0])) == ["training"]


def test_a_key_that_older_jobs_lack_is_no_factor(tmp_path: Path) -> None:
    write_job(tmp_path / "old", seed=1)
    write_job(tmp_path / "new", seed=2, config={"data.shuffle": True})
    write_job(tmp_path / "mixed", seed=2, config={"data.shuffle": False})
    assert varying_factors(jobs_frame(load_jobs([tmp_path / "old", tmp_path / "new"])[0])) == []
    frame = jobs_frame(load_jobs([tmp_path])[0])
    assert varying_factors(frame) == ["data.shuffle"]
    assert set(frame["data.shuffle"]) == {True, False}
