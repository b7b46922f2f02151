"""Two machines with one network disk between them, whose cable, server, clocks and processes fail under a sweep."""

import hashlib
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from mnist_resnet.attempts import STALE_VARIABLE, attempts
from mnist_resnet.job_folder import read_metrics
from tests.engines.faults import Sandbox
from tests.engines.machines import Process, wait_for
from tests.engines.network_disk import NetworkDisk, missing, network_disk
from tests.small_sweeps import CHECKOUT, assert_same_job, statuses

pytestmark = pytest.mark.slow

STALE_AFTER = 15
"""Seconds without a heartbeat after which a process on the other machine counts as dead. The default is 90."""
STEP_DELAY = 1.5
"""Seconds for each of a job's 32 steps while something fails."""
SEEDS = ("seed=1,2",)
SEARCH = (
    *("hydra/sweeper=search", "hydra/sweeper/sampler=random", "hydra/sweeper/pruner=none", "sweep.trials=3"),
    *("optim.lr=tag(log,interval(1e-4,1e-2))", "data.val_size=16"),
)
OVERRIDES = (
    *("model._target_=sleepy.network", "trainer.epochs=8", "schedule=onecycle"),
    *("sweep.keep=model", "trainer.checkpoint_interval=0"),
)
REFERENCE = OVERRIDES
KINDS = [
    pytest.param(kind, marks=pytest.mark.skipif(missing(kind) is not None, reason=str(missing(kind))))
    for kind in ("glusterfs", "sshfs")
]


@dataclass(frozen=True)
class Study:
    """A sweep or search on a network disk, which both machines run.

    Attributes:
        disk: The disk.
        sandbox: Where the machines find images and the network, on a disk of their own.
        reference: The sweep's jobs, run without faults.
        swept: What makes it a sweep or a search.
    """

    disk: NetworkDisk
    sandbox: Sandbox
    reference: Path
    swept: tuple[str, ...] = SEEDS

    @property
    def folder(self) -> Path:
        """The sweep folder, as it lies on the server."""
        return self.disk.brick / "sweep"

    def begin(self, machine: str, *overrides: str, **environment: str) -> Process:
        """Type the command on a machine."""
        arguments = self.sandbox.place.sweep(
            None, *self.swept, *OVERRIDES, f"hydra.sweep.dir={self.disk.mounted / 'sweep'}", *overrides
        )
        environment |= {"PYTHONPATH": str(self.sandbox.modules), STALE_VARIABLE: str(STALE_AFTER)}
        command = (sys.executable, str(CHECKOUT / "train.py"), *arguments)
        return self.disk.clients[machine].begin(*command, log="train", **environment)

    def held_by(self, machine: str) -> str | None:
        """Return the job that a process on a machine has trained for an epoch at least; None if there is none."""
        for job in self.folder.glob("*=*"):
            last = (attempts(job) or [{"ended": True}])[-1]
            if last["ended"] is None and last["host"] == machine and read_metrics(job):
                return job.name
        return None

    def begin_both(self, *overrides: str, **environment: str) -> tuple[Process, Process, str]:
        """Let each machine run a job; return both processes, and the first one's job."""
        self.sandbox.set_step_delay(STEP_DELAY)
        one, two = self.begin("one", *overrides), self.begin("two", *overrides, **environment)
        wait_for(lambda: self.held_by("one") and self.held_by("two"), 300, self.disk.logs)
        return one, two, str(self.held_by("one"))

    def content(self, job: str) -> dict[str, str]:
        """Return a digest of each file in a job's folder."""
        files = [file for file in (self.folder / job).rglob("*") if file.is_file()]
        return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}

    def finish(self) -> None:
        """Type the command again on both machines; check the results, a sweep's against a quiet run."""
        self.sandbox.set_step_delay(0)
        again = [self.begin(machine) for machine in self.disk.clients]
        assert [process.ended() for process in again] == [0, 0], self.disk.logs()
        jobs = statuses(self.folder)
        assert list(jobs.values()) == ["completed"] * (2 if self.swept == SEEDS else 3), jobs
        for job in jobs:
            ends = [attempt["status"] for attempt in attempts(self.folder / job)]
            assert (ends.count("completed"), ends[-1]) == (1, "completed")
            assert not list((self.folder / job).glob(".*.*")), "nothing is left half-written"
            if self.swept == SEEDS:
                assert_same_job(self.folder / job, self.reference / job)


