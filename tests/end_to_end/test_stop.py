"""A stop request in the sweep folder ends all workers; real processes that train."""

import subprocess
import sys
from pathlib import Path

import pytest

from mnist_resnet.attempts import attempts
from mnist_resnet.job_folder import Status, read_metrics
from tests.small_sweeps import make_place, result_of, statuses

LONG = ("seed=1,2", "trainer.epochs=2000", "data.batch_size=4", "trainer.checkpoint_interval=1000")
"""Far more epochs than any test waits for; the only checkpoint is the one at the stop."""


@pytest.mark.parametrize(
    "launcher",
    [
        ("hydra/launcher=sequential",),
        ("hydra/launcher=workers", "hydra.launcher.workers=2"),
        pytest.param(("hydra/launcher=basic",), marks=pytest.mark.slow),
    ],
    ids=["sequential", "workers", "basic"],
)
def test_stop_ends_all_jobs_with_a_checkpoint_and_the_next_launch_resumes(
    tmp_path: Path, launcher: tuple[str, ...]
) -> None:
    place = make_place(tmp_path)
    arguments = place.sweep("stopped", *LONG, *launcher)
    sweep = place.folder / "multirun" / "stopped"
    process = place.start(arguments)
    process.wait_for(lambda: any(read_metrics(job) for job in sweep.glob("seed=*")), timeout=120)
    stopped = _stop(sweep)
    assert stopped.returncode == 0, stopped.stderr
    assert "stopping: seed=1 (process " in stopped.stdout
    done = process.wait()
    assert done.code == 143, done.out
    assert "ended by a stop request" in done.out
    ended = statuses(sweep)
    assert set(ended.values()) == {Status.INTERRUPTED}
    for name in ended:
        assert (sweep / name / "checkpoint.pt").exists()
        assert [attempt["status"] for attempt in attempts(sweep / name)] == [Status.INTERRUPTED]
    if launcher != ("hydra/launcher=sequential",):
        return
    again = place.start(arguments)
    again.wait_for(lambda: statuses(sweep)["seed=1"] == Status.RUNNING, timeout=120)
    assert result_of(sweep / "seed=1")["attempt"] == 2, "a launch ignores earlier stop requests"
    assert _stop(sweep).returncode == 0
    assert again.wait().code == 143


def _stop(sweep: Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "mnist_resnet.sweep", str(sweep), "--stop"]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
