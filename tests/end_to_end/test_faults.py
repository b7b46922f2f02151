"""Faults, injected for real: processes killed at random moments, full disks, torn and foreign files."""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from mnist_resnet.job_folder import Status, read_json, read_metrics
from mnist_resnet.jobs.lease import LeaseMonitor
from mnist_resnet.tracking.wandb_files import unsent_runs
from tests.small_sweeps import Place, assert_same_job, attempts, make_place, result_of, small_disk, statuses
from tests.wandb_history import history

JOBS = ("seed=1", "seed=2")

LONG_ENOUGH = (
    *("seed=1,2", "trainer.epochs=3", "data.batch_size=4", "schedule=onecycle", "sweep.keep=model"),
    *("trainer.checkpoint_interval=0", "trainer.checkpoint_every=2", "trainer.log_interval=3"),
)
"""Two jobs of three epochs of 16 steps, with dropout and a schedule, checkpoints all the time."""

TRACKED = ("tracking=wandb", "tracking.mode=offline")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sweep folder that all others must equal."""
    place = make_place(tmp_path_factory.mktemp("undisturbed"))
    done = place.begin(place.sweep("whole", *LONG_ENOUGH)).ended()
    assert done.code == 0, done.out
    return place.folder / "multirun" / "whole"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return make_place(tmp_path)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 20 MiB."""
    with small_disk(tmp_path / "disk", "20m") as folder:
        yield folder


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_killed_at_random_moments_it_ends_where_the_undisturbed_one_does(
    place: Place, undisturbed: Path, kills: int
) -> None:
    chance = random.Random(kills)
    sweep = place.folder / "multirun" / "killed"
    arguments = place.sweep("killed", *LONG_ENOUGH, *TRACKED)
    for number in range(kills):
        begun = place.begin(arguments, f"attempt{number}")
        time.sleep(chance.uniform(0.3, 5))
        signal_number = chance.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        begun.kill(signal_number)
        done = begun.ended()
        assert done.code in (0, -signal_number, 128 + signal_number), done.out
        assert "Traceback" not in done.out
        _check_readable(sweep)
    done = place.begin(arguments).ended()
    assert done.code == 0, done.out
    assert statuses(sweep) == dict.fromkeys(JOBS, "completed")
    for job in JOBS:
        assert_same_job(sweep / job, undisturbed / job)
        _check_accepted_once(sweep / job)
        _check_one_wandb_run(sweep / job)
        assert not list((sweep / job).glob(".*.*")), "what killed writers left is swept up"


def _check_readable(sweep: Path) -> None:
    """Whatever happened: each file is absent or whole, and of two checkpoints one can be read."""
    for file in [*sweep.glob("sweep.json"), *sweep.glob("*/result.json")]:
        read_json(file)
    for folder in (file.parent for file in sweep.glob("*/result.json")):
        epochs = read_metrics(folder)
        assert [epoch["epoch"] for epoch in epochs] == list(range(len(epochs)))
        for file in folder.glob("checkpoint*.pt"):
            torch.load(file, weights_only=True)


def _check_accepted_once(folder: Path) -> None:
    result = result_of(folder)
    ends = [attempt["status"] for attempt in result["attempts"]]
    assert ends[-1] == "completed"
    assert ends.count("completed") == 1
    assert result["attempt"] == len(ends) == len(list(folder.glob("attempts/*.json")))


def _check_one_wandb_run(folder: Path) -> None:
    (run,) = unsent_runs(folder)
    rows = history(run)
    assert [row["epoch"] for row in rows if "epoch" in row] == [0, 1, 2]
    steps = [row["global_step"] for row in rows if "batch_loss" in row]
    assert steps == [16 * epoch + step for epoch in range(3) for step in range(0, 16, 3)]


