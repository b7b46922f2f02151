"""Runs workers as a Slurm job array, submitted through submitit; works with and without Slurm's accounting.

Slurm announces a worker's end by signals. Our handlers replace submitit's:

- Preempted or cancelled: SIGTERM, followed by SIGKILL after `KillWait` or `GraceTime` seconds. The worker writes its
  checkpoint and ends. Slurm requeues a preempted task.
- Time limit: SIGUSR2, `slurm.grace` seconds before the limit. The worker does the same, and the task requeues itself.

The job continues in the worker that takes it next. Each task runs `python -m mnist_resnet.work SWEEP_DIR --launch …
--worker N` once for each of its workers (`engine.WorkerRequest.arguments`, started by `node.NodeSupervisor`).
"""

import io
import os
import re
import shutil
import signal
import subprocess
from contextlib import redirect_stderr
from dataclasses import dataclass
from importlib.util import find_spec
from types import FrameType
from typing import Any

from mnist_resnet.config.launcher_schema import Slurm
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import LAUNCHES
from mnist_resnet.launchers.devices import Placement, ignored_threads
from mnist_resnet.launchers.engine import WorkerRequest
from mnist_resnet.launchers.node import NodeSupervisor, share_of_cores
from mnist_resnet.launchers.slurm_environment import submission_environment
from mnist_resnet.launchers.slurm_queue import TIMEOUT, ArrayState, max_array_size, read_array, run_command
from mnist_resnet.launchers.slurm_time import duration_of

MAX_DEFAULT_WORKERS = 32
"""Maximum number of workers if the user gives none."""
TIME_LIMIT_SIGNAL = signal.SIGUSR2
"""Signal that submitit tells Slurm to send before the time limit."""


class SlurmEngine:
    """Submits job arrays.

    Args:
        settings: Slurm settings and resources of each task.
        jobs_per_device: Number of workers in each task.

    Raises:
        UsageError: submitit or Slurm is not installed.
    """

    def __init__(self, settings: Slurm, jobs_per_device: int) -> None:
        if find_spec("submitit") is None:
            raise UsageError("hydra.launcher.engine=slurm: needs submitit, which is missing: pip install -e '.[slurm]'")
        if shutil.which("sbatch") is None or shutil.which("srun") is None:
            raise UsageError(
                "hydra.launcher.engine=slurm: needs sbatch and srun, which are missing; run it on the Slurm cluster"
            )
        self._settings, self._jobs_per_device = settings, jobs_per_device

    def default_workers(self, jobs: int) -> int:
        """Return one worker for each job, at most `MAX_DEFAULT_WORKERS`."""
        return min(jobs, MAX_DEFAULT_WORKERS)

    def submit(self, request: WorkerRequest) -> "SlurmSubmission":
        """Submit a job array.

        Raises:
            UsageError: Slurm rejects it; the message says why.
        """
        import submitit

        per_task = self._jobs_per_device
        settings = self._settings
        placement = Placement("Slurm", share_of_cores(settings.cpus_per_worker, per_task))
        firsts = range(1, request.workers + 1, per_task)
        tasks = [Task(request, first, min(per_task, request.workers + 1 - first), placement) for first in firsts]
        executor = submitit.SlurmExecutor(request.folder / LAUNCHES / f"{request.launch}-slurm")
        try:
            given = parameters(settings, request.folder.name)
            executor.update_parameters(**given)
            # The error contains what sbatch prints, too.
            with redirect_stderr(io.StringIO()), submission_environment(given["additional_parameters"]):
                jobs = executor.map_array(Task.__call__, tasks)
        except (submitit.core.utils.FailedJobError, submitit.core.utils.FailedSubmissionError) as error:
            raise UsageError(self._rejection(refusal(str(error)), len(tasks), request.workers)) from None
        return SlurmSubmission(jobs[0].job_id.partition("_")[0], len(tasks), request.workers, settings.time, placement)

    def _rejection(self, reason: str, tasks: int, workers: int) -> str:
        """Return why Slurm rejected an array, and for one with too many tasks what would be right."""
        limit = max_array_size() if "Invalid job array" in reason else None
        if limit is None or tasks <= limit:
            return f"hydra.launcher.engine=slurm: {reason}"
        return (
            f"hydra.launcher.workers={workers}: the cluster allows {limit} tasks in an array (MaxArraySize); "
            f"take {limit * self._jobs_per_device} or fewer"
        )


