"""Workers as one Slurm job array, submitted through submitit; works with and without Slurm's accounting.

Slurm tells a worker's process of its end by signals, and submitit's own handlers give way to ours:

- Preempted, or cancelled: SIGTERM, and `KillWait` or `GraceTime` seconds later SIGKILL. The worker writes its
  checkpoint and ends; a preempted one is queued again by Slurm.
- Out of time: SIGUSR2, `slurm.grace` seconds before the limit. The same, and the task has itself queued again.

The job goes on with whoever takes it next.
"""

import io
import os
import shutil
import signal
import subprocess
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib.util import find_spec
from types import FrameType
from typing import Any

from mnist_resnet.config.schema import Slurm
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import LAUNCHES
from mnist_resnet.launchers.devices import Placement
from mnist_resnet.launchers.engine import WorkerRequest
from mnist_resnet.launchers.node import NodeSupervisor, share_of_cores

MOST = 32
"""Workers, where nobody says how many."""
OUT_OF_TIME = signal.SIGUSR2
"""What submitit asks Slurm to send before the time limit."""
ANSWER = 30.0
"""Seconds that Slurm gets for an answer."""


class SlurmEngine:
    """Submits job arrays.

    Args:
        settings: what each task is given.
        jobs_per_device: workers in each task.

    Raises:
        UsageError: submitit or Slurm is missing here.
    """

    def __init__(self, settings: Slurm, jobs_per_device: int) -> None:
        if find_spec("submitit") is None:
            raise UsageError("hydra.launcher.engine=slurm: needs submitit, which is missing: pip install -e '.[slurm]'")
        if shutil.which("sbatch") is None or shutil.which("srun") is None:
            raise UsageError("hydra.launcher.engine=slurm: this machine has no sbatch; start it where Slurm's jobs are")
        self._settings, self._jobs_per_device = settings, jobs_per_device

    def usual(self, jobs: int) -> int:
        """One for each job, but not too many."""
        return min(jobs, MOST)

    def submit(self, request: WorkerRequest) -> "SlurmSubmission":
        """Submit an array.

        Raises:
            UsageError: Slurm refuses it; says why.
        """
        import submitit

        each = self._jobs_per_device
        settings = self._settings
        placement = Placement("Slurm", share_of_cores(settings.cpus_per_worker, each))
        firsts = range(1, request.workers + 1, each)
        tasks = [Task(request, first, min(each, request.workers + 1 - first), placement) for first in firsts]
        executor = submitit.SlurmExecutor(request.folder / LAUNCHES / f"{request.launch}-slurm")
        try:
            executor.update_parameters(**parameters(settings, request.folder.name))
            # What sbatch says is in the error too.
            with redirect_stderr(io.StringIO()):
                jobs = executor.map_array(Task.__call__, tasks)
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
            raise UsageError(f"hydra.launcher.engine=slurm: {_last_line(str(error))}") from None
        return SlurmSubmission(jobs[0].job_id.partition("_")[0], len(tasks), request.workers)


def parameters(settings: Slurm, name: str) -> dict[str, Any]:
    """The settings as submitit takes them; what is of Slurm's own syntax goes through untouched."""
    own: dict[str, str | int | float | bool | None] = {
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "constraint": settings.constraint,
        "time": settings.time,
        "mem": settings.memory,
        "gpus-per-node": settings.gpus_per_worker or None,
        "requeue": True,
        **settings.parameters,
    }
    return {
        "job_name": name,
        "cpus_per_task": settings.cpus_per_worker,
        "signal_delay_s": settings.grace,
        "setup": settings.setup,
        "stderr_to_stdout": True,
        "array_parallelism": 1_000_000,
        "additional_parameters": {key: value for key, value in own.items() if value is not None},
    }


@dataclass(frozen=True)
class Task:
    """What one task of the array runs.

    Attributes:
        request: of the launch.
        first: the number of its first worker.
        workers: how many it has.
        placement: what each is given.
    """

    request: WorkerRequest
    first: int
    workers: int
    placement: Placement

    def __call__(self) -> None:
        """Run the workers, until nothing is left or Slurm wants the place back."""
        station = NodeSupervisor(self.request, self.first, self.workers, self.placement)
        heard: set[int] = set()

        def hear(number: int, _: FrameType | None) -> None:
            heard.add(number)
            station.end()

        for number in (signal.SIGTERM, OUT_OF_TIME):
            signal.signal(number, hear)
        station.run()
        if OUT_OF_TIME in heard and signal.SIGTERM not in heard and station.has_work():
            subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=False, timeout=ANSWER)


class SlurmSubmission:
    """An array.

    Args:
        job: its number.
        tasks: how many it has.
        workers: in them.
    """

    def __init__(self, job: str, tasks: int, workers: int) -> None:
        self.job, self._tasks, self._workers = job, tasks, workers

    def describe(self) -> str:
        """What was submitted, in one line, for people."""
        tasks = f"{self._tasks} task{'s' * (self._tasks != 1)}"
        workers = f" of {self._workers} workers" if self._workers != self._tasks else ""
        return f"Slurm array {self.job}: {tasks}{workers} (squeue -j {self.job} shows them)"

    def alive(self) -> int | None:
        """How many tasks run or are still to start; Slurm's queue knows without accounting."""
        listed = _asked("squeue", "--noheader", "--array", "--format=%T", f"--jobs={self.job}")
        if listed is None:
            return None
        if listed.returncode:
            # It forgets an array some minutes after its end.
            return 0 if "Invalid job id" in listed.stderr else None
        return sum(state not in ENDED for state in listed.stdout.split())

    def cancel_pending(self) -> None:
        """Let those that have not started never do."""
        _asked("scancel", "--quiet", "--state=PENDING", self.job)

    def end(self) -> None:
        """Ask all to end after a checkpoint; those that have not started never do."""
        _asked("scancel", "--quiet", self.job)


ENDED = frozenset(
    ["COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE", "BOOT_FAIL", "REVOKED"]
)
"""States that squeue may show of a task that is over."""


def _asked(*command: str) -> subprocess.CompletedProcess[str] | None:
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=ANSWER)
    except (OSError, subprocess.TimeoutExpired):
        return None


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), text).removeprefix("sbatch: error: ")