@pytest.mark.parametrize(
    ("signal_number", "code", "tracked"), [(signal.SIGINT, 130, TRACKED), (signal.SIGTERM, 143, ())]
)
def test_signal_ends_the_step_writes_a_checkpoint_and_shows_the_table(
    place: Place, undisturbed: Path, signal_number: signal.Signals, code: int, tracked: tuple[str, ...]
) -> None:
    sweep = place.folder / "multirun" / "ended"
    # No checkpoint but the one that the signal asks for.
    arguments = place.sweep("ended", *LONG_ENOUGH, "trainer.checkpoint_interval=1000", *tracked)
    begun = place.begin(arguments)
    begun.wait_for(lambda: read_metrics(sweep / "seed=1"))
    begun.kill(signal_number)
    done = begun.ended()
    assert done.code == code, done.out
    assert f"ended by {signal_number.name}" in done.out
    assert "to go on: python -m mnist_resnet.resume " in done.out
    assert "seed=1: interrupted" in done.out
    assert "seed=2: queued" in done.out
    assert result_of(sweep / "seed=1")["status"] == Status.INTERRUPTED
    assert (sweep / "table.md").exists()
    assert torch.load(sweep / "seed=1" / "checkpoint.pt", weights_only=True)["epoch"] >= 1
    done = place.begin(arguments).ended()
    assert done.code == 0, done.out
    assert "seed=1: 3 epochs of 16 batches, goes on after epoch" in done.out
    for job in JOBS:
        assert_same_job(sweep / job, undisturbed / job)
        if tracked:
            _check_one_wandb_run(sweep / job)


def test_second_interrupt_ends_at_once_and_leaves_the_checkpoint_valid(place: Place) -> None:
    sweep = place.folder / "multirun" / "ended"
    arguments = place.sweep("ended", *LONG_ENOUGH, "trainer.epochs=300")
    begun = place.begin(arguments)
    begun.wait_for(lambda: read_metrics(sweep / "seed=1"))
    begun.kill(signal.SIGINT)
    begun.kill(signal.SIGINT)
    done = begun.ended()
    assert done.code == 130, done.out
    assert "Traceback" not in done.out
    _check_readable(sweep)
    assert (sweep / "seed=1" / "checkpoint.pt").exists()


def test_two_processes_on_one_sweep_repeat_nothing_and_both_show_all_of_it(place: Place) -> None:
    arguments = place.sweep("raced", "seed=1,2,3,4", "trainer.epochs=3", "sweep.keep=model")
    both = [place.begin(arguments, f"process{number}") for number in (1, 2)]
    for done in [begun.ended() for begun in both]:
        assert done.code == 0, done.out
        assert "4 jobs: 4 completed" in done.out
    sweep = place.folder / "multirun" / "raced"
    assert set(attempts(sweep).values()) == {1}
    assert {result_of(sweep / f"seed={seed}")["attempts"][0]["pid"] for seed in (1, 2, 3, 4)} == {
        begun.process.pid for begun in both
    }
    assert len(json.loads((sweep / "sweep.json").read_text())["jobs"]) == 4


def test_stopped_holder_on_this_machine_holds_and_is_waited_for(place: Place) -> None:
    sweep = place.folder / "multirun" / "held"
    arguments = place.sweep("held", "seed=1,2", "trainer.epochs=30")
    first = place.begin(arguments, "first")
    first.wait_for(lambda: read_metrics(sweep / "seed=1"))
    first.kill(signal.SIGSTOP)
    second = place.begin(arguments, "second")
    try:
        second.wait_for(lambda: f"held by process {first.process.pid}" in second.log.read_text())
        assert result_of(sweep / "seed=2")["status"] == "completed", "what nobody holds is done first"
        assert attempts(sweep) == {"seed=1": 1, "seed=2": 1}
    finally:
        first.kill(signal.SIGCONT)
    for done in (first.ended(), second.ended()):
        assert done.code == 0, done.out
    assert attempts(sweep) == {"seed=1": 1, "seed=2": 1}