def parameters(settings: Slurm, name: str) -> dict[str, Any]:
    """Return the settings as submitit's parameters. Values in Slurm's own syntax are passed on unchanged."""
    additional: dict[str, str | int | float | bool | None] = {
        "partition": settings.partition,
        "account": settings.account,
        "qos": settings.qos,
        "constraint": settings.constraint,
        "time": settings.time,
        "mem": settings.memory,
        "gpus-per-node": settings.gpus_per_worker or None,
        "requeue": True,
        **(settings.parameters or {}),
    }
    return {
        "job_name": name,
        "cpus_per_task": settings.cpus_per_worker,
        "signal_delay_s": settings.grace,
        "setup": settings.setup,
        "stderr_to_stdout": True,
        "array_parallelism": 1_000_000,
        "additional_parameters": {key: value for key, value in additional.items() if value is not None},
    }


@dataclass(frozen=True)
class Task:
    """A task of the array, which runs one or more workers.

    Attributes:
        request: The launch's request.
        first: Number of the task's first worker.
        workers: Number of workers in the task.
        placement: Cores of each worker.
    """

    request: WorkerRequest
    first: int
    workers: int
    placement: Placement

    def __call__(self) -> None:
        """Run the workers until nothing is left to do or Slurm ends the task."""
        supervisor = NodeSupervisor(self.request, self.first, self.workers, self.placement)
        received: set[int] = set()

        def on_signal(number: int, _: FrameType | None) -> None:
            received.add(number)
            supervisor.end()

        for number in (signal.SIGTERM, TIME_LIMIT_SIGNAL):
            signal.signal(number, on_signal)
        supervisor.run()
        if TIME_LIMIT_SIGNAL in received and signal.SIGTERM not in received and supervisor.has_work():
            subprocess.run(["scontrol", "requeue", os.environ["SLURM_JOB_ID"]], check=False, timeout=TIMEOUT)


class SlurmSubmission:
    """A submitted job array.

    Args:
        job: Slurm's number of the array.
        tasks: Number of tasks in the array.
        workers: Number of workers in all tasks.
        time: Time limit of each task, in Slurm's format; None: the cluster's default.
        placement: Cores of each worker.
    """

    def __init__(self, job: str, tasks: int, workers: int, time: int | str | None, placement: Placement) -> None:
        self.job, self._tasks, self._workers, self._time, self._placement = job, tasks, workers, time, placement
        self._state: ArrayState | None = None

    def describe(self) -> str:
        """Return a human-readable description of the array."""
        tasks = f"{self._tasks} task{'s' * (self._tasks != 1)}"
        workers = f" of {self._workers} workers" if self._workers != self._tasks else ""
        ignored = ignored_threads(self._placement.environment)
        limit = "the cluster's default limit" if self._time is None else f"limit {duration_of(self._time)}"
        return f"Slurm array {self.job}: {tasks}{workers}, {limit} a worker (squeue -j {self.job} shows them){ignored}"

    def alive(self) -> int | None:
        """Return how many tasks run or may start; None if Slurm does not answer."""
        self._state = read_array(self.job)
        return None if self._state is None else self._state.alive

    def pending_reason(self) -> str | None:
        """Return Slurm's reasons for tasks that were pending when `alive` last asked; None if none was."""
        return None if self._state is None else self._state.describe_pending()

    def cancel_pending(self) -> None:
        """Cancel the tasks that have not started."""
        run_command("scancel", "--quiet", "--state=PENDING", self.job)

    def end(self) -> None:
        """Ask all workers to end after a checkpoint, and cancel the tasks that have not started."""
        run_command("scancel", "--quiet", self.job)


def refusal(text: str) -> str:
    """Return the line of sbatch's output that says why it refused: the last one, but for the hint at its help."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith('Try "sbatch')]
    return re.sub("^sbatch: (error: )?", "", lines[-1] if lines else text)
