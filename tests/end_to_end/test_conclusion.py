"""What sums up a sweep is written once, by whoever ends last; real processes."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pandas as pd

from mnist_resnet.attempts import attempts
from mnist_resnet.job_folder import Status
from tests.small_sweeps import CHECKOUT, Place, make_place
from tests.small_sweeps import attempts as attempts_by_job

TRACKER = """
import os
from pathlib import Path
from mnist_resnet.tracking.no_tracker import NoTracker

class Tracker(NoTracker):
    def __init__(self, **settings):
        pass

    def sweep_ended(self, folder, table):
        told = Path(__file__).with_name("told.txt")
        is_first = not told.exists()
        told.open("a").write(f"{len(table)}\\n")
        if is_first:
            os.kill(os.getpid(), 9)
"""
"""A user's tracker that takes its process down the first time that it is told of a sweep's end."""


def writers(sweep: Path) -> list[str]:
    """How each attempt at summing up ended."""
    return [str(attempt["status"]) for attempt in attempts(sweep / "launches" / "conclusion")]


def run(place: Place, *command: str) -> "subprocess.CompletedProcess[str]":
    path = os.pathsep.join([str(CHECKOUT), str(place.folder / "modules")])
    return subprocess.run(
        [sys.executable, *command],
        cwd=place.folder,
        env=os.environ | {"PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_of_two_terminals_one_writes_and_the_other_says_who_did(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    arguments = place.sweep("both", "seed=1,2,3")
    both = [place.begin(arguments, log) for log in ("one", "other")]
    ended = [one.ended() for one in both]
    sweep = place.folder / "multirun" / "both"
    assert [done.code for done in ended] == [0, 0], ended
    assert writers(sweep) == [Status.COMPLETED]
    wrote = [process for process, done in zip(both, ended, strict=True) if "written to multirun/both: " in done.out]
    assert len(wrote) == 1
    other = next(done for process, done in zip(both, ended, strict=True) if process not in wrote)
    assert f"written to multirun/both by process {wrote[0].process.pid} on " in other.out
    assert all("3 jobs: 3 completed" in done.out for done in ended), "both show the table"


def test_who_comes_after_a_writer_that_was_killed_finishes_and_a_worker_by_hand_writes_what_is_new(
    tmp_path: Path,
) -> None:
    place = make_place(tmp_path)
    (place.folder / "modules").mkdir()
    (place.folder / "modules" / "deadly.py").write_text(TRACKER)
    told = place.folder / "modules" / "told.txt"
    sweep = place.folder / "multirun" / "killed"
    train = [str(CHECKOUT / "train.py"), *place.sweep("killed", "seed=1,2", "tracking._target_=deadly.Tracker")]
    assert run(place, *train).returncode == -signal.SIGKILL
    assert told.read_text() == "2\n"
    again = run(place, *train)
    assert again.returncode == 0, again.stderr
    assert "0 of 2 jobs to run" in again.stdout
    assert "written to multirun/killed: table.md" in again.stdout
    assert told.read_text() == "2\n2\n"
    assert writers(sweep) == [Status.INTERRUPTED, Status.COMPLETED]

    shutil.rmtree(sweep / "seed=2")
    for _ in range(2):
        worker = run(place, "-m", "mnist_resnet.work", str(sweep), "--trust", "deadly.Tracker")
        assert worker.returncode == 0, worker.stderr
    assert " by process " in worker.stdout, "nothing has changed since"
    assert told.read_text() == "2\n2\n2\n"
    assert writers(sweep)[2:] == [Status.COMPLETED]
    assert attempts_by_job(sweep) == {"seed=1": 1, "seed=2": 1}
    assert pd.read_csv(sweep / "results.csv")["status"].tolist() == ["completed"] * 2