def test_holder_that_was_killed_is_noticed_at_once(place: Place) -> None:
    sweep = place.folder / "multirun" / "died"
    arguments = place.sweep("died", "seed=1,2", "trainer.epochs=30")
    first = place.begin(arguments, "first")
    first.wait_for(lambda: read_metrics(sweep / "seed=1"))
    first.kill(signal.SIGSTOP)
    second = place.begin(arguments, "second")
    second.wait_for(lambda: "waiting for it" in second.log.read_text())
    first.kill(signal.SIGKILL)
    done = second.ended(timeout=30)
    assert done.code == 0, done.out
    assert attempts(sweep) == {"seed=1": 2, "seed=2": 1}


def test_disk_that_fills_up_loses_nothing(place: Place, disk: Path, undisturbed: Path) -> None:
    sweep = disk / "sweep"
    arguments = place.sweep(None, *LONG_ENOUGH, f"hydra.sweep.dir={sweep}")
    begun = place.begin(arguments)
    begun.wait_for((sweep / "seed=1" / "checkpoint.pt").exists)
    _fill(disk / "filler")
    done = begun.ended()
    assert done.code == 1, done.out
    assert "Traceback" not in done.out
    assert any("No space left on device" in line and "make room" in line for line in done.out.splitlines())
    _check_readable(sweep)
    (disk / "filler").unlink()
    done = place.begin(arguments).ended()
    assert done.code == 0, done.out
    for job in JOBS:
        assert_same_job(sweep / job, undisturbed / job)


def _fill(file: Path) -> None:
    with file.open("wb", buffering=0) as filler:
        for size in (65536, 4096):
            try:
                while True:
                    filler.write(b"\0" * size)
            except OSError:
                pass


