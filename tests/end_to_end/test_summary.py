"""The summary of a sweep is written once, by the process that ends last; real processes."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from mnist_resnet.attempts import attempts
from mnist_resnet.job_folder import Status
from tests.small_sweeps import CHECKOUT, Place, make_place, python_path
from tests.small_sweeps import attempts as attempts_by_job

TRACKER = """
import os
from pathlib import Path
from mnist_resnet.tracking.no_tracker import NoTracker

class Tracker(NoTracker):
    def __init__(self, **settings):
        pass

    def sweep_ended(self, folder, table):
        calls = Path(__file__).with_name("calls.txt")
        is_first = not calls.exists()
        calls.open("a").write(f"{len(table)}\\n")
        if is_first:
            os.kill(os.getpid(), 9)
"""
"""A user's tracker that kills its process at its first `sweep_ended` call."""


def writers(sweep: Path) -> list[str]:
    """Return the status of each attempt to write the summary."""
    return [str(attempt["status"]) for attempt in attempts(sweep / "launches" / "conclusion")]


def run(place: Place, *command: str) -> "subprocess.CompletedProcess[str]":
    path = python_path(CHECKOUT, place.folder / "modules")
    return subprocess.run(
        [sys.executable, *command],
        cwd=place.folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_one_of_two_processes_writes_and_the_other_names_it(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    arguments = place.sweep("both", "seed=1,2,3")
    processes = [place.start(arguments, log) for log in ("one", "other")]
    ended = [process.wait() for process in processes]
    sweep = place.folder / "multirun" / "both"
    assert [done.code for done in ended] == [0, 0], ended
    assert writers(sweep) == [Status.COMPLETED]
    writer = [
        process for process, done in zip(processes, ended, strict=True) if "written to multirun/both: " in done.out
    ]
    assert len(writer) == 1
    other = next(done for process, done in zip(processes, ended, strict=True) if process not in writer)
    assert f"written to multirun/both by process {writer[0].process.pid} on " in other.out
    assert all("3 jobs: 3 completed" in done.out for done in ended), "both print the table"


@pytest.mark.slow
def test_killed_writer_is_replaced_and_a_later_worker_writes_the_new_summary(
    tmp_path: Path,
) -> None:
    place = make_place(tmp_path)
    (place.folder / "modules").mkdir()
    (place.folder / "modules" / "deadly.py").write_text(TRACKER)
    calls = place.folder / "modules" / "calls.txt"
    sweep = place.folder / "multirun" / "killed"
    train = [str(CHECKOUT / "train.py"), *place.sweep("killed", "seed=1,2", "tracking._target_=deadly.Tracker")]
    assert run(place, *train).returncode == -signal.SIGKILL
    assert calls.read_text() == "2\n"
    again = run(place, *train)
    assert again.returncode == 0, again.stderr
    assert "0 of 2 jobs to run" in again.stdout
    assert "written to multirun/killed: table.md" in again.stdout
    assert calls.read_text() == "2\n2\n"
    assert writers(sweep) == [Status.INTERRUPTED, Status.COMPLETED]

    shutil.rmtree(sweep / "seed=2")
    for _ in range(2):
        worker = run(place, "-m", "mnist_resnet.work", str(sweep), "--trust", "deadly.Tracker")
        assert worker.returncode == 0, worker.stderr
    assert " by process " in worker.stdout, "nothing has changed since then"
    assert calls.read_text() == "2\n2\n2\n"
    assert writers(sweep)[2:] == [Status.COMPLETED]
    assert attempts_by_job(sweep) == {"seed=1": 1, "seed=2": 1}
    assert pd.read_csv(sweep / "results.csv")["status"].tolist() == ["completed"] * 2
