"""Sweeps with workers, in separate processes: interrupted and killed while they train."""

import os
import signal
import time
from pathlib import Path

import pytest
import torch

from mnist_resnet.attempts import attempts
from mnist_resnet.job_folder import Status, read_metrics
from tests.small_sweeps import assert_same_job, make_place, result_of, statuses

WORKERS = ("hydra/launcher=workers", "hydra.launcher.workers=2")
OVERRIDES = (
    *("seed=1,2,3", "trainer.epochs=12", "data.batch_size=4", "schedule=onecycle", "sweep.keep=model"),
    *("trainer.checkpoint_interval=1000",),
)
"""Epochs of 16 steps, with dropout and a schedule; the only checkpoint is the one at the interruption."""


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the same sweep, run without interruption by one process."""
    place = make_place(tmp_path_factory.mktemp("uninterrupted"))
    done = place.start(place.sweep("whole", *OVERRIDES)).wait()
    assert done.code == 0, done.out
    return place.folder / "multirun" / "whole"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("signal_number", "code"),
    [(signal.SIGKILL, -9), (signal.SIGTERM, 128 + signal.SIGTERM), (signal.SIGINT, 128 + signal.SIGINT)],
)
def test_workers_write_checkpoints_and_end_with_their_launcher(
    tmp_path: Path, uninterrupted: Path, signal_number: signal.Signals, code: int
) -> None:
    place = make_place(tmp_path)
    arguments = place.sweep("ended", *OVERRIDES, *WORKERS)
    sweep = place.folder / "multirun" / "ended"
    process = place.start(arguments)
    process.wait_for(lambda: any(read_metrics(job) for job in sweep.glob("seed=*")), timeout=120)
    process.kill(signal_number)
    done = process.wait()
    assert done.code == code, done.out
    pids = [attempt["pid"] for job in sweep.glob("seed=*") for attempt in attempts(job)]
    _wait_until_gone(pids)
    interrupted = [name for name, status in statuses(sweep).items() if status == Status.INTERRUPTED]
    assert interrupted
    for name in interrupted:
        assert torch.load(sweep / name / "checkpoint.pt", weights_only=True)["step"] >= 0
        assert result_of(sweep / name)["attempts"][-1]["status"] == Status.INTERRUPTED
    if code > 0:
        assert f"ended by {signal_number.name}" in done.out
        assert (sweep / "table.md").exists()
    done = place.start(arguments).wait()
    assert done.code == 0, done.out
    for name in ("seed=1", "seed=2", "seed=3"):
        assert_same_job(sweep / name, uninterrupted / name)
    assert any("resumes after epoch" in line for line in done.out.splitlines())


def _wait_until_gone(pids: list[int], timeout: float = 60) -> None:
    """Wait until none of these processes is running."""
    until = time.monotonic() + timeout
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < until, f"still running: {[pid for pid in pids if _runs(pid)]}"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (ProcessLookupError, FileNotFoundError):
        return False


def test_different_jobs_run_side_by_side_and_a_diverging_one_does_not_affect_the_others(tmp_path: Path) -> None:
    place = make_place(tmp_path)
    mixed = ("model=stem3x3,stem7x7", "optim.lr=0.001,1e35", "trainer.epochs=1,2", "trainer.threads=1")
    for name, launcher in (("packed", WORKERS), ("alone", ())):
        done = place.start(place.sweep(name, *mixed, *launcher)).wait()
        assert done.code == 0, done.out
    packed, alone = (place.folder / "multirun" / name for name in ("packed", "alone"))
    ends = statuses(packed)
    assert ends == statuses(alone)
    assert sorted(ends.values()) == [Status.COMPLETED] * 4 + [Status.DIVERGED] * 4
    for name, status in ends.items():
        if status == Status.COMPLETED:
            assert_same_job(packed / name, alone / name)
