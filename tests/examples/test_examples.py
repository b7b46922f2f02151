"""The studies in `examples/`, at toy size: each is swept, and goes on after a stop with the same numbers."""

import re
import shlex
from pathlib import Path

import pytest

from mnist_resnet.comparing.frame import load_sweep
from mnist_resnet.job_folder import LOG, RESULT, TABLE, read_json, read_metrics
from mnist_resnet.jobs import function_task
from mnist_resnet.jobs.signals import Interrupt
from tests.small_sweeps import CHECKOUT, Place, run_in_process, statuses

STUDIES = {
    "trees": ("task=cross_validation", "task.folds=2", "model=boosting,forest"),
    "cartpole": ("task=reinforce", "task.episodes=20", "task.baseline=true,false"),
    "diabetes": ("task=regression", "task.epochs=40", "model=linear,network"),
    "language_model": ("task=characters", "task.epochs=2", "task.steps=3", "task.batch=2", "task.width=4,8"),
}
STOPPED = {
    "trees": ("task=cross_validation", "task.folds=3"),
    "cartpole": ("task=reinforce", "task.episodes=20"),
    "diabetes": ("task=regression", "task.epochs=40"),
    "language_model": ("task=characters", "task.epochs=2", "task.steps=3", "task.batch=2", "task.width=4"),
}
METRICS = {"trees": "accuracy", "cartpole": "mean_return", "diabetes": "rmse", "language_model": "bits_per_character"}


@pytest.mark.parametrize("study", STUDIES)
def test_study_is_swept_and_goes_on_after_a_stop_with_the_same_numbers(
    study: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if study == "cartpole":
        pytest.importorskip("gymnasium")
    monkeypatch.syspath_prepend(str(CHECKOUT / "examples" / study))
    place, conf = Place(tmp_path, tmp_path), ["--config-dir", str(CHECKOUT / "examples" / study / "conf")]
    ended = run_in_process([*conf, "-m", "tracking=none", "sweep.name=s", *STUDIES[study]], place, monkeypatch, capfd)
    assert ended.code == 0, ended.out + ended.err
    assert list(statuses(tmp_path / "multirun/s").values()) == ["completed", "completed"]
    frame = load_sweep(tmp_path / "multirun/s")
    assert frame[METRICS[study]].nunique() == 2
    assert frame.attrs["metrics"][METRICS[study]].title in (tmp_path / "multirun/s" / TABLE).read_text()

    single = [*conf, "tracking=none", *STOPPED[study]]
    assert run_in_process([*single, "hydra.run.dir=whole"], place, monkeypatch, capfd).code == 0
    _stop_at_save(2, monkeypatch)
    ended = run_in_process([*single, "hydra.run.dir=stopped"], place, monkeypatch, capfd)
    assert ended.code == 143
    (printed,) = re.findall(r"to resume: python \S*train.py (.*)", ended.out)
    ended = run_in_process(shlex.split(printed), place, monkeypatch, capfd)
    assert ended.code == 0, ended.out + ended.err
    whole, stopped = (_without_seconds(tmp_path / name) for name in ("whole", "stopped"))
    assert stopped == whole


def _stop_at_save(number: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask the program to end at the save with this number, once."""
    save = function_task.Run.save
    asked: list[function_task.Run] = []

    def stopping(run: function_task.Run, state: object) -> None:
        if not asked and run._saves + 1 == number:
            asked.append(run)
            interrupt = run._run.stop._interrupt  # type: ignore[attr-defined]
            assert isinstance(interrupt, Interrupt)
            interrupt.request("the test")
        save(run, state)

    monkeypatch.setattr(function_task.Run, "save", stopping)


def _without_seconds(folder: Path) -> list[dict[str, float]]:
    return [{key: value for key, value in line.items() if key != "seconds"} for line in read_metrics(folder)]


@pytest.mark.slow
def test_data_of_every_kind_are_swept_side_by_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(str(CHECKOUT / "examples/kinds_of_data"))
    kinds = "regression,yes_or_no,many_classes,sequences,streamed"
    small = ["data.train_size=64", "data.test_size=32", "data.val_size=20", "trainer.epochs=2", "trainer.threads=1"]
    command = ["--config-dir", str(CHECKOUT / "examples/kinds_of_data/conf"), "-m", "tracking=none", "sweep.name=s"]
    place = Place(tmp_path, tmp_path)
    ended = run_in_process([*command, *small, f"experiment={kinds}"], place, monkeypatch, capfd)
    assert ended.code == 0, ended.out + ended.err
    assert set(statuses(tmp_path / "multirun/s").values()) == {"completed"}
    frame = load_sweep(tmp_path / "multirun/s").set_index("experiment")
    assert frame["test_loss"].notna().all()
    assert frame["test_accuracy"].isna().tolist() == [True, False, False, False, False]
    assert frame["data_sha256"].notna().all()
    (regression,) = (tmp_path / "multirun/s").glob("*regression*")
    best, lines = read_json(regression / RESULT)["best"], read_metrics(regression)
    assert (best["picked_on"], best["val_loss"]) == ("val", min(line["val_loss"] for line in lines))
    assert "Test set: Average loss" in (regression / LOG).read_text()
    assert "Accuracy" not in (regression / LOG).read_text()

    # a search minimises the loss of numbers that are held out
    searched = ["hydra/sweeper=search", "sweep.name=t", "sweep.trials=2", "experiment=regression"]
    search = [*command[:-1], *searched, *small, "optim.lr=tag(log, interval(1e-3, 1e-1))"]
    pytest.importorskip("optuna")
    ended = run_in_process(search, place, monkeypatch, capfd)
    assert ended.code == 0, ended.out + ended.err
    assert "val_loss of the last epoch" in ended.out
    ended = run_in_process([*search, "sweep.objective=val_accuracy"], place, monkeypatch, capfd)
    assert (ended.code, "sweep.objective=val_accuracy: must be val_loss" in ended.err) == (2, True), ended.err


def test_measured_studies_state_their_finding_and_the_processor() -> None:
    for study in ("trees", "cartpole", "diabetes", "language_model", "photo_digits"):
        text = (CHECKOUT / "examples" / study / "README.md").read_text()
        assert "**Found" in text
        assert re.search(r"Measured on .*AMD EPYC", text)
