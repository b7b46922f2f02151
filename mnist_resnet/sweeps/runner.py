"""Runs a sweep's jobs in this process: takes a job that nobody holds, runs it, and repeats until all have ended."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.metric import is_image_classifier
from mnist_resnet.config.signature import NEUTRAL
from mnist_resnet.job_folder import Status
from mnist_resnet.jobs.crash import RetryBudget
from mnist_resnet.jobs.disk_space import parameter_count
from mnist_resnet.jobs.run import ProcessContext, run_job
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.jobs.stop_request import stop_on_request
from mnist_resnet.jobs.task_run import ShorterRun
from mnist_resnet.sweeps.cost import CostModel
from mnist_resnet.sweeps.folder import JobState, Sweep, job_state, read_sweep
from mnist_resnet.sweeps.live_dashboard import LiveDashboard
from mnist_resnet.sweeps.queue import Queue, QueuedJob
from mnist_resnet.sweeps.status import StatusReader
from mnist_resnet.tracking.console import ProgressConsole

POLL = 1.0
"""Seconds between two checks of jobs that other processes hold."""

LENGTH_INDEPENDENT = {
    "mnist_resnet.training.averaging.ExponentialAverage",
    "mnist_resnet.training.averaging.LatestWeights",
    "mnist_resnet.training.averaging.PreciseBatchNorm",
    "mnist_resnet.training.schedule.constant",
}
"""Schedules and averagings that treat an epoch the same, however many epochs follow."""


class Peers(Protocol):
    """The workers of one launch, as seen by one of them."""

    @property
    def workers(self) -> int:
        """How many there are."""

    @property
    def supervised(self) -> bool:
        """Whether a supervising process counts how often a job's process died."""

    def is_stopped(self) -> bool:
        """Whether no further job may be started."""

    def stop(self) -> None:
        """Report that a job failed. With `sweep.on_failure=stop`, no further job is started."""

    def is_ours(self, folder: Path) -> bool:
        """Whether the last attempt in a job folder belongs to this launch."""

    def may_take_over(self, folder: Path) -> bool:
        """Whether the job in `folder` may be run, if nobody holds its lease."""


class NoPeers:
    """The `Peers` of a process that runs all jobs of the launch itself.

    Args:
        on_failure: `sweep.on_failure`: `continue` or `stop`.
    """

    supervised, workers = False, 1

    def __init__(self, on_failure: str) -> None:
        self._on_failure, self._failed = on_failure, False

    def is_stopped(self) -> bool:
        """Whether a job failed and `on_failure` is `stop`."""
        return self._failed and self._on_failure == "stop"

    def stop(self) -> None:
        """Report that a job failed."""
        self._failed = True

    def is_ours(self, folder: Path) -> bool:  # noqa: ARG002
        """Return False: a job that is held belongs to another launch."""
        return False

    def may_take_over(self, folder: Path) -> bool:  # noqa: ARG002
        """Return True: no supervisor decides about the job."""
        return True


def run_jobs(folder: Path, names: Sequence[str], on_failure: str, request: str | None = None) -> None:
    """Run the named jobs of a sweep, until each has ended, here or in the process that holds it.

    Args:
        folder: the sweep folder.
        names: the names of the jobs.
        on_failure: `continue`, or `stop` to start no further job after one that failed.
        request: the last stop request to ignore; None: ignore those made before this call.

    Raises:
        Interrupted: a signal or a stop request ended the run.
    """
    folder = folder.absolute()  # a user's code may change the working directory
    sweep = read_sweep(folder)
    jobs = {job.name: job for job in sweep.jobs}
    interrupt = Interrupt()
    with interrupt.listening(), stop_on_request(folder, interrupt, request), ProgressConsole(len(names)) as progress:
        context = ProcessContext(progress, interrupt, callbacks=[LiveDashboard(folder)])
        run_pending_jobs(
            context, sweep, [job_state(sweep, jobs[name], context.monitor) for name in names], NoPeers(on_failure)
        )


