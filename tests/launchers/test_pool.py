"""Pools of workers: each job is run once, and jobs of dead workers are retried."""

import errno
import json
import math
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.attempts import attempts as read_attempts
from mnist_resnet.jobs.crash import CrashedAttempt, handle_crash
from mnist_resnet.jobs.lease import acquire_lease
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.jobs.worker_options import WorkerOptions, launches
from mnist_resnet.launchers import devices
from mnist_resnet.launchers.devices import placements
from mnist_resnet.launchers.engine import WorkerProcess, WorkerRequest, WorkerStarter
from mnist_resnet.launchers.node import NodeSupervisor, _Slot
from mnist_resnet.launchers.pool import WorkerPool
from mnist_resnet.launchers.worker import work
from mnist_resnet.sweeps.folder import Sweep, job_state
from mnist_resnet.sweeps.pending import PendingSweepJobs
from mnist_resnet.tracking.console import ProgressConsole
from tests.launchers.fateful_network import TARGET
from tests.launchers.written_options import write_options, write_unsupervised_options
from tests.small_sweeps import Place, Run, assert_same_job, attempts, result_of, statuses


def test_ctrl_c_ends_a_worker_that_is_just_starting_without_a_traceback(tmp_path: Path) -> None:
    worker = WorkerStarter().start([str(tmp_path)], placements(1, [], 1)[0])
    worker.send(signal.SIGINT)
    assert worker.exit_reason() == "ended by signal 2 (Interrupt)"
    assert worker.lines() == []


WORKERS = ("hydra/launcher=workers", "hydra.launcher.workers=2")


def test_two_workers_run_each_of_six_jobs_once_with_the_same_bits_as_in_sequence(sweep: Run, place: Place) -> None:
    jobs = ["seed=1,2,3,4,5,6", "sweep.keep=model"]
    done = sweep("side_by_side", *jobs, *WORKERS)
    assert done.code == 0, done.out + done.err
    folder = place.multirun / "side_by_side"
    assert attempts(folder) == {f"seed={seed}": 1 for seed in range(1, 7)}
    assert set(statuses(folder).values()) == {"completed"}
    assert sweep("one_by_one", *jobs).code == 0
    for name in attempts(folder):
        assert_same_job(folder / name, place.multirun / "one_by_one" / name)
    assert len(pd.read_csv(folder / "results.csv")) == 6
    lines = done.out.splitlines()
    for seed in range(1, 7):
        assert f"seed={seed}: 2 epochs of 4 batches" in lines
        assert any(line.startswith(f"seed={seed}: epoch 1/1  train ") for line in lines)
    assert "6 of 6 jobs ended" in lines
    assert done.out.count("written to multirun/side_by_side: table.md") == 1
    assert not launches(folder), "the worker options are removed"
    assert "0 of 6 jobs to run" in sweep("side_by_side", *jobs, *WORKERS).out


@pytest.mark.slow
def test_each_worker_sees_one_gpu_and_its_share_of_the_cores(
    sweep: Run, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "visible_gpus", lambda: ["GPU-a", "3"])
    monkeypatch.setattr(devices, "usable_cores", lambda: 2)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    own = [f"model._target_={TARGET}", "+model.fate=meets1,meets2", "trainer.threads=null"]
    done = sweep("gpus", *own, "hydra/launcher=workers")
    assert done.code == 0, done.out + done.err
    assert "2 workers on GPU GPU-a, GPU 3" in done.out
    seen = [json.loads(file.read_text()) for file in (place.folder / "modules").glob("meets*.json")]
    assert sorted((one["CUDA_VISIBLE_DEVICES"], one["OMP_NUM_THREADS"], one["threads"]) for one in seen) == [
        ("3", "1", 1),
        ("GPU-a", "1", 1),
    ]
    assert {result_of(folder)["numerics"]["threads"] for folder in (place.multirun / "gpus").glob("model*")} == {1}


def test_killed_worker_is_replaced_and_only_the_job_that_kills_its_workers_fails(sweep: Run, place: Place) -> None:
    own = [f"model._target_={TARGET}", "sweep.keep=model", "trainer.checkpoint_interval=0"]
    fates = "+model.fate=raises,dies,dies_once,lives"
    done = sweep("dying", *own, fates, "sweep.retries=1", *WORKERS)
    assert done.code == 1, done.out + done.err
    folder = place.multirun / "dying"
    assert statuses(folder) == {
        "model.fate=dies": "failed",
        "model.fate=dies_once": "completed",
        "model.fate=lives": "completed",
        "model.fate=raises": "failed",
    }
    assert attempts(folder) == {
        "model.fate=dies": 3,
        "model.fate=dies_once": 2,
        "model.fate=lives": 1,
        "model.fate=raises": 1,
    }, "two tries and the final failure; a job that failed by itself is not retried by a new worker"
    # Weights, dropout and batch order of the job that was killed equal those of the job that was not.
    assert_same_job(folder / "model.fate=dies_once", folder / "model.fate=lives")
    failed = result_of(folder / "model.fate=dies")
    assert failed["error"]["message"] == "killed by signal 9, out of memory? (2 times, sweep.retries=1)"
    reason = "killed by signal 9, out of memory?"
    assert [attempt.get("reason") for attempt in failed["attempts"]] == [reason, reason, None]
    assert failed["epochs_completed"] == 1
    assert failed["last"]["epoch"] == 0
    assert "model.fate=dies_once: killed by signal 9, out of memory?; resumes from its last checkpoint" in done.out
    assert "model.fate=dies: failed: ProcessDied: killed by signal 9" in done.out[done.out.index("Failed, or") :]