@pytest.fixture(params=KINDS)
def study(
    request: pytest.FixtureRequest, sandbox: Sandbox, reference: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Study]:
    with network_disk(request.param, tmp_path_factory.mktemp("disk")) as disk:
        yield Study(disk, sandbox, reference)


@pytest.fixture(scope="module")
def shifted_clock(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library whose `CLOCK_SHIFT` shifts the clock of the programs that preload it, by seconds."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed (apt-get install gcc libc6-dev)")
    library = tmp_path_factory.mktemp("clock") / "shifted_clock.so"
    source = Path(__file__).with_name("shifted_clock.c")
    subprocess.run(["gcc", "-shared", "-fPIC", "-O2", "-Wall", "-Werror", "-o", library, source], check=True)
    return library


@pytest.mark.parametrize("swept", [SEEDS, SEARCH], ids=["sweep", "search"])
def test_machine_that_is_cut_off_loses_its_job_and_writes_nothing_more(study: Study, swept: tuple[str, ...]) -> None:
    study = replace(study, swept=swept)
    one, two, job = study.begin_both()
    study.disk.clients["one"].plug(False)
    study.sandbox.set_step_delay(0)
    assert two.ended() == 0, two.output()
    waits = "other processes run the last trials; waiting" if swept == SEARCH else f"{job}: held by process"
    assert waits in two.output()
    before = study.content(job)
    study.disk.clients["one"].plug(True)
    assert one.ended() in (0, 1), one.output()
    assert "Traceback" not in one.output()
    assert study.content(job) == before
    study.finish()


def test_suspended_machine_loses_its_job_and_writes_nothing_more(study: Study) -> None:
    one, two, job = study.begin_both()
    one.send(signal.SIGSTOP)
    study.sandbox.set_step_delay(0)
    assert two.ended() == 0, two.output()
    before = study.content(job)
    one.send(signal.SIGCONT)
    assert one.ended() == 0, one.output()
    assert "was taken over by process" in one.output()
    assert study.content(job) == before
    study.finish()


def test_server_that_comes_back_finds_both_at_work_or_gone_with_a_line(study: Study) -> None:
    one, two, _ = study.begin_both()
    study.disk.stop()
    time.sleep(2 * STALE_AFTER)
    study.disk.start()
    for process in (one, two):
        assert process.ended() in (0, 1), process.output()
        assert "Traceback" not in process.output()
    study.finish()


def test_full_disk_ends_both_with_a_line_and_loses_nothing(study: Study) -> None:
    one, two, _ = study.begin_both()
    filler = study.disk.fill()
    for process in (one, two):
        assert process.ended() == 1, process.output()
        # The protocol of sshfs has no word for a full disk.
        reason = "No space left on device" if study.disk.kind == "glusterfs" else "Input/output error"
        assert reason in process.output()
        assert "Traceback" not in process.output()
    filler.unlink()
    study.finish()


@pytest.mark.parametrize("minutes", [-7, 7], ids=["slow", "fast"])
def test_clocks_minutes_apart_kill_nobody_and_keep_nobody_alive(
    study: Study, shifted_clock: Path, minutes: int
) -> None:
    one, two, job = study.begin_both(LD_PRELOAD=str(shifted_clock), CLOCK_SHIFT=str(60 * minutes))
    study.sandbox.set_step_delay(3 * STEP_DELAY)
    others = str(study.held_by("two"))
    started = [datetime.fromisoformat(attempts(study.folder / name)[-1]["started"]) for name in (job, others)]
    assert abs(started[1] - started[0] - timedelta(minutes=minutes)) < timedelta(minutes=2)
    time.sleep(2 * STALE_AFTER)
    assert (study.held_by("one"), study.held_by("two")) == (job, others)
    two.kill()
    study.sandbox.set_step_delay(0)
    assert one.ended() == 0, one.output()
    assert [len(attempts(study.folder / name)) for name in (job, others)] == [1, 2]
    study.finish()
