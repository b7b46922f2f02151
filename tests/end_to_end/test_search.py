"""Searches in separate processes: killed and resumed, joined by other processes, run by workers."""

import os
import signal
from collections import Counter
from pathlib import Path

import pytest
from optuna.trial import TrialState

from mnist_resnet.job_folder import read_metrics
from mnist_resnet.search.study import load_study, open_storage
from mnist_resnet.sweeps.folder import read_sweep
from tests.small_sweeps import Place, assert_same_job, attempts, make_place, result_of, statuses

SPACE = (
    *("hydra/sweeper=search", "hydra/sweeper/pruner=none", "data.val_size=16", "data.batch_size=4", "trainer.epochs=3"),
    *("optim.lr=tag(log,interval(1e-4,1e-1))", "model.block_norm=none,after_repeats", "sweep.trials=4"),
    *("trainer.checkpoint_interval=0", "trainer.checkpoint_every=2"),
)
"""Four trials of three epochs of 12 steps, with frequent checkpoints."""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted search, with which interrupted ones are compared."""
    place = make_place(tmp_path_factory.mktemp("uninterrupted"))
    done = place.start(place.sweep("whole", *SPACE)).wait()
    assert done.code == 0, done.out
    return place.folder / "multirun" / "whole"


def started_trials(sweep: Path) -> int:
    return len(list(sweep.glob("*/metrics.jsonl")))


@pytest.mark.slow
def test_search_killed_twice_has_the_same_trials_as_an_uninterrupted_one(place: Place, uninterrupted: Path) -> None:
    sweep, arguments = place.folder / "multirun" / "killed", place.sweep("killed", *SPACE)
    for number in (1, 3):
        process = place.start(arguments, f"attempt{number}")
        process.wait_for(lambda count=number: started_trials(sweep) >= count)  # type: ignore[misc]
        process.kill(signal.SIGKILL)
        process.wait()
    done = place.start(arguments).wait()
    assert done.code == 0, done.out
    for killed, whole in zip(read_sweep(sweep).jobs, read_sweep(uninterrupted).jobs, strict=True):
        assert killed.name == whole.name, "each trial has the same parameters"
        assert_same_job(sweep / killed.name, uninterrupted / whole.name)
    study, other = (load_study(open_storage(folder)) for folder in (sweep, uninterrupted))
    assert [trial.values for trial in study.trials] == [trial.values for trial in other.trials]
    assert [trial.intermediate_values for trial in study.trials] == [
        trial.intermediate_values for trial in other.trials
    ]
    assert max(attempts(sweep).values()) > 1


def test_interrupted_search_exits_cleanly_and_resumes(place: Place) -> None:
    sweep, arguments = place.folder / "multirun" / "s", place.sweep("s", *SPACE)
    process = place.start(arguments)
    process.wait_for(lambda: started_trials(sweep) >= 2)
    process.kill(signal.SIGTERM)
    done = process.wait()
    assert done.code == 143, done.out
    assert "Traceback" not in done.out
    assert place.start(arguments).wait().code == 0
    assert list(statuses(sweep).values()) == ["completed"] * 4


def test_second_process_joins_the_search(place: Place) -> None:
    sweep, arguments = place.folder / "multirun" / "s", place.sweep("s", *SPACE, "sweep.trials=8")
    workers = [place.start(arguments, f"worker{number}") for number in range(2)]
    ends = [worker.wait() for worker in workers]
    assert [end.code for end in ends] == [0, 0], ends[0].out + ends[1].out
    assert Counter(statuses(sweep).values()) == {"completed": 8}
    assert Counter(attempts(sweep).values()) == {1: 8}, "no trial is run twice"
    assert {trial.state for trial in load_study(open_storage(sweep)).trials} == {TrialState.COMPLETE}
    pids = {result_of(sweep / job.name)["attempts"][0]["pid"] for job in read_sweep(sweep).jobs}
    assert len(pids) == 2, "both ran trials"


@pytest.mark.slow
def test_workers_share_the_trials(place: Place) -> None:
    sweep = place.folder / "multirun" / "s"
    workers = ("hydra/launcher=workers", "hydra.launcher.workers=2")
    done = place.start(place.sweep("s", *SPACE, *workers)).wait()
    assert done.code == 0, done.out
    assert Counter(statuses(sweep).values()) == {"completed": 4}
    assert len({result_of(sweep / job.name)["attempts"][0]["pid"] for job in read_sweep(sweep).jobs}) == 2


def test_killed_worker_is_replaced_and_its_trial_resumes(place: Place) -> None:
    sweep = place.folder / "multirun" / "s"
    process = place.start(place.sweep("s", *SPACE, "hydra/launcher=workers", "hydra.launcher.workers=1"))
    process.wait_for(lambda: started_trials(sweep) >= 2)
    second = sweep / read_sweep(sweep).jobs[1].name
    os.kill(result_of(second)["attempts"][-1]["pid"], signal.SIGKILL)
    done = process.wait()
    assert done.code == 0, done.out
    assert Counter(statuses(sweep).values()) == {"completed": 4}
    assert len(read_metrics(second)) == 3
    assert "retry 1 of 2" in done.out
