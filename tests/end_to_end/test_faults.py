"""Injected faults: processes killed at random times, full disks, truncated and foreign files."""

import errno
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

from benchmarks.full_disk import fill_disk
from mnist_resnet.attempts import STALE_AFTER, LeaseMonitor
from mnist_resnet.job_folder import Status, read_json, read_metrics
from mnist_resnet.tracking.wandb_files import unsent_runs
from tests.small_sweeps import (
    Place,
    assert_same_job,
    attempts,
    make_place,
    result_of,
    run_in_process,
    small_disk,
    statuses,
)
from tests.wandb_history import history

JOBS = ("seed=1", "seed=2")

OVERRIDES = (
    *("seed=1,2", "trainer.epochs=3", "data.batch_size=4", "schedule=onecycle", "sweep.keep=model"),
    *("trainer.checkpoint_interval=0", "trainer.checkpoint_every=2", "trainer.log_interval=3"),
    "model._target_=tests.small_training.SlowResNet",
)
"""Two jobs of three epochs of 16 steps, with dropout, a schedule and frequent checkpoints."""
SLOW = 0.1
"""Seconds a step of a process that something is done to before its job ends."""

TRACKED = ("tracking=wandb", "tracking.mode=offline")


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an uninterrupted sweep, with which all others are compared."""
    place = make_place(tmp_path_factory.mktemp("uninterrupted"))
    done = place.start(place.sweep("whole", *OVERRIDES)).wait()
    assert done.code == 0, done.out
    return place.folder / "multirun" / "whole"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A 20 MiB file system."""
    with small_disk(tmp_path / "disk", "20m") as folder:
        yield folder


