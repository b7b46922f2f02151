"""A sweep of twelve small jobs and the faults that it must survive, on any engine; helpers of the tests here."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_resnet.attempts import attempts
from mnist_resnet.job_folder import read_metrics, write_atomically
from tests.small_sweeps import CHECKOUT, Place, assert_same_job, make_place, python_path, result_of, statuses

JOBS = 12
SLEEPY = """
import json, os, time
from pathlib import Path
from mnist_resnet.models.resnet import ResNet

NAP = Path(__file__).with_name("nap")
RECORDED = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")

class Sleepy(ResNet):
    def forward(self, images):
        if self.training:
            time.sleep(float(NAP.read_text()))
        return super().forward(images)

def network(**arguments):
    node = str(Path("/proc/self/ns/pid").readlink())
    seen = {name: os.environ.get(name) for name in RECORDED} | {"node": node}
    Path(__file__).with_name(f"seen-{os.getpid()}-{node}.json").write_text(json.dumps(seen))
    return Sleepy(**arguments)
"""
"""Source of a user's network that sleeps in each step, for as long as a file says, and records its environment.

Sleeping changes no result.
"""

TWELVE = (
    f"seed={','.join(str(seed) for seed in range(1, JOBS + 1))}",
    *("model._target_=sleepy.network", "trainer.epochs=8", "schedule=onecycle"),
    *("sweep.keep=model", "trainer.checkpoint_interval=0"),
)
"""Overrides of the sweep: 8 epochs of 4 steps, with dropout, a schedule, and a checkpoint after each epoch."""


@dataclass(frozen=True)
class Sandbox:
    """A folder to run sweeps of twelve jobs in.

    Attributes:
        place: The folder and its common overrides.
        modules: Folder on the module search path of every process.
    """

    place: Place
    modules: Path

    def folder(self, name: str) -> Path:
        """Return the folder of a sweep."""
        return self.place.folder / "multirun" / name

    def set_step_delay(self, seconds: float) -> None:
        """Let every step take so many seconds longer from now on, in all processes."""
        write_atomically(self.modules / "nap", str(seconds))

    def recorded_environments(self) -> list[dict[str, str]]:
        """Return what each process that built a network on a node recorded: its GPU, threads and node."""
        here = str(Path("/proc/self/ns/pid").readlink())
        recorded = [json.loads(file.read_text()) for file in self.modules.glob("seen-*.json")]
        return [environment for environment in recorded if environment["node"] != here]

    def clear_records(self) -> None:
        """Delete the recorded environments."""
        for file in self.modules.glob("seen-*.json"):
            file.unlink()

    def begin(
        self,
        name: str,
        *overrides: str,
        environment: Mapping[str, str] | None = None,
        inside: Callable[..., list[str]] = lambda *command: list(command),
    ) -> "Launch":
        """Launch the sweep of twelve jobs."""
        log = self.place.folder / f"{name}.txt"
        arguments = self.place.sweep(name, *TWELVE, *overrides)
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB", "HYDRA"))}
        with log.open("ab") as output:
            process = subprocess.Popen(
                inside(sys.executable, str(CHECKOUT / "train.py"), *arguments),
                cwd=self.place.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=inherited
                | {"PYTHONPATH": python_path(self.modules), "NETRC": "/nonexistent"}
                | dict(environment or {}),
                start_new_session=True,
            )
        return Launch(process, log, self.folder(name))


@dataclass(frozen=True)
class Launch:
    """A process that launched a sweep.

    Attributes:
        process: The process.
        log: File with its output.
        folder: The sweep folder.
    """

    process: subprocess.Popen[bytes]
    log: Path
    folder: Path

    def wait_for(self, condition: Callable[[], object], timeout: float = 300) -> None:
        """Wait until the condition holds."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < deadline, f"timed out:\n{self.describe()}"
            time.sleep(0.05)

    def ended(self, timeout: float = 600) -> int:
        """Wait for the process to end; return its exit code."""
        self.wait_for(lambda: self.process.poll() is not None, timeout)
        return int(self.process.wait())

    def kill(self) -> None:
        """Kill the process, but not its workers."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def describe(self) -> str:
        """Return the output of the process and its workers, and the jobs' statuses."""
        logs = [self.log, *sorted(self.folder.glob("launches/*.log"))]
        return "\n".join([*(f"--- {log.name}\n{log.read_text()}" for log in logs), str(statuses(self.folder))])

    def running(self) -> list[int]:
        """Return the numbers of the workers that have completed an epoch of the job they are running."""
        workers = []
        for job in self.folder.glob("seed=*/result.json"):
            last, result = attempts(job.parent)[-1], result_of(job.parent)
            # The result's number of epochs was written when the attempt started.
            is_its = last["ended"] is None and result["attempt"] == last["number"]
            if is_its and len(read_metrics(job.parent)) > result["epochs_completed"]:
                workers.append(int(last["worker"]))
        return workers

    def pid(self, worker: int) -> int | None:
        """Return the process ID of a worker on this machine; None if there is none."""
        expected = [str(self.folder.resolve()).encode(), b"--worker", str(worker).encode()]
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = file.read_bytes().split(b"\0")
            except OSError:
                continue
            if b"mnist_resnet.work" in words and all(word in words for word in expected):
                return int(file.parent.name)
        return None

    def kill_a_worker(self) -> int:
        """Kill the process of a worker that is running a job; return its number."""
        pids: dict[int, int] = {}

        def any_worker_runs() -> bool:
            # A worker that is dead already may count as running, until its job is taken over.
            pids.update({worker: pid for worker in self.running() if (pid := self.pid(worker))})
            return bool(pids)

        self.wait_for(any_worker_runs)
        worker, pid = next(iter(pids.items()))
        os.kill(pid, signal.SIGKILL)
        return worker

    def all_completed(self) -> bool:
        """Return whether every job is completed and its lease released."""
        done = [job for job, status in statuses(self.folder).items() if status == "completed"]
        return len(done) == JOBS and all(attempts(self.folder / job)[-1]["ended"] for job in done)


def make_sandbox(folder: Path) -> Sandbox:
    """Create a sandbox in `folder`, with the network on the module search path."""
    modules = folder / "modules"
    modules.mkdir()
    (modules / "sleepy.py").write_text(SLEEPY)
    sandbox = Sandbox(make_place(folder), modules)
    sandbox.set_step_delay(0)
    return sandbox


def assert_same_results(launch: Launch, reference: Path) -> None:
    """Assert that every job was completed exactly once, with the same bits as in the reference sweep."""
    assert launch.all_completed(), launch.describe()
    for job in sorted(launch.folder.glob("seed=*")):
        assert [attempt["status"] for attempt in attempts(job)].count("completed") == 1, attempts(job)
        assert attempts(job)[-1]["status"] == "completed"
        assert_same_job(job, reference / job.name)


def crash_reasons(folder: Path) -> Sequence[str]:
    """Return why attempts at the sweep's jobs died."""
    return [attempt["reason"] for job in folder.glob("seed=*") for attempt in attempts(job) if "reason" in attempt]


def end_statuses(folder: Path) -> Sequence[str]:
    """Return the statuses of attempts at the sweep's jobs that ended by themselves."""
    every = [attempt for job in folder.glob("seed=*") for attempt in attempts(job)]
    return [attempt["status"] for attempt in every if attempt["ended"] and "reason" not in attempt]