def run_pending_jobs(
    context: ProcessContext, sweep: Sweep, pending: Sequence[JobState], peers: Peers, longest_first: bool = False
) -> None:
    """Run the pending jobs, until each has ended, here or in the process that holds it.

    Args:
        context: the context of this process.
        sweep: the sweep.
        pending: the states of the jobs at launch.
        peers: the other workers of the launch.
        longest_first: whether to run the longest job first, so that all workers end at about the same time.

    Raises:
        Interrupted: a signal or a stop request ended the run.
    """
    if len(pending) > 1:
        context.tell_time_left(
            partial(
                StatusReader(sweep.folder).seconds_left,
                peers.workers,
                {state.job.name: state.attempt for state in pending},
            )
        )
    queue = Queue(sweep, pending, context.monitor, CostModel(parameter_count) if longest_first else None, _chain)
    jobs_by_epochs = _jobs_by_epochs(sweep)
    logged: set[str] = set()
    while len(queue):
        has_run = False
        while (queued := _take_next(queue, context, peers)) is not None:
            folder = sweep.folder_of(queued.now.job)
            retries = None if peers.supervised else RetryBudget.of(queued.now.job, queued.at_launch.attempt)
            shorter = _shorter_run(sweep, queued.now.job, jobs_by_epochs, context.monitor)
            result = run_job(queued.now.job, folder, context, shorter, retries, after=queued.now.attempt)
            queue.update(queued)
            has_run |= result is not None
            if result is not None and result["status"] == Status.FAILED:
                peers.stop()
                if peers.is_stopped():
                    context.progress.log("no further job is started (sweep.on_failure=stop)")
        if peers.is_stopped():
            return
        if len(queue) and not has_run:
            _wait(sweep, queue.states(), context, logged, peers)


def _take_next(queue: Queue, context: ProcessContext, peers: Peers) -> QueuedJob | None:
    context.interrupt.check()
    queued = None if peers.is_stopped() else queue.take(peers.may_take_over)
    context.progress.jobs_ended = queue.ended
    return queued


def _wait(sweep: Sweep, states: Sequence[JobState], context: ProcessContext, logged: set[str], peers: Peers) -> None:
    """Wait for jobs that others hold, and log each job that another launch holds once."""
    for state in states:
        name = state.job.name
        if state.action == "leave" and name not in logged and not peers.is_ours(sweep.folder_of(state.job)):
            logged.add(name)
            context.progress.log(f"{name}: {state.remark}; waiting for it to finish or release the job")
    time.sleep(POLL)
    context.interrupt.check()


def _jobs_by_epochs(sweep: Sweep) -> dict[int, list[JobSpec]]:
    """Group a sweep's jobs by `trainer.epochs`; other tasks have no such key."""
    jobs: dict[int, list[JobSpec]] = defaultdict(list)
    for job in sweep.jobs:
        if is_image_classifier(job.config):
            jobs[job.config["trainer"]["epochs"]].append(job)
    return jobs


def _shorter_run(
    sweep: Sweep, job: JobSpec, jobs_by_epochs: Mapping[int, list[JobSpec]], monitor: LeaseMonitor
) -> ShorterRun | None:
    """Return the longest completed job that differs from `job` only in having fewer epochs; None if there is none.

    Its epochs are the first epochs of `job` only if neither schedule nor averaging depends on the number of epochs.
    """
    for epochs in sorted(jobs_by_epochs, reverse=True):
        if not is_image_classifier(job.config) or epochs >= job.config["trainer"]["epochs"]:
            continue
        for other in jobs_by_epochs[epochs]:
            if other.identity_without_epochs != job.identity_without_epochs:
                continue
            if job_state(sweep, other, monitor).status == Status.COMPLETED:
                return ShorterRun(sweep.folder_of(other), other.signature, _is_length_independent(job))
    return None


def _chain(job: JobSpec) -> str | None:
    """Return a key shared by jobs that can each resume from the end of a shorter one; None if `job` can't."""
    keeps_checkpoint = job.config["sweep"]["keep"] == "checkpoint" and is_image_classifier(job.config)
    return job.identity_without_epochs if keeps_checkpoint and _is_length_independent(job) else None


def _is_length_independent(job: JobSpec) -> bool:
    nodes = NEUTRAL | job.config
    return {nodes["schedule"]["_target_"], nodes["averaging"]["_target_"]} <= LENGTH_INDEPENDENT
