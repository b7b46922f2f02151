"""Searches in processes of their own: killed and begun again, joined by others, carried out by workers."""

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
"""Four trials of three epochs of 12 steps, checkpoints all the time."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep folder that a disturbed search must equal."""
    place = make_place(tmp_path_factory.mktemp("undisturbed"))
    done = place.begin(place.sweep("whole", *SPACE)).ended()
    assert done.code == 0, done.out
    return place.folder / "multirun" / "whole"


def begun_trials(sweep: Path) -> int:
    return len(list(sweep.glob("*/metrics.jsonl")))


def test_killed_twice_it_ends_with_the_trials_of_the_undisturbed_one(place: Place, undisturbed: Path) -> None:
    sweep, arguments = place.folder / "multirun" / "killed", place.sweep("killed", *SPACE)
    for number in (1, 3):
        begun = place.begin(arguments, f"attempt{number}")
        begun.wait_for(lambda wanted=number: begun_trials(sweep) >= wanted)  # type: ignore[misc]
        begun.kill(signal.SIGKILL)
        begun.ended()
    done = place.begin(arguments).ended()
    assert done.code == 0, done.out
    for killed, whole in zip(read_sweep(sweep).jobs, read_sweep(undisturbed).jobs, strict=True):
        assert killed.name == whole.name, "each trial is the one that it was to be"
        assert_same_job(sweep / killed.name, undisturbed / whole.name)
    study, other = (load_study(open_storage(folder)) for folder in (sweep, undisturbed))
    assert [trial.values for trial in study.trials] == [trial.values for trial in other.trials]
    assert [trial.intermediate_values for trial in study.trials] == [
        trial.intermediate_values for trial in other.trials
    ]
    assert max(attempts(sweep).values()) > 1


def test_interrupted_it_leaves_in_good_order_and_goes_on(place: Place) -> None:
    sweep, arguments = place.folder / "multirun" / "s", place.sweep("s", *SPACE)
    begun = place.begin(arguments)
    begun.wait_for(lambda: begun_trials(sweep) >= 2)
    begun.kill(signal.SIGTERM)
    done = begun.ended()
    assert done.code == 143, done.out
    assert "Traceback" not in done.out
    assert place.begin(arguments).ended().code == 0
    assert list(statuses(sweep).values()) == ["completed"] * 4


def test_the_same_command_again_joins_in(place: Place) -> None:
    sweep, arguments = place.folder / "multirun" / "s", place.sweep("s", *SPACE, "sweep.trials=8")
    workers = [place.begin(arguments, f"worker{number}") for number in range(2)]
    ends = [worker.ended() for worker in workers]
    assert [end.code for end in ends] == [0, 0], ends[0].out + ends[1].out
    assert Counter(statuses(sweep).values()) == {"completed": 8}
    assert Counter(attempts(sweep).values()) == {1: 8}, "no trial is run twice"
    assert {trial.state for trial in load_study(open_storage(sweep)).trials} == {TrialState.COMPLETE}
    pids = {result_of(sweep / job.name)["attempts"][0]["pid"] for job in read_sweep(sweep).jobs}
    assert len(pids) == 2, "both had trials"


def test_workers_take_their_trials_one_by_one(place: Place) -> None:
    sweep = place.folder / "multirun" / "s"
    workers = ("hydra/launcher=workers", "hydra.launcher.workers=2")
    done = place.begin(place.sweep("s", *SPACE, *workers)).ended()
    assert done.code == 0, done.out
    assert Counter(statuses(sweep).values()) == {"completed": 4}
    assert len({result_of(sweep / job.name)["attempts"][0]["pid"] for job in read_sweep(sweep).jobs}) == 2


def test_a_worker_killed_in_a_trial_is_replaced_and_the_trial_goes_on(place: Place) -> None:
    sweep = place.folder / "multirun" / "s"
    begun = place.begin(place.sweep("s", *SPACE, "hydra/launcher=workers", "hydra.launcher.workers=1"))
    begun.wait_for(lambda: begun_trials(sweep) >= 2)
    second = sweep / read_sweep(sweep).jobs[1].name
    os.kill(result_of(second)["attempts"][-1]["pid"], signal.SIGKILL)
    done = begun.ended()
    assert done.code == 0, done.out
    assert Counter(statuses(sweep).values()) == {"completed": 4}
    assert len(read_metrics(second)) == 3
    assert "retry 1 of 2" in done.out
