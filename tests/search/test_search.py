"""Tests of the search: its proposals and trials. They run the real program on tiny networks."""

import importlib
import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.job_folder import JOURNAL, SEARCH, SWEEP, Status, read_json, read_metrics
from mnist_resnet.jobs.run import ProcessContext
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.models.resnet import ResNet
from mnist_resnet.search.components import build_sampler
from mnist_resnet.search.space import Parameter
from mnist_resnet.search.spec import read_spec
from mnist_resnet.search.study import (
    _lock,
    load_study,
    make_study,
    open_storage,
    propose,
    quiet_optuna,
)
from mnist_resnet.search.trial_loop import _run_trial
from mnist_resnet.search.trials import Assignment, Trials
from mnist_resnet.sweeps.folder import read_sweep
from mnist_resnet.sweeps.runner import NoPeers
from mnist_resnet.tracking.console import ProgressConsole
from tests.search.small_search import LR, OBJECTIVE, RANDOM, TPE, space_of
from tests.small_sweeps import Place, Run, attempts, result_of, run_in_process, statuses


def enqueue(folder: Path, *trials: dict[str, Any]) -> None:
    """Add trials to a study as a user does, with nothing but Optuna and the journal's path."""
    backend = optuna.storages.journal.JournalFileBackend(str(folder / JOURNAL))
    study = optuna.load_study(storage=optuna.storages.JournalStorage(backend), study_name="search")
    for params in trials:
        study.enqueue_trial(params)


SPACE = ("optim.lr=interval(0.001,0.1)", "model.width=2,3", "data.batch_size=choice(8,16)")


def test_enqueued_trials_run_first_and_a_bad_one_fails_alone(search: Run, place: Place) -> None:
    assert search("own", *SPACE, "sweep.trials=1").code == 0
    folder = place.folder / "multirun" / "own"
    enqueue(folder, {"optim.lr": 0.05, "model.width": 3, "data.batch_size": 8}, {"optim.lr": 5.0}, {"model.widht": 3})
    enqueue(folder, {"model.width": 2}, {"data.batch_size": "many"})
    ended = search("own", *SPACE, "sweep.trials=8")
    assert ended.code == 0, ended.out + ended.err
    assert "8 trials, 1 started already" in ended.out
    assert "trial 2: left out, optim.lr=5.0: is outside the space, interval(0.001,0.1)\n" in ended.out
    assert "trial 3: left out, model.widht: is not searched; did you mean model.width?" in ended.out
    assert "trial 5: left out, data.batch_size=many: is outside the space, choice(8,16)\n" in ended.out
    trials = load_study(open_storage(folder)).trials
    assert [trial.state.name for trial in trials] == [
        *["COMPLETE"] * 2,
        *["FAIL"] * 2,
        "COMPLETE",
        "FAIL",
        *["COMPLETE"] * 2,
    ]
    assert trials[1].params == {"optim.lr": 0.05, "model.width": "3", "data.batch_size": "8"}
    assert trials[4].params["model.width"] == "2"
    again = search("own", *SPACE, "sweep.trials=8")
    assert again.code == 0
    enqueue(folder, {"optim.lr": 0.07})
    assert search("own", *SPACE, "sweep.trials=8").code == 0
    assert load_study(open_storage(folder)).trials[8].params["optim.lr"] == 0.07


def best_value(space: list[Parameter], sampler: dict[str, Any], seed: int, trials: int) -> float:
    """Return the best value found of a function with its maximum at lr = 10 ** -2.3, the 3 x 3 stem and width 24."""
    study = optuna.create_study(direction="maximize")
    for number in range(trials):
        study.sampler = build_sampler(sampler | {"seed": seed}, space, number)
        trial_id, values = propose(study, space, None)
        value = -((math.log10(values["optim.lr"]) + 2.3) ** 2) - ((values["model.width"] - 24) / 16) ** 2
        study.tell(study.trials[trial_id].number, value - (0.5 if values["model"] == "stem7x7" else 0.0))
    return study.best_value


def test_tpe_beats_random_on_a_known_function_over_20_seeds() -> None:
    quiet_optuna()
    space = space_of(LR, "model=stem3x3,stem7x7", "model.width=int(interval(4,64))")
    gains = [best_value(space, TPE, seed, 30) - best_value(space, RANDOM, seed, 30) for seed in range(20)]
    assert sum(gain > 0 for gain in gains) >= 15, gains  # by chance in 2 % of all cases
    assert np.mean(gains) > 0