def test_worker_that_dies_after_its_jobs_result_is_replaced_however_often(
    sweep: Run, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_resnet.launchers.pool.MAX_FAILED_STARTS", 1)
    own = ["tracking._target_=fateful.DiesAfterTheResult", "hydra/launcher=workers", "hydra.launcher.workers=1"]
    done = sweep("short_lived", "seed=1,2", *own)
    assert done.code == 0, done.out + done.err
    folder = place.multirun / "short_lived"
    assert statuses(folder) == {"seed=1": "completed", "seed=2": "completed"}
    assert attempts(folder) == {"seed=1": 1, "seed=2": 1}


class EndedWorker:
    """A worker that has ended; a reason tells why it died."""

    pid = os.getpid()

    def __init__(self, reason: str | None) -> None:
        self._reason = reason

    def is_alive(self) -> bool:
        return False

    def exit_reason(self) -> str | None:
        return self._reason

    def send(self, signal_number: int) -> None:
        pass

    def lines(self) -> list[str]:
        return []


def test_job_of_a_dead_worker_waits_for_its_supervisor_and_fails_after_the_last_retry(frozen: Sweep) -> None:
    options, monitor = write_options(frozen), LeaseMonitor()
    job = frozen.jobs[0]
    folder = frozen.folder_of(job)
    for number in (1, 2):
        assert options.may_take_over(folder)
        _abandon(folder, launch="1234", worker=number)
        assert not options.may_take_over(folder), "workers of its own launch wait for the supervisor"
        assert WorkerOptions(frozen.folder, "another", {}, "continue", "").may_take_over(folder)
        crashed = CrashedAttempt.of(folder, "1234", number, "killed by signal 11 (Segmentation fault)")
        assert crashed is not None
        assert crashed.crashes == number
        assert handle_crash(job, crashed, retries=1, monitor=monitor) == (number == 2)
        assert CrashedAttempt.of(folder, "1234", number, "again") is None, "a crash is counted once"
    assert job_state(frozen, job, monitor).status == "failed"
    message = "killed by signal 11 (Segmentation fault) (2 times, sweep.retries=1)"
    assert result_of(folder)["error"]["message"] == message
    assert [attempt["status"] for attempt in result_of(folder)["attempts"]] == ["interrupted", "interrupted", "failed"]


def _pool(frozen: Sweep, monkeypatch: pytest.MonkeyPatch, *reasons: str | None) -> tuple[WorkerPool, list[str]]:
    """Return a pool whose workers have ended for these reasons, one after another, and what it logs."""
    options, workers, lines = write_options(frozen), iter(map(EndedWorker, reasons)), list[str]()
    starter, progress = WorkerStarter(), ProgressConsole(2)
    monkeypatch.setattr(starter, "start", lambda *_: next(workers))
    monkeypatch.setattr(progress, "log", lines.append)
    pending = PendingSweepJobs(frozen, frozen.jobs, options)
    return WorkerPool(pending, options, 2, starter, progress, Interrupt()), lines


def _fail_to_read(monkeypatch: pytest.MonkeyPatch, times: float) -> None:
    """Let a file server fail so many times to deliver the attempts at a job."""
    left = [times]

    def read(folder: Path) -> list[dict[str, Any]]:
        left[0] -= 1
        if left[0] >= 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read_attempts(folder)

    monkeypatch.setattr("mnist_resnet.jobs.crash.attempts", read)
    monkeypatch.setattr("mnist_resnet.launchers.node.attempts", read)


def test_crash_that_cannot_be_recorded_at_present_is_recorded_later(
    frozen: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool, lines = _pool(frozen, monkeypatch, "killed", None)
    folder = frozen.folder_of(frozen.jobs[0])
    _abandon(folder, launch="1234", worker=1)
    _fail_to_read(monkeypatch, 3)
    pool.run(placements(1, [], cores=1))
    assert [attempt.get("reason") for attempt in read_attempts(folder)] == ["killed"]
    assert len([line for line in lines if "can't be recorded at present" in line]) == 1
    assert "Input/output error" in lines[0]


def test_crash_that_can_never_be_recorded_ends_the_launch(frozen: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    pool, _ = _pool(frozen, monkeypatch, "killed")
    monkeypatch.setattr(pool._monitor, "stale_after", 0.3)
    _fail_to_read(monkeypatch, math.inf)
    with pytest.raises(OSError, match="Input/output error"):
        pool.run(placements(1, [], cores=1))


@pytest.mark.parametrize(("status", "reason"), [("completed", None), ("interrupted", "killed")])
def test_node_counts_a_worker_that_began_a_job_whatever_became_of_it(
    frozen: Sweep, status: str, reason: str | None
) -> None:
    request = WorkerRequest(frozen.folder, "1234", 1, [])
    supervisor, slot = NodeSupervisor(request, 1, 1, placements(1, [], cores=1)[0]), EndedWorker("killed")
    assert not supervisor._record_reason(_Slot(1, cast(WorkerProcess, slot)), "killed")
    folder = frozen.folder_of(frozen.jobs[0])
    lease = acquire_lease(folder, LeaseMonitor(), {"launch": "1234", "worker": 1})
    assert lease is not None
    lease.release(status)
    assert supervisor._record_reason(_Slot(1, cast(WorkerProcess, slot)), "killed")
    assert read_attempts(folder)[0].get("reason") == reason


def test_node_goes_on_where_attempts_cannot_be_read(frozen: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    request = WorkerRequest(frozen.folder, "1234", 1, [])
    supervisor = NodeSupervisor(request, 1, 1, placements(1, [], cores=1)[0])
    _fail_to_read(monkeypatch, math.inf)
    assert not supervisor._record_reason(_Slot(1, cast(WorkerProcess, EndedWorker("killed"))), "killed")


def test_crashes_of_another_launch_do_not_count(frozen: Sweep) -> None:
    folder = frozen.folder_of(frozen.jobs[0])
    _abandon(folder, launch="before", worker=1)
    before = CrashedAttempt.of(folder, "before", 1, "killed")
    assert before is not None
    handle_crash(frozen.jobs[0], before, retries=1, monitor=LeaseMonitor())
    _abandon(folder, launch="1234", worker=1)
    now = CrashedAttempt.of(folder, "1234", 1, "killed")
    assert now is not None
    assert (now.attempt, now.crashes) == (2, 1)


def test_unsupervised_worker_that_takes_over_a_job_counts_its_crashes(frozen: Sweep) -> None:
    write_unsupervised_options(frozen)
    job = next(job for job in frozen.jobs if "lives" in job.name)
    folder = frozen.folder_of(job)
    for number in (1, 2, 3):
        _abandon(folder, launch="1234", worker=number)
    assert work(frozen.folder, "1234", 4, [TARGET]) == 0
    result = result_of(folder)
    assert result["status"] == "failed"
    assert result["error"]["message"].endswith("died, or was cut off (3 times, sweep.retries=2)")
    assert all("died, or was cut off" in attempt["reason"] for attempt in result["attempts"][:3])
    assert attempts(frozen.folder) == {"model.fate=raises": 1, "model.fate=lives": 4}


def test_job_within_its_retry_budget_is_continued_and_interruptions_do_not_count(frozen: Sweep) -> None:
    write_unsupervised_options(frozen)
    folder = frozen.folder_of(next(job for job in frozen.jobs if "lives" in job.name))
    _abandon(folder, launch="1234", worker=1)
    for _ in range(3):
        lease = acquire_lease(folder, LeaseMonitor())
        assert lease is not None
        lease.release("interrupted")
    _abandon(folder, launch="1234", worker=2)
    assert work(frozen.folder, "1234", 3, [TARGET]) == 0
    assert result_of(folder)["status"] == "completed"


ACQUIRING = """
import os, sys
from pathlib import Path
from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.jobs.lease import acquire_lease
acquire_lease(Path(sys.argv[1]), LeaseMonitor(), {"launch": sys.argv[2], "worker": int(sys.argv[3])})
os._exit(0)
"""


def _abandon(folder: Path, launch: str, worker: int) -> None:
    """Leave an attempt as a killed process does: neither held nor ended."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", ACQUIRING, str(folder), launch, str(worker)]
    subprocess.run(command, check=True, env=environment)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("", None),
        ("raise SystemExit(3)", "ended with exit code 3"),
        ("os.kill(os.getpid(), 9)", "killed by signal 9, out of memory?"),
        ("os.kill(os.getpid(), 11)", "killed by signal 11 (Segmentation fault)"),
        ("raise SystemExit(143)", "ended by signal 15 (Terminated)"),
    ],
)
def test_exit_reason_of_a_worker_process(code: str, reason: str | None) -> None:
    output = tempfile.TemporaryFile()  # noqa: SIM115 (closed by the worker)
    command = [sys.executable, "-c", f"import os; print('one\\ntwo', end='', flush=True); {code}"]
    worker = WorkerProcess(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output), output)
    assert worker.exit_reason() == reason
    assert worker.lines() == ["one", "two"]
    worker.send(signal.SIGTERM)
    assert not worker.is_alive()
