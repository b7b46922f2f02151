"""Detached workers: they outlive the command that started them, and are watched and stopped through the folder."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from mnist_resnet.attempts import attempts
from mnist_resnet.job_folder import Status
from mnist_resnet.jobs.worker_options import launches
from tests.small_sweeps import attempts as attempts_by_job
from tests.small_sweeps import make_place, statuses

DETACHED = ("hydra/launcher=workers", "hydra.launcher.workers=2", "sweep.detach=true")


def command(sweep: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    line = [sys.executable, "-m", "mnist_resnet.sweep", str(sweep), *arguments]
    return subprocess.run(line, capture_output=True, text=True, check=False, timeout=300)


def wait_for(condition: Callable[[], object], timeout: float = 200) -> None:
    until = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < until, "timed out"
        time.sleep(0.05)


def test_detached_workers_outlive_the_command_are_replaced_and_write_the_summary(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    done = place.start(place.sweep("away", "seed=1,2,3", "trainer.epochs=12", "data.batch_size=4", *DETACHED)).wait()
    assert done.code == 0, done.out
    assert "2 workers, each on " in done.out
    assert "python -m mnist_resnet.sweep multirun/away --watch" in done.out
    sweep = place.folder / "multirun" / "away"
    assert set(statuses(sweep).values()) <= {Status.RUNNING}, "the command did not wait"
    wait_for(lambda: attempts(sweep / "seed=1"))
    first = attempts(sweep / "seed=1")[0]
    assert os.getsid(int(first["pid"])) != os.getsid(0)
    os.kill(int(first["pid"]), signal.SIGKILL)
    watched = command(sweep, "--watch")
    assert watched.returncode == 0, watched.stdout
    assert watched.stdout.splitlines()[-1].endswith("3 jobs: 3 completed")
    assert pd.read_csv(sweep / "results.csv")["status"].tolist() == ["completed"] * 3, (
        "--watch waits for the table, too"
    )
    wait_for(lambda: not launches(sweep))
    assert attempts_by_job(sweep) == {"seed=1": 2, "seed=2": 1, "seed=3": 1}
    assert "killed by signal 9" in attempts(sweep / "seed=1")[0]["reason"]
    assert [end["status"] for end in attempts(sweep / "launches" / "conclusion")] == [Status.COMPLETED]


@pytest.mark.slow
def test_workers_are_added_to_a_stopped_sweep_and_stopped_again(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    arguments = place.sweep("more", "seed=1,2", "trainer.epochs=2000", "data.batch_size=4", *DETACHED)
    assert place.start(arguments).wait().code == 0
    sweep = place.folder / "multirun" / "more"
    for number in (1, 2):
        wait_for(lambda: len(attempts(sweep / "seed=2")) == number)  # noqa: B023
        assert command(sweep, "--stop").returncode == 0
        assert set(statuses(sweep).values()) == {Status.INTERRUPTED}
        wait_for(lambda: not launches(sweep))
        assert pd.read_csv(sweep / "results.csv")["status"].tolist() == ["interrupted"] * 2
        if number == 1:
            added = command(sweep, "--workers", "2")
            assert added.returncode == 0, added.stderr
            assert "they go on when this terminal closes" in added.stdout
