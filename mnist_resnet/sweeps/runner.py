"""Draining a sweep folder: take a job that nobody holds, run it, take the next, until all are done."""

import time
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from mnist_resnet.config.job_spec import FrozenJob
from mnist_resnet.config.signature import NEUTRAL
from mnist_resnet.job_folder import Status
from mnist_resnet.jobs.crash import Tries
from mnist_resnet.jobs.disk_space import parameters_of
from mnist_resnet.jobs.lease import Watch
from mnist_resnet.jobs.run import Desk, Shorter, run_job
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.jobs.stop_request import hearing
from mnist_resnet.sweeps.cost import Costs
from mnist_resnet.sweeps.folder import Standing, Sweep, read_sweep, standing
from mnist_resnet.sweeps.live_dashboard import LivePage
from mnist_resnet.sweeps.queue import Queue, Turn
from mnist_resnet.tracking.console import Screen

POLL = 1.0
"""Seconds between two looks at jobs that others hold."""

BLIND_TO_LENGTH = {
    "mnist_resnet.training.averaging.ExponentialAverage",
    "mnist_resnet.training.averaging.LatestWeights",
    "mnist_resnet.training.schedule.constant",
}
"""Schedules and averagings that do the same in the first epochs, however many follow."""


class Company(Protocol):
    """The workers of one launch, as far as one of them has to know."""

    @property
    def attended(self) -> bool:
        """Whether somebody else counts how often a job's process died."""

    def is_stopped(self) -> bool:
        """Whether no further job may be begun."""

    def stop(self) -> None:
        """A job failed: begin no further one, if that is what was asked for."""

    def is_ours(self, folder: Path) -> bool:
        """Whether one of them is at the job in `folder`, or was the last one at it."""

    def is_settled(self, folder: Path) -> bool:
        """Whether the job in `folder` may be taken over, if nobody holds it."""


class Alone:
    """No company: this process runs all jobs of the launch."""

    attended = False

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

    def is_settled(self, folder: Path) -> bool:  # noqa: ARG002
        """Yes: nobody else looks after it."""
        return True


def drain(folder: Path, names: Sequence[str], on_failure: str, request: str | None = None) -> None:
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
    with interrupt.listening(), hearing(folder, interrupt, request), Screen(len(names)) as screen:
        desk = Desk(screen, interrupt, observers=[LivePage(folder)])
        drain_at(desk, sweep, [standing(sweep, jobs[name], desk.watch) for name in names], Alone(on_failure))


def drain_at(
    desk: Desk, sweep: Sweep, pending: Sequence[Standing], company: Company, longest_first: bool = False
) -> None:
    """Run the pending jobs at `desk`, until each has ended, here or with whoever holds it.

    Args:
        desk: of this process.
        sweep: theirs.
        pending: the jobs as they stood when the sweep was launched.
        company: who else runs jobs of the same launch.
        longest_first: whether the order of the jobs is that of their costs: then workers end at about the same time.

    Raises:
        Interrupted: the program was asked to end.
    """
    queue = Queue(sweep, pending, desk.watch, Costs(parameters_of) if longest_first else None, _chain)
    lengths = _by_length(sweep)
    told: set[str] = set()
    while len(queue):
        has_run = False
        while (turn := _next(queue, desk, company)) is not None:
            folder = sweep.folder_of(turn.now.job)
            tries = None if company.attended else Tries.of(turn.now.job, turn.begun.attempt)
            shorter = _shorter(sweep, turn.now.job, lengths, desk.watch)
            result = run_job(turn.now.job, folder, desk, shorter, tries, after=turn.now.attempt)
            queue.ran(turn)
            has_run |= result is not None
            if result is not None and result["status"] == Status.FAILED:
                company.stop()
                if company.is_stopped():
                    desk.screen.say("no further job is begun (sweep.on_failure=stop)")
        if company.is_stopped():
            return
        if len(queue) and not has_run:
            _wait(sweep, queue.held(), desk, told, company)


def _next(queue: Queue, desk: Desk, company: Company) -> Turn | None:
    desk.interrupt.check()
    turn = None if company.is_stopped() else queue.take(company.is_settled)
    desk.screen.jobs_ended = queue.ended
    return turn


def _wait(sweep: Sweep, held: Sequence[Standing], desk: Desk, told: set[str], company: Company) -> None:
    for now in held:
        if now.action == "leave" and now.job.name not in told and not company.is_ours(sweep.folder_of(now.job)):
            told.add(now.job.name)
            desk.screen.say(f"{now.job.name}: {now.remark}; waiting for it, or for its job")
    time.sleep(POLL)
    desk.interrupt.check()


def _by_length(sweep: Sweep) -> dict[int, list[FrozenJob]]:
    """A sweep's jobs by `trainer.epochs`."""
    jobs: dict[int, list[FrozenJob]] = defaultdict(list)
    for job in sweep.jobs:
        jobs[job.config["trainer"]["epochs"]].append(job)
    return jobs


def _shorter(sweep: Sweep, job: FrozenJob, lengths: Mapping[int, list[FrozenJob]], watch: Watch) -> Shorter | None:
    """The completed job of the sweep that did the most of the first epochs of `job`: all equal but for their number.

    They are its first epochs only where neither schedule nor averaging looks at the whole run's length.
    """
    for epochs in sorted(lengths, reverse=True):
        if epochs >= job.config["trainer"]["epochs"]:
            continue
        for other in lengths[epochs]:
            if other.identity_but_for_epochs != job.identity_but_for_epochs:
                continue
            if standing(sweep, other, watch).status == Status.COMPLETED:
                return Shorter(sweep.folder_of(other), other.signature, _is_blind_to_length(job))
    return None


def _chain(job: FrozenJob) -> str | None:
    """What jobs share of which the longer can go on from the end of the shorter one; None: this one can't."""
    keeps = job.config["sweep"]["keep"] == "checkpoint"
    return job.identity_but_for_epochs if keeps and _is_blind_to_length(job) else None


def _is_blind_to_length(job: FrozenJob) -> bool:
    nodes = NEUTRAL | job.config
    return {nodes["schedule"]["_target_"], nodes["averaging"]["_target_"]} <= BLIND_TO_LENGTH