def test_proposals_do_not_depend_on_the_worker(tmp_path: Path) -> None:
    quiet_optuna()
    space, proposals = space_of(LR, "model=stem3x3,stem7x7"), []
    for workers in (1, 3):
        folder = tmp_path / str(workers)
        folder.mkdir()
        make_study(open_storage(folder), OBJECTIVE)
        storages = [open_storage(folder) for _ in range(workers)]
        for number in range(14):
            study = load_study(storages[number % workers], build_sampler(TPE | {"seed": 1}, space, number))
            propose(study, space, None)
            study.tell(number, math.sin(number))
        proposals.append([trial.params for trial in load_study(open_storage(folder)).trials])
    assert proposals[0] == proposals[1]
    assert len({str(params) for params in proposals[0]}) == 14


def test_trial_of_a_process_that_died_while_proposing_is_completed(tmp_path: Path) -> None:
    space = space_of(LR, "model=stem3x3,stem7x7")
    storage = open_storage(tmp_path)
    make_study(storage, OBJECTIVE)
    load_study(storage).ask().suggest_float("optim.lr", 1e-4, 1e-1, log=True)
    study = load_study(storage, build_sampler(RANDOM | {"seed": 1}, space, 0))
    (incomplete,) = study.trials
    trial_id, values = propose(study, space, incomplete)
    assert trial_id == incomplete._trial_id
    assert values["optim.lr"] == pytest.approx(incomplete.params["optim.lr"], rel=1e-3)
    assert [trial.params for trial in study.trials] == [values]


def test_incomplete_last_line_of_the_journal_is_removed(tmp_path: Path) -> None:
    make_study(open_storage(tmp_path), OBJECTIVE)
    load_study(open_storage(tmp_path)).ask()
    with (tmp_path / JOURNAL).open("ab") as file:
        file.write(b'{"op_code":4,"worker')
    load_study(open_storage(tmp_path)).ask()
    assert len(load_study(open_storage(tmp_path)).trials) == 2


def test_more_trials_are_added_and_fewer_change_nothing(search: Run, place: Place) -> None:
    folder = place.folder / "multirun" / "s"
    assert search("s", LR, "sweep.trials=2").code == 0
    before = [job.name for job in read_sweep(folder).jobs]
    assert search("s", LR, "sweep.trials=4").code == 0
    jobs = [job.name for job in read_sweep(folder).jobs]
    assert jobs[:2] == before
    assert attempts(folder) == dict.fromkeys(sorted(jobs), 1)
    assert len(jobs) == 4
    assert search("s", LR, "sweep.trials=1").code == 0
    assert [job.name for job in read_sweep(folder).jobs] == jobs


def test_grid_runs_each_point_once(search: Run, place: Place) -> None:
    grid = ("hydra/sweeper/sampler=grid", "optim.lr=0.01,0.001", "data.batch_size=range(8,17,8)", "sweep.trials=9")
    done = search("grid", *grid, "trainer.epochs=1")
    assert done.code == 0, done.err
    jobs = read_sweep(place.folder / "multirun" / "grid").jobs
    swept = {(job.swept["optim.lr"], job.swept["data.batch_size"]) for job in jobs}
    assert swept == {(lr, size) for lr in (0.01, 0.001) for size in (8, 16)}
    assert "4 trials: 4 completed" in done.out


def test_grid_after_other_trials_runs_each_point_or_says_how_many_are_left_out(search: Run, place: Place) -> None:
    space = ("optim.lr=0.01,0.001", "data.batch_size=range(8,17,8)", "trainer.epochs=1")
    assert search("s", *space, "hydra/sweeper/sampler=random", "sweep.trials=2").code == 0
    grid = (*space, "hydra/sweeper/sampler=grid")
    left_out = "2 of the grid's 4 points are left out (sweep.trials=4); sweep.trials=6 runs all"
    assert left_out in search("s", *grid, "sweep.trials=4", "sweep.dry_run=true").out
    assert left_out in search("s", *grid, "sweep.trials=4").out
    done = search("s", *grid, "sweep.trials=9")
    assert done.code == 0, done.err
    assert "left out" not in done.out
    assert "6 trials: 6 completed" in done.out
    jobs = read_sweep(place.folder / "multirun" / "s").jobs
    swept = {(job.swept["optim.lr"], job.swept["data.batch_size"]) for job in jobs}
    assert swept == {(lr, size) for lr in (0.01, 0.001) for size in (8, 16)}


def test_grid_whose_last_point_is_invalid_ends_like_any_other(search: Run) -> None:
    sizes = {"data.batch_size": ["11", "16"], "data.train_size": ["32", "33"]}
    seeds = range(1, 100)
    seed = next(seed for seed in seeds if optuna.samplers.GridSampler(sizes, seed=seed)._all_grids[-1] == ("16", "33"))
    grid = ("hydra/sweeper/sampler=grid", "data.train_size=32,33", "data.batch_size=11,16", "trainer.epochs=1")
    done = search("s", *grid, f"hydra.sweeper.sampler.seed={seed}")
    assert done.code == 0, done.out + done.err
    assert "trial 3: left out, its config is not valid: data.train_size=33" in done.out
    assert "4 trials: 3 completed, 1 left out" in done.out


