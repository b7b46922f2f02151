"""Draining a sweep folder: take a job that nobody holds, run it, take the next, until all are done."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.signature import NEUTRAL
from mnist_resnet.job_folder import Status
from mnist_resnet.jobs.crash import RetryBudget
from mnist_resnet.jobs.disk_space import parameter_count
from mnist_resnet.jobs.lease import LeaseMonitor
from mnist_resnet.jobs.run import ProcessContext, ShorterRun, run_job
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.jobs.stop_request import stop_on_request
from mnist_resnet.sweeps.cost import CostModel
from mnist_resnet.sweeps.folder import JobState, Sweep, job_state, read_sweep
from mnist_resnet.sweeps.live_dashboard import LiveDashboard
from mnist_resnet.sweeps.queue import Queue, Turn
from mnist_resnet.tracking.console import ProgressConsole

POLL = 1.0
"""Seconds between two looks at jobs that others hold."""

BLIND_TO_LENGTH = {
    "mnist_resnet.training.averaging.ExponentialAverage",
    "mnist_resnet.training.averaging.LatestWeights",
    "mnist_resnet.training.schedule.constant",
}
"""Schedules and averagings that do the same in the first epochs, however many follow."""


class Peers(Protocol):
    """The workers of one launch, as far as one of them has to know."""

    @property
    def supervised(self) -> bool:
        """Whether somebody else counts how often a job's process died."""

    def is_stopped(self) -> bool:
        """Whether no further job may be begun."""

    def stop(self) -> None:
        """A job failed: begin no further one, if that is what was asked for."""

    def is_ours(self, folder: Path) -> bool:
        """Whether one of them is at the job in `folder`, or was the last one at it."""

    def may_take_over(self, folder: Path) -> bool:
        """Whether the job in `folder` may be taken over, if nobody holds it."""


class NoPeers:
    """No company: this process runs all jobs of the launch."""

    supervised = False

    def __init__(self, on_failure: str) -> None:
        self._on_failure, self._failed = on_failure, False

    def is_stopped(self) -> bool:
        """Whether a job failed and that is to be the end."""
        return self._failed and self._on_failure == "stop"

    def stop(self) -> None:
        """A job failed."""
        self._failed = True

    def is_ours(self, folder: Path) -> bool:  # noqa: ARG002
        """No: what somebody holds is held elsewhere."""
        return False

    def may_take_over(self, folder: Path) -> bool:  # noqa: ARG002
        """Yes: nobody else looks after it."""
        return True


def run_jobs(folder: Path, names: Sequence[str], on_failure: str, request: str | None = None) -> None:
    """Run those of the sweep's jobs that are named, until each has ended, here or with whoever holds it.

    Args:
        folder: the sweep folder.
        names: of the jobs.
        on_failure: `continue`, or `stop` to begin no further job after one that failed.
        request: the last stop request that does not count; None: none does that is there now.

    Raises:
        Interrupted: the program was asked to end.
    """
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
    """Run the pending jobs at `context`, until each has ended, here or with whoever holds it.

    Args:
        context: of this process.
        sweep: theirs.
        pending: the jobs as they stood when the sweep was launched.
        peers: who else runs jobs of the same launch.
        longest_first: whether the order of the jobs is that of their costs: then workers end at about the same time.

    Raises:
        Interrupted: the program was asked to end.
    """
    queue = Queue(sweep, pending, context.monitor, CostModel(parameter_count) if longest_first else None, _chain)
    lengths = _by_length(sweep)
    told: set[str] = set()
    while len(queue):
        has_run = False
        while (turn := _next(queue, context, peers)) is not None:
            folder = sweep.folder_of(turn.now.job)
            tries = None if peers.supervised else RetryBudget.of(turn.now.job, turn.begun.attempt)
            shorter = _shorter(sweep, turn.now.job, lengths, context.monitor)
            result = run_job(turn.now.job, folder, context, shorter, tries, after=turn.now.attempt)
            queue.ran(turn)
            has_run |= result is not None
            if result is not None and result["status"] == Status.FAILED:
                peers.stop()
                if peers.is_stopped():
                    context.progress.log("no further job is begun (sweep.on_failure=stop)")
        if peers.is_stopped():
            return
        if len(queue) and not has_run:
            _wait(sweep, queue.held(), context, told, peers)


def _next(queue: Queue, context: ProcessContext, peers: Peers) -> Turn | None:
    context.interrupt.check()
    turn = None if peers.is_stopped() else queue.take(peers.may_take_over)
    context.progress.jobs_ended = queue.ended
    return turn


def _wait(sweep: Sweep, held: Sequence[JobState], context: ProcessContext, told: set[str], peers: Peers) -> None:
    for now in held:
        if now.action == "leave" and now.job.name not in told and not peers.is_ours(sweep.folder_of(now.job)):
            told.add(now.job.name)
            context.progress.log(f"{now.job.name}: {now.remark}; waiting for it, or for its job")
    time.sleep(POLL)
    context.interrupt.check()


def _by_length(sweep: Sweep) -> dict[int, list[JobSpec]]:
    """A sweep's jobs by `trainer.epochs`."""
    jobs: dict[int, list[JobSpec]] = defaultdict(list)
    for job in sweep.jobs:
        jobs[job.config["trainer"]["epochs"]].append(job)
    return jobs


def _shorter(
    sweep: Sweep, job: JobSpec, lengths: Mapping[int, list[JobSpec]], monitor: LeaseMonitor
) -> ShorterRun | None:
    """The completed job of the sweep that did the most of the first epochs of `job`: all equal but for their number.

    They are its first epochs only where neither schedule nor averaging looks at the whole run's length.
    """
    for epochs in sorted(lengths, reverse=True):
        if epochs >= job.config["trainer"]["epochs"]:
            continue
        for other in lengths[epochs]:
            if other.identity_but_for_epochs != job.identity_but_for_epochs:
                continue
            if job_state(sweep, other, monitor).status == Status.COMPLETED:
                return ShorterRun(sweep.folder_of(other), other.signature, _is_blind_to_length(job))
    return None


def _chain(job: JobSpec) -> str | None:
    """What jobs share of which the longer can go on from the end of the shorter one; None: this one can't."""
    keeps = job.config["sweep"]["keep"] == "checkpoint"
    return job.identity_but_for_epochs if keeps and _is_blind_to_length(job) else None


def _is_blind_to_length(job: JobSpec) -> bool:
    nodes = NEUTRAL | job.config
    return {nodes["schedule"]["_target_"], nodes["averaging"]["_target_"]} <= BLIND_TO_LENGTH