@pytest.mark.parametrize("kills", [4, pytest.param(20, marks=pytest.mark.slow)])
def test_sweep_killed_at_random_times_ends_like_an_uninterrupted_one(
    place: Place, uninterrupted: Path, kills: int
) -> None:
    rng = random.Random(kills)
    sweep = place.folder / "multirun" / "killed"
    arguments = place.sweep("killed", *OVERRIDES, *TRACKED)
    for number in range(kills):
        process = place.start(arguments, f"attempt{number}")
        time.sleep(rng.uniform(0.3, 5))
        signal_number = rng.choice([signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
        process.kill(signal_number)
        done = process.wait()
        assert done.code in (0, -signal_number, 128 + signal_number), done.out
        assert "Traceback" not in done.out
        _check_readable(sweep)
    done = place.start(arguments).wait()
    assert done.code == 0, done.out
    assert statuses(sweep) == dict.fromkeys(JOBS, "completed")
    for job in JOBS:
        assert_same_job(sweep / job, uninterrupted / job)
        _check_completed_once(sweep / job)
        _check_one_wandb_run(sweep / job)
        assert not list((sweep / job).glob(".*.*")), "temporary files of killed writers are removed"


def _check_readable(sweep: Path) -> None:
    """Check that each file is either absent or complete and readable."""
    for file in [*sweep.glob("sweep.json"), *sweep.glob("*/result.json")]:
        read_json(file)
    for folder in (file.parent for file in sweep.glob("*/result.json")):
        epochs = read_metrics(folder)
        assert [epoch["epoch"] for epoch in epochs] == list(range(len(epochs)))
        for file in folder.glob("checkpoint*.pt"):
            torch.load(file, weights_only=True)


def _check_completed_once(folder: Path) -> None:
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
def test_signal_ends_after_the_step_with_a_checkpoint_and_the_table(
    place: Place, uninterrupted: Path, signal_number: signal.Signals, code: int, tracked: tuple[str, ...]
) -> None:
    sweep = place.folder / "multirun" / "ended"
    # The only checkpoint is the one that the signal causes.
    arguments = place.sweep("ended", *OVERRIDES, "trainer.checkpoint_interval=1000", *tracked)
    process = place.start(arguments, seconds_a_step=SLOW)
    process.wait_for(lambda: read_metrics(sweep / "seed=1"))
    process.kill(signal_number)
    done = process.wait()
    assert done.code == code, done.out
    assert f"ended by {signal_number.name}" in done.out
    assert "to resume: python -m mnist_resnet.resume " in done.out
    assert "seed=1: interrupted" in done.out
    assert "seed=2: queued" in done.out
    assert result_of(sweep / "seed=1")["status"] == Status.INTERRUPTED
    assert (sweep / "table.md").exists()
    assert torch.load(sweep / "seed=1" / "checkpoint.pt", weights_only=True)["epoch"] >= 1
    done = place.start(arguments).wait()
    assert done.code == 0, done.out
    assert "seed=1: 3 epochs of 16 batches, resumes after epoch" in done.out
    for job in JOBS:
        assert_same_job(sweep / job, uninterrupted / job)
        if tracked:
            _check_one_wandb_run(sweep / job)


def test_second_interrupt_ends_at_once_and_keeps_the_checkpoint_valid(place: Place) -> None:
    sweep = place.folder / "multirun" / "ended"
    arguments = place.sweep("ended", *OVERRIDES, "trainer.epochs=300")
    process = place.start(arguments)
    process.wait_for(lambda: read_metrics(sweep / "seed=1"))
    process.kill(signal.SIGINT)
    process.kill(signal.SIGINT)
    done = process.wait()
    assert done.code == 130, done.out
    assert "Traceback" not in done.out
    _check_readable(sweep)
    assert (sweep / "seed=1" / "checkpoint.pt").exists()


def test_two_processes_share_a_sweep_without_repeating_jobs_and_both_print_it(place: Place) -> None:
    slow = "model._target_=tests.small_training.SlowResNet"
    arguments = place.sweep("raced", "seed=1,2,3,4", "trainer.epochs=3", "sweep.keep=model", slow)
    # Slow, so that the one that happens to start later finds a job, too.
    processes = [place.start(arguments, f"process{number}", seconds_a_step=SLOW) for number in (1, 2)]
    for done in [process.wait() for process in processes]:
        assert done.code == 0, done.out
        assert "4 jobs: 4 completed" in done.out
    sweep = place.folder / "multirun" / "raced"
    assert set(attempts(sweep).values()) == {1}
    assert {result_of(sweep / f"seed={seed}")["attempts"][0]["pid"] for seed in (1, 2, 3, 4)} == {
        process.process.pid for process in processes
    }
    assert len(json.loads((sweep / "sweep.json").read_text())["jobs"]) == 4


def test_suspended_process_keeps_its_lease_and_is_waited_for(place: Place) -> None:
    sweep = place.folder / "multirun" / "held"
    arguments = place.sweep("held", "seed=1,2", "trainer.epochs=30")
    first = place.start(arguments, "first")
    first.wait_for(lambda: read_metrics(sweep / "seed=1"))
    first.kill(signal.SIGSTOP)
    second = place.start(arguments, "second")
    try:
        second.wait_for(lambda: f"held by process {first.process.pid}" in second.log.read_text())
        assert result_of(sweep / "seed=2")["status"] == "completed", "jobs that no process holds are run first"
        assert attempts(sweep) == {"seed=1": 1, "seed=2": 1}
    finally:
        first.kill(signal.SIGCONT)
    for done in (first.wait(), second.wait()):
        assert done.code == 0, done.out
    assert attempts(sweep) == {"seed=1": 1, "seed=2": 1}


def test_killed_lease_holder_is_noticed_at_once(place: Place) -> None:
    sweep = place.folder / "multirun" / "died"
    arguments = place.sweep("died", "seed=1,2", "trainer.epochs=30")
    first = place.start(arguments, "first")
    first.wait_for(lambda: read_metrics(sweep / "seed=1"))
    first.kill(signal.SIGSTOP)
    second = place.start(arguments, "second")
    second.wait_for(lambda: "waiting for it" in second.log.read_text())
    first.kill(signal.SIGKILL)
    # Sooner than a holder on another machine counts as dead.
    second.wait_for(lambda: attempts(sweep)["seed=1"] == 2, timeout=STALE_AFTER / 2)
    done = second.wait()
    assert done.code == 0, done.out
    assert attempts(sweep) == {"seed=1": 2, "seed=2": 1}


def test_full_disk_loses_nothing(place: Place, disk: Path, uninterrupted: Path) -> None:
    sweep = disk / "sweep"
    arguments = place.sweep(None, *OVERRIDES, f"hydra.sweep.dir={sweep}")
    process = place.start(arguments, seconds_a_step=SLOW)
    process.wait_for((sweep / "seed=1" / "checkpoint.pt").exists)
    fill_disk(disk / "filler")
    done = process.wait()
    assert done.code == 1, done.out
    assert "Traceback" not in done.out
    assert any("No space left on device" in line and "make room" in line for line in done.out.splitlines())
    _check_readable(sweep)
    (disk / "filler").unlink()
    done = place.start(arguments).wait()
    assert done.code == 0, done.out
    for job in JOBS:
        assert_same_job(sweep / job, uninterrupted / job)


@pytest.mark.slow
def test_file_size_limit_only_fails_jobs_and_the_next_launch_resumes(place: Place, uninterrupted: Path) -> None:
    sweep = place.folder / "multirun" / "limited"
    arguments = place.sweep("limited", *OVERRIDES)
    done = place.start(arguments, limit=_size_of_checkpoint(uninterrupted) // 2).wait()
    assert done.code == 1, done.out
    assert statuses(sweep) == dict.fromkeys(JOBS, "failed")
    assert "File too large" in result_of(sweep / "seed=1")["error"]["message"]
    _check_readable(sweep)
    done = place.start(arguments).wait()
    assert done.code == 0, done.out
    for job in JOBS:
        assert_same_job(sweep / job, uninterrupted / job)


def test_a_single_run_that_cannot_write_its_result_says_so_in_one_line(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def write(path: Path, *_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr("mnist_resnet.jobs.result_writer.write_atomically", write)
    ended = run_in_process([*place.common, "hydra.run.dir=full"], place, monkeypatch, capfd)
    result = place.folder / "full" / "result.json"
    assert (ended.code, ended.out, ended.err) == (2, "", f"error: {result}: No space left on device\n")


def _size_of_checkpoint(sweep: Path) -> int:
    return 3 * (sweep / "seed=1" / "model.pt").stat().st_size // 2


@pytest.fixture(scope="module")
def killed_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sweep of two jobs of three epochs, killed during the first job when it had two checkpoints."""
    place = make_place(tmp_path_factory.mktemp("killed"))
    sweep = place.folder / "multirun" / "half"
    process = place.start(place.sweep("half", *OVERRIDES), seconds_a_step=SLOW)
    process.wait_for(lambda: read_metrics(sweep / "seed=1") and (sweep / "seed=1" / "checkpoint.previous.pt").exists())
    process.kill(signal.SIGKILL)
    process.wait()
    assert (LeaseMonitor().state(sweep / "seed=1"), result_of(sweep / "seed=1")["status"]) == ("dead", "running")
    return sweep


@pytest.fixture
def half_done(place: Place, killed_once: Path) -> Path:
    """A copy of `killed_once` for one test."""
    return Path(shutil.copytree(killed_once, place.folder / "multirun" / "half"))


def _finish(place: Place, uninterrupted: Path) -> str:
    done = place.start(place.sweep("half", *OVERRIDES)).wait()
    assert done.code == 0, done.out
    for job in JOBS:
        assert_same_job(place.folder / "multirun" / "half" / job, uninterrupted / job)
    return done.out


def test_truncated_checkpoint_is_skipped_for_the_previous_one(
    place: Place, half_done: Path, uninterrupted: Path
) -> None:
    os.truncate(half_done / "seed=1" / "checkpoint.pt", 1000)
    out = _finish(place, uninterrupted)
    assert sum("checkpoint.pt can't be read and was passed over" in line for line in _progress_lines(out)) == 1
    assert "resumes after epoch" in out or "epoch 0/2" in out


@pytest.mark.slow
def test_without_a_readable_checkpoint_the_job_starts_over(place: Place, half_done: Path, uninterrupted: Path) -> None:
    for name in ("checkpoint.pt", "checkpoint.previous.pt"):
        (half_done / "seed=1" / name).write_bytes(b"no checkpoint")
    out = _finish(place, uninterrupted)
    assert sum("can't be read and was passed over" in line for line in _progress_lines(out)) == 2
    assert out.count("epoch 0/2") == 2


def test_truncated_line_of_metrics_is_removed_and_rewritten(place: Place, half_done: Path, uninterrupted: Path) -> None:
    with (half_done / "seed=1" / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 1, "train_lo')
    _finish(place, uninterrupted)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"format": 2, "status": "completed"}', "format 2, and this version reads format 1"),
        ("\0" * 100, "can't be read"),
    ],
    ids=["newer format", "zeros, as after a crash of some file systems"],
)
def test_unreadable_result_is_not_touched(place: Place, half_done: Path, content: str, message: str) -> None:
    (half_done / "seed=1" / "result.json").write_text(content)
    before = _files(half_done / "seed=1")
    done = place.start(place.sweep("half", *OVERRIDES)).wait()
    assert done.code == 1
    (line,) = (line for line in done.out.splitlines() if line.startswith("seed=1: unreadable: "))
    assert message in line
    assert "Traceback" not in done.out
    assert _files(half_done / "seed=1") == before
    assert result_of(half_done / "seed=2")["status"] == "completed"


def test_unreadable_sweep_is_not_touched(place: Place, half_done: Path) -> None:
    (half_done / "sweep.json").write_text('{"format": 2, "jobs": []}')
    before = _files(half_done)
    done = place.start(place.sweep("half", *OVERRIDES)).wait()
    assert (done.code, len(done.out.splitlines())) == (2, 1), done.out
    assert done.out.startswith("error: multirun/half/sweep.json: ")
    assert "format 2, and this version reads format 1" in done.out
    after = _files(half_done)
    assert {file: time for file, time in after.items() if "launches" not in file} == {
        file: time for file, time in before.items() if "launches" not in file
    }


def test_foreign_files_in_the_sweep_folder_are_kept_and_ignored(
    place: Place, half_done: Path, uninterrupted: Path
) -> None:
    (half_done / "notes.txt").write_text("mine")
    (half_done / "figures").mkdir()
    (half_done / "figures" / "result.json").write_text("{}")
    (half_done / "seed=1" / "sketch.png").write_bytes(b"mine")
    (half_done / "seed=2").mkdir(exist_ok=True)
    (half_done / "seed=2" / "todo.txt").write_text("mine")
    _finish(place, uninterrupted)
    kept = ("notes.txt", "figures/result.json", "seed=1/sketch.png", "seed=2/todo.txt")
    assert all((half_done / name).exists() for name in kept)


def test_file_in_place_of_a_job_folder_is_reported_and_kept(place: Place, half_done: Path) -> None:
    shutil.rmtree(half_done / "seed=2", ignore_errors=True)
    (half_done / "seed=2").write_text("mine")
    done = place.start(place.sweep("half", *OVERRIDES)).wait()
    assert done.code in (1, 2), done.out
    assert "Traceback" not in done.out
    assert any("seed=2" in line and "Not a directory" in line for line in done.out.splitlines()), done.out
    assert (half_done / "seed=2").read_text() == "mine"


def _progress_lines(out: str) -> list[str]:
    """Return the lines printed before the table."""
    return out[: out.index("\nJobs")].splitlines()


def _files(folder: Path) -> dict[str, int]:
    return {str(path.relative_to(folder)): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}