def test_equal_trials_share_one_job(search: Run, place: Place) -> None:
    done = search("s", "optim.lr=0.01,0.001", "sweep.trials=5", "trainer.epochs=1")
    assert done.code == 0, done.err
    assert "5 trials: 5 completed" in done.out
    assert attempts(place.folder / "multirun" / "s") == {"optim.lr=0.01": 1, "optim.lr=0.001": 1}


def test_pruned_job_has_status_pruned_and_keeps_its_metrics(search: Run, place: Place) -> None:
    # No accuracy is above 2, so that every trial is pruned after its first epoch.
    pruner = ("hydra.sweeper.pruner._target_=optuna.pruners.ThresholdPruner", "+hydra.sweeper.pruner.lower=2")
    done = search("s", LR, "sweep.trials=2", "trainer.epochs=3", *pruner, "sweep.keep=model")
    assert done.code == 0, done.out
    folder = place.folder / "multirun" / "s"
    assert list(statuses(folder).values()) == [Status.PRUNED] * 2
    for job in read_sweep(folder).jobs:
        assert len(read_metrics(folder / job.name)) == result_of(folder / job.name)["epochs_completed"] == 1
        assert not (folder / job.name / "checkpoint.pt").exists()
    assert "2 trials: 2 pruned" in done.out
    assert search("s", LR, "sweep.trials=2", "trainer.epochs=3").code == 0
    assert set(attempts(folder).values()) == {1}


def test_job_is_not_pruned_after_its_last_epoch(search: Run, place: Place) -> None:
    pruner = ("hydra.sweeper.pruner._target_=optuna.pruners.ThresholdPruner", "+hydra.sweeper.pruner.lower=2")
    assert search("s", LR, "sweep.trials=1", "trainer.epochs=1", *pruner).code == 0
    assert list(statuses(place.folder / "multirun" / "s").values()) == ["completed"]


def test_failed_trial_is_retried_as_the_same_trial(search: Run, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = ("model.stem=3x3,7x7", "sweep.trials=2", "hydra/sweeper/sampler=grid", "trainer.epochs=1")
    study = (*grid, "model._target_=tests.search.test_search.fragile")
    monkeypatch.setenv("FRAGILE", "broken")
    broken = search("s", *study)
    folder = place.folder / "multirun" / "s"
    assert broken.code == 1, broken.out + broken.err
    assert list(statuses(folder).values()) == ["failed", "failed"]
    assert "2 trials: 2 open" in broken.out
    monkeypatch.delenv("FRAGILE")
    mended = search("s", *study)
    assert mended.code == 0, mended.out + mended.err
    assert list(attempts(folder).values()) == [2, 2]
    assert "2 trials: 2 completed" in mended.out


def test_trial_that_two_workers_were_given_is_run_by_one_of_them(
    search: Run, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FRAGILE", "broken")
    fails = ("model._target_=tests.search.test_search.fragile", "sweep.trials=1", "trainer.epochs=1")
    assert search("s", LR, *fails).code == 1
    folder, peers = place.folder / "multirun" / "s", NoPeers("continue")
    workers = [Trials(folder, read_spec(folder), LeaseMonitor(), print) for _ in range(2)]
    assignments = [worker.next(peers) for worker in workers]
    with ProgressConsole() as progress:
        context = ProcessContext(progress, Interrupt())
        results = [
            _run_trial(context, worker, assignment, peers)
            for worker, assignment in zip(workers, assignments, strict=True)
            if isinstance(assignment, Assignment)
        ]
    assert [result and result["status"] for result in results] == ["failed", None]
    assert list(attempts(folder).values()) == [2]


def fragile(**settings: Any) -> ResNet:
    """Build the report's network, or fail if the environment says so."""
    if "FRAGILE" in os.environ:
        raise RuntimeError(os.environ["FRAGILE"])
    return ResNet(**settings)


def test_trial_with_invalid_config_is_left_out(search: Run, place: Place) -> None:
    # 33 images in batches of 16 leave a last batch of one image.
    grid = ("hydra/sweeper/sampler=grid", "data.train_size=32,33", "data.batch_size=11,16", "trainer.epochs=1")
    done = search("s", *grid)
    assert done.code == 0, done.out + done.err
    assert "left out, its config is not valid: data.train_size=33" in done.out
    assert "4 trials: 3 completed, 1 left out" in done.out


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (("data.val_size=0",), "data.val_size=5000"),
        (("sweep.objective=test_accuracy",), "sweep.objective_on_test=true"),
        (("sweep.objective=accuracy",), "val_accuracy"),
        (("sweep.objective=[val_accuracy]",), "two or more"),
        (("sweep.objective=[val_accuracy,test_loss]",), "sweep.objective=test_loss: a search fits"),
        (("sweep.objective=[val_accuracy,val_loss]", "hydra/sweeper/pruner=median"), "take hydra/sweeper/pruner=none"),
        (("sweep.constraints=['seconds<=1']",), "must be val_accuracy, val_loss"),
        (("sweep.trials=0",), "1 or more"),
        (("sweep.exclude=['optim.lr=1']",), "leave the values out"),
        (("sweep.rerun=all",), "reruns no trials"),
        (("hydra/sweeper/sampler=grid",), "a grid needs a list"),
        (("hydra/sweeper/sampler=tpa",), "tpe"),
        (("+hydra.sweeper.sampler.foo=1",), "foo"),
        (("hydra.sweeper.pruner._target_=optuna.pruners.Prune",), "optuna.pruners.Prune"),
        (("hydra/launcher=basic",), "sequential"),
        (("optim.beta=0.1,0.2",), "no such key"),
        (("model.width=interval(2,4)",), "whole number"),
    ],
)
def test_invalid_input_is_a_one_line_error_and_starts_nothing(
    search: Run, place: Place, overrides: tuple[str, ...], words: str
) -> None:
    done = search("s", LR, *overrides)
    assert done.code == 2
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert words in done.err
    assert not (place.folder / "multirun").exists()


