"""Tests of a search's folder: it can be resumed, and is not mixed with a sweep's. Real program, tiny networks."""

import json
import shutil
from pathlib import Path

import optuna
import pytest

from mnist_resnet.job_folder import UnreadableFolder
from mnist_resnet.resume import main, resume
from mnist_resnet.search.spec import read_spec
from mnist_resnet.search.study import load_study, open_storage
from tests.small_sweeps import CommandResult, Place, Run, run_in_process, statuses

SEARCH = ("hydra/sweeper=search", "data.val_size=16", "hydra/sweeper/pruner=none", "optim.lr=interval(1e-4,1e-2)")


@pytest.fixture
def sweep(place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a small sweep in this process: `sweep(name, override, …)`."""

    def run(name: str | None, *overrides: str) -> CommandResult:
        return run_in_process(place.sweep(name, *overrides), place, monkeypatch, capfd)

    return run


def test_search_is_resumed_from_its_folder_alone(sweep: Run, place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    assert sweep("s", *SEARCH, "sweep.trials=1").code == 0
    folder = place.folder / "multirun" / "s"
    spec = folder / "search.json"
    spec.write_text(spec.read_text().replace('"trials": 1,', '"trials": 3,'))
    assert resume(folder, []) == 0
    assert "3 trials, 1 started already" in capfd.readouterr().out
    trials = load_study(open_storage(folder)).get_trials()
    assert [trial.state for trial in trials] == [optuna.trial.TrialState.COMPLETE] * 3
    assert list(statuses(folder).values()) == ["completed"] * 3


def test_search_goes_on_with_the_range_that_is_frozen(
    sweep: Run, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    space = (*SEARCH[:3], "optim.lr=range(0.1,0.4,0.1)", "hydra/sweeper/sampler=grid")
    with monkeypatch.context() as as_hydra_1_3:
        as_hydra_1_3.setattr(
            "mnist_resnet.config.sweep_grammar.range_values", lambda _: [0.1, 0.2, 0.30000000000000004, 0.4]
        )
        assert sweep("s", *space, "sweep.trials=1").code == 0
    again = sweep("s", *space, "sweep.trials=20")
    assert again.code == 0, again.err
    assert "optim.lr=range(0.1,0.4,0.1): goes on with 0.1, 0.2, 0.3, 0.4, as frozen" in again.out
    folder = place.folder / "multirun" / "s"
    assert sorted(statuses(folder)) == [f"optim.lr={lr}" for lr in (0.1, 0.2, 0.3, 0.4)]


def test_folder_of_a_search_is_refused_for_a_sweep(sweep: Run) -> None:
    assert sweep("s", *SEARCH, "sweep.trials=1").code == 0
    done = sweep("s", "seed=1,2")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "multirun/s: holds a search; add hydra/sweeper=search, or take another sweep.name" in done.err


def test_search_goes_on_with_other_numerics_but_with_no_other_seed(sweep: Run) -> None:
    assert sweep("s", *SEARCH, "sweep.trials=1").code == 0
    done = sweep("s", *SEARCH, "sweep.trials=2", "trainer.compile=false", "seed=5")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "seed=5: the study in multirun/s has 1; " in done.err
    done = sweep("s", *SEARCH, "sweep.trials=2", "trainer.compile=false")
    assert (done.code, done.err) == (0, "")


@pytest.mark.parametrize("setting", ["sweep.trials=30", "sweep.objective=val_loss", "sweep.objective_epoch=best"])
def test_settings_of_a_search_are_refused_without_a_search(
    sweep: Run, place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], setting: str
) -> None:
    single = run_in_process([*place.common, setting], place, monkeypatch, capfd)
    for done in (sweep("s", "seed=1,2", setting), single):
        assert (done.code, done.err.count("\n")) == (2, 1)
        assert f"{setting}: is for a search; add -m hydra/sweeper=search, or leave it out" in done.err
    assert not (place.folder / "multirun").exists()


@pytest.mark.parametrize("part", ["space", "commons"])
def test_a_folder_whose_space_and_configs_do_not_fit_is_refused(tmp_path: Path, part: str) -> None:
    folder = _half_done(tmp_path / "s")
    content = json.loads((folder / "search.json").read_text())
    del content[part][1]
    (folder / "search.json").write_text(json.dumps(content))
    with pytest.raises(UnreadableFolder, match=r"search\.json: can't be read \(no config for"):
        read_spec(folder)


def _half_done(folder: Path) -> Path:
    return Path(shutil.copytree(Path(__file__).parents[1] / "frozen_sweeps" / "half_done_search", folder))


def test_a_job_that_only_the_study_knows_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    folder = _half_done(tmp_path / "s")
    content = json.loads((folder / "sweep.json").read_text())
    name = content["jobs"].pop(0)["name"]
    (folder / "sweep.json").write_text(json.dumps(content))
    assert main([str(folder)]) == 1
    assert f"no table: {folder}/sweep.json: lacks the job {name}, which another file" in capfd.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('"values":[0.1]', '"values":{"a":1}', "a value of trial . is no number"),
        ('"intermediate_value":0.105', '"intermediate_value":"a"', "can't be read"),
        ('{"job":"optim.lr=0.00287,schedule=linear"}', '{"job":3}', "job of trial . is of type int"),
    ],
)
def test_a_journal_that_holds_something_else_is_refused(tmp_path: Path, old: str, new: str, message: str) -> None:
    journal = _half_done(tmp_path / "s") / "study.journal"
    assert old in journal.read_text()
    journal.write_text(journal.read_text().replace(old, new))
    with pytest.raises(UnreadableFolder, match=rf"study\.journal: .*{message}"):
        open_storage(journal.parent)
