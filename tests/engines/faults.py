"""Twelve small jobs on any engine, and the faults that they must survive: helpers of the tests in this folder."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_resnet.job_folder import read_metrics, write_atomically
from mnist_resnet.jobs.lease import attempts
from tests.small_sweeps import CHECKOUT, Place, assert_same_job, make_place, result_of, statuses

JOBS = 12
SLEEPY = """
import json, os, time
from pathlib import Path
from mnist_resnet.models.resnet import ResNet

NAP = Path(__file__).with_name("nap")
SEES = ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")

class Sleepy(ResNet):
    def forward(self, images):
        if self.training:
            time.sleep(float(NAP.read_text()))
        return super().forward(images)

def network(**arguments):
    node = str(Path("/proc/self/ns/pid").readlink())
    sees = {name: os.environ.get(name) for name in SEES} | {"node": node}
    Path(__file__).with_name(f"seen-{os.getpid()}-{node}.json").write_text(json.dumps(sees))
    return Sleepy(**arguments)
"""
"""A user's own network, which takes as long as a file says at the time and computes the same; it tells what it sees."""

TWELVE = (
    f"seed={','.join(str(seed) for seed in range(1, JOBS + 1))}",
    *("model._target_=sleepy.network", "trainer.epochs=8", "schedule=onecycle"),
    *("sweep.keep=model", "trainer.checkpoint_interval=0"),
)
"""Epochs of 4 steps, with dropout, a schedule, and a checkpoint at each end."""


@dataclass(frozen=True)
class Ground:
    """A place to run sweeps of twelve in.

    Attributes:
        place: of the tests.
        modules: on the path of every process.
    """

    place: Place
    modules: Path

    def folder(self, name: str) -> Path:
        """Of a sweep."""
        return self.place.folder / "multirun" / name

    def nap(self, seconds: float) -> None:
        """Let every step take so much longer from now on, in whichever process."""
        write_atomically(self.modules / "nap", str(seconds))

    def seen(self) -> list[dict[str, str]]:
        """What each process that built a network on a node saw: its GPU, its threads, and which node that was."""
        here = str(Path("/proc/self/ns/pid").readlink())
        seen = [json.loads(file.read_text()) for file in self.modules.glob("seen-*.json")]
        return [one for one in seen if one["node"] != here]

    def forget(self) -> None:
        """Forget what was seen."""
        for file in self.modules.glob("seen-*.json"):
            file.unlink()

    def begin(
        self,
        name: str,
        *overrides: str,
        environment: Mapping[str, str] | None = None,
        inside: Callable[..., list[str]] = lambda *command: list(command),
    ) -> "Launch":
        """Launch the sweep of twelve."""
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
                env=inherited | {"PYTHONPATH": str(self.modules), "NETRC": "/nonexistent"} | dict(environment or {}),
                start_new_session=True,
            )
        return Launch(process, log, self.folder(name))


@dataclass(frozen=True)
class Launch:
    """A process that launched a sweep.

    Attributes:
        process: of the operating system.
        log: with what it printed.
        folder: of the sweep.
    """

    process: subprocess.Popen[bytes]
    log: Path
    folder: Path

    def wait_for(self, what: Callable[[], object], timeout: float = 300) -> None:
        """Wait until `what` gives something true."""
        until = time.monotonic() + timeout
        while not what():
            assert time.monotonic() < until, f"waited in vain:\n{self.told()}"
            time.sleep(0.05)

    def ended(self, timeout: float = 600) -> int:
        """Wait for its end; gives the exit code."""
        self.wait_for(lambda: self.process.poll() is not None, timeout)
        return int(self.process.wait())

    def kill(self) -> None:
        """Kill it, and nothing else."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def told(self) -> str:
        """What it and the workers printed, and how the jobs stand."""
        logs = [self.log, *sorted(self.folder.glob("launches/*.log"))]
        return "\n".join([*(f"--- {log.name}\n{log.read_text()}" for log in logs), str(statuses(self.folder))])

    def running(self) -> list[int]:
        """The workers that are within a job, an epoch or more after its start, by their numbers."""
        found = []
        for job in self.folder.glob("seed=*/result.json"):
            last, result = attempts(job.parent)[-1], result_of(job.parent)
            # What the result says of epochs was written when the attempt began.
            is_its = last["ended"] is None and result["attempt"] == last["number"]
            if is_its and len(read_metrics(job.parent)) > result["epochs_completed"]:
                found.append(int(last["worker"]))
        return found

    def pid(self, worker: int) -> int | None:
        """Of the process of a worker, as this machine counts."""
        wanted = [str(self.folder.resolve()).encode(), b"--worker", str(worker).encode()]
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = file.read_bytes().split(b"\0")
            except OSError:
                continue
            if b"mnist_resnet.work" in words and all(word in words for word in wanted):
                return int(file.parent.name)
        return None

    def kill_a_worker(self) -> int:
        """Kill the process of a worker that is within a job; gives its number."""
        found: dict[int, int] = {}

        def somebody_is_at_work() -> bool:
            # A worker that is dead already may be taken for one at work, until its job is taken over.
            found.update({worker: pid for worker in self.running() if (pid := self.pid(worker))})
            return bool(found)

        self.wait_for(somebody_is_at_work)
        worker, pid = next(iter(found.items()))
        os.kill(pid, signal.SIGKILL)
        return worker

    def all_completed(self) -> bool:
        """Whether every job has a result, and has been let go by whoever made it."""
        done = [job for job, status in statuses(self.folder).items() if status == "completed"]
        return len(done) == JOBS and all(attempts(self.folder / job)[-1]["ended"] for job in done)


def make_ground(folder: Path) -> Ground:
    """A place in `folder`, with the network on the path."""
    modules = folder / "modules"
    modules.mkdir()
    (modules / "sleepy.py").write_text(SLEEPY)
    ground = Ground(make_place(folder), modules)
    ground.nap(0)
    return ground


def assert_quiet(launch: Launch, quiet: Path) -> None:
    """Every job has one accepted result, with the bits of the quiet sweep's."""
    assert launch.all_completed(), launch.told()
    for job in sorted(launch.folder.glob("seed=*")):
        assert [attempt["status"] for attempt in attempts(job)].count("completed") == 1, attempts(job)
        assert attempts(job)[-1]["status"] == "completed"
        assert_same_job(job, quiet / job.name)


def reasons(folder: Path) -> Sequence[str]:
    """Why attempts at the sweep's jobs died."""
    return [attempt["reason"] for job in folder.glob("seed=*") for attempt in attempts(job) if "reason" in attempt]


def ends(folder: Path) -> Sequence[str]:
    """How attempts at the sweep's jobs ended that said so themselves."""
    every = [attempt for job in folder.glob("seed=*") for attempt in attempts(job)]
    return [attempt["status"] for attempt in every if attempt["ended"] and "reason" not in attempt]