def test_files_that_may_not_grow_fail_their_job_alone_and_the_next_start_goes_on(
    place: Place, undisturbed: Path
) -> None:
    sweep = place.folder / "multirun" / "limited"
    arguments = place.sweep("limited", *LONG_ENOUGH)
    done = place.begin(arguments, limit=_size_of_checkpoint(undisturbed) // 2).ended()
    assert done.code == 1, done.out
    assert statuses(sweep) == dict.fromkeys(JOBS, "failed")
    assert "File too large" in result_of(sweep / "seed=1")["error"]["message"]
    _check_readable(sweep)
    done = place.begin(arguments).ended()
    assert done.code == 0, done.out
    for job in JOBS:
        assert_same_job(sweep / job, undisturbed / job)


def _size_of_checkpoint(sweep: Path) -> int:
    return 3 * (sweep / "seed=1" / "model.pt").stat().st_size // 2


@pytest.fixture(scope="module")
def killed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two jobs of three epochs, killed in the course of the first one; two checkpoints are there."""
    place = make_place(tmp_path_factory.mktemp("killed"))
    sweep = place.folder / "multirun" / "half"
    begun = place.begin(place.sweep("half", *LONG_ENOUGH))
    begun.wait_for(lambda: read_metrics(sweep / "seed=1") and (sweep / "seed=1" / "checkpoint.previous.pt").exists())
    begun.kill(signal.SIGKILL)
    begun.ended()
    assert (LeaseMonitor().state(sweep / "seed=1"), result_of(sweep / "seed=1")["status"]) == ("dead", "running")
    return sweep


@pytest.fixture
def half_done(place: Place, killed_once: Path) -> Path:
    """A copy of that sweep for one test."""
    return Path(shutil.copytree(killed_once, place.folder / "multirun" / "half"))


def _finished(place: Place, undisturbed: Path) -> str:
    done = place.begin(place.sweep("half", *LONG_ENOUGH)).ended()
    assert done.code == 0, done.out
    for job in JOBS:
        assert_same_job(place.folder / "multirun" / "half" / job, undisturbed / job)
    return done.out


def test_truncated_checkpoint_is_passed_over_for_the_one_before(
    place: Place, half_done: Path, undisturbed: Path
) -> None:
    os.truncate(half_done / "seed=1" / "checkpoint.pt", 1000)
    out = _finished(place, undisturbed)
    assert sum("checkpoint.pt can't be read and was passed over" in line for line in _course(out)) == 1
    assert "goes on after epoch" in out or "epoch 0/2" in out


def test_without_a_readable_checkpoint_the_job_starts_over(place: Place, half_done: Path, undisturbed: Path) -> None:
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        (half_done / "seed=1" / name).write_bytes(b"no checkpoint")
    out = _finished(place, undisturbed)
    assert sum("can't be read and was passed over" in line for line in _course(out)) == 2
    assert out.count("epoch 0/2") == 2


def test_torn_line_of_metrics_is_cut_and_written_again(place: Place, half_done: Path, undisturbed: Path) -> None:
    with (half_done / "seed=1" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 1, "train_lo')
    _finished(place, undisturbed)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"format": 2, "status": "completed"}', "format 2, and this version reads format 1"),
        ("\0" * 100, "can't be read"),
    ],
    ids=["of a newer version", "of zeros, as some disks leave it"],
)
def test_result_that_cannot_be_read_is_left_as_it_is(place: Place, half_done: Path, content: str, said: str) -> None:
    (half_done / "seed=1" / "result.json").write_text(content)
    before = _files(half_done / "seed=1")
    done = place.begin(place.sweep("half", *LONG_ENOUGH)).ended()
    assert done.code == 1
    (line,) = (line for line in done.out.splitlines() if line.startswith("seed=1: unreadable: "))
    assert said in line
    assert "Traceback" not in done.out
    assert _files(half_done / "seed=1") == before
    assert result_of(half_done / "seed=2")["status"] == "completed"


def test_sweep_that_cannot_be_read_is_left_as_it_is(place: Place, half_done: Path) -> None:
    (half_done / "sweep.json").write_text('{"format": 2, "jobs": []}')
    before = _files(half_done)
    done = place.begin(place.sweep("half", *LONG_ENOUGH)).ended()
    assert (done.code, len(done.out.splitlines())) == (2, 1), done.out
    assert done.out.startswith("error: multirun/half/sweep.json: ")
    assert "format 2, and this version reads format 1" in done.out
    after = _files(half_done)
    assert {file: time for file, time in after.items() if "launches" not in file} == {
        file: time for file, time in before.items() if "launches" not in file
    }


def test_what_is_foreign_in_the_sweep_folder_stays_and_disturbs_nothing(
    place: Place, half_done: Path, undisturbed: Path
) -> None:
    (half_done / "notes.txt").write_text("mine")
    (half_done / "figures").mkdir()
    (half_done / "figures" / "result.json").write_text("{}")
    (half_done / "seed=1" / "sketch.png").write_bytes(b"mine")
    (half_done / "seed=2").mkdir(exist_ok=True)
    (half_done / "seed=2" / "todo.txt").write_text("mine")
    _finished(place, undisturbed)
    kept = ("notes.txt", "figures/result.json", "seed=1/sketch.png", "seed=2/todo.txt")
    assert all((half_done / name).exists() for name in kept)


def test_file_in_the_place_of_a_job_folder_is_said_and_left(place: Place, half_done: Path) -> None:
    shutil.rmtree(half_done / "seed=2", ignore_errors=True)
    (half_done / "seed=2").write_text("mine")
    done = place.begin(place.sweep("half", *LONG_ENOUGH)).ended()
    assert done.code in (1, 2), done.out
    assert "Traceback" not in done.out
    assert any("seed=2" in line and "Not a directory" in line for line in done.out.splitlines()), done.out
    assert (half_done / "seed=2").read_text() == "mine"


def _course(out: str) -> list[str]:
    """What was said before the table."""
    return out[: out.index("\nJobs")].splitlines()


def _files(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