def test_pruner_without_a_search_is_an_error(search: Run) -> None:
    done = search("s", "hydra/sweeper=ablation", "optim.lr=0.1,0.2", "data.val_size=0")
    assert done.code == 2
    assert done.err == "error: hydra/sweeper/pruner: belongs to a search; add hydra/sweeper=search\n"


def test_folder_of_another_search_is_refused(search: Run, place: Place) -> None:
    short = ("sweep.trials=1", "trainer.epochs=1")
    assert search("s", LR, *short).code == 0
    for overrides, words in [
        (("optim.lr=interval(0.1,0.2)",), "searches tag(log,interval(1e-4,1e-1)), not interval(0.1,0.2)"),
        ((LR, "sweep.objective=val_loss"), "is about the val_accuracy of the last epoch, not the val_loss of"),
        ((LR, "data.val_size=8"), "data.val_size=8"),
        ((LR, "optim.eps=1e-4,1e-8"), "optim.eps"),
    ]:
        done = search("s", *short, *overrides)
        assert done.code == 2, done.out
        assert words in done.err
        assert done.err.count("\n") == 1
    assert read_json(place.folder / "multirun" / "s" / SEARCH)["trials"] == 1


def test_folder_of_a_sweep_is_refused(search: Run, place: Place) -> None:
    folder = place.folder / "multirun" / "s"
    folder.mkdir(parents=True)
    (folder / SWEEP).write_text("{}")
    done = search("s", LR)
    assert done.code == 2
    assert "not a search" in done.err


def test_dry_run_prints_the_space_and_writes_nothing(search: Run, place: Place) -> None:
    done = search("s", LR, "sweep.dry_run=true", "sweep.trials=7")
    assert done.code == 0
    assert "optim.lr: tag(log,interval(1e-4,1e-1))" in done.out
    assert "7 trials, 0 started already" in done.out
    assert not (place.folder / "multirun").exists()


def test_missing_optuna_error_names_the_extra(search: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.import_module("hydra_plugins.search"), "find_spec", lambda _: None)
    done = search("s", LR)
    assert done.code == 2
    assert "'.[search]'" in done.err


def test_lock_of_a_dead_journal_writer_is_taken_over_with_a_relative_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_resnet.search.study.GRACE", 3)
    monkeypatch.chdir(tmp_path)
    folder = Path("multirun/lr")
    folder.mkdir(parents=True)
    make_study(open_storage(folder), OBJECTIVE)
    # The lock of a process that was killed while writing.
    _lock(folder / JOURNAL).acquire()
    assert load_study(open_storage(folder)).trials == []


def test_search_whose_metric_is_never_reported_says_so_and_fails(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (place.folder / "conf/task").mkdir(parents=True)
    (place.folder / "conf/task/misspelt.yaml").write_text(
        "# Report another name.\ndefaults: [function]\n_target_: tests.jobs.descent.report_once\n"
        "step: 0\nname: lss\nvalue: 1.0\n"
    )
    words = ["--config-dir", str(place.folder / "conf"), "-m", "task=misspelt", "tracking=none", "sweep.name=misspelt"]
    words += ["hydra/sweeper=search", "task.value=interval(1,2)", "sweep.trials=2"]
    words += ["+metrics.loss={better: lower, scale: positive}"]
    ended = run_in_process(words, place, monkeypatch, capfd)
    assert ended.code == 1, ended.err
    assert "2 left out: no finite value of loss of the last report; the first reported lss" in ended.out
