"""Draining a sweep folder: take a job that nobody holds, run it, take the next, until all are done."""

import time
from collections.abc import Sequence
from pathlib import Path

from mnist_resnet.job_folder import Status
from mnist_resnet.running.claim import Watch
from mnist_resnet.running.frozen import FrozenJob
from mnist_resnet.running.interrupt import Interrupt
from mnist_resnet.running.job import Desk, Shorter, run_job
from mnist_resnet.running.page import LivePage
from mnist_resnet.running.screen import Screen
from mnist_resnet.running.signature import flatten, identity
from mnist_resnet.running.sweep import Standing, Sweep, read_sweep, standing

POLL = 1.0
"""Seconds between two looks at jobs that others hold."""


def drain(folder: Path, names: Sequence[str], on_failure: str) -> None:
    """Run those of the sweep's jobs that are named, until each has ended, here or with whoever holds it.

    Args:
        folder: the sweep folder.
        names: of the jobs.
        on_failure: `continue`, or `stop` to begin no further job after one that failed.

    Raises:
        Interrupted: the program was asked to end.
    """
    sweep = read_sweep(folder)
    jobs = {job.name: job for job in sweep.jobs}
    interrupt = Interrupt()
    with interrupt.listening(), Screen(len(names)) as screen:
        desk = Desk(screen, interrupt, observers=[LivePage(folder)])
        pending = [standing(sweep, jobs[name], desk.watch) for name in names]
        told: set[str] = set()
        while pending:
            left = _one_round(sweep, pending, desk, on_failure)
            if left and len(left) == len(pending):
                _wait(sweep, left, desk, told)
            pending = left


def _one_round(sweep: Sweep, pending: Sequence[Standing], desk: Desk, on_failure: str) -> list[Standing]:
    """Run what can be had; gives what others hold."""
    held: list[Standing] = []
    for begun in pending:
        desk.interrupt.check()
        now = standing(sweep, begun.job, desk.watch)
        if not now.is_due or (now.status == Status.FAILED and now.attempt > begun.attempt):
            desk.screen.jobs_ended += 1
            continue
        result = None
        if now.action != "leave":
            result = run_job(now.job, sweep.folder_of(now.job), desk, _shorter(sweep, now.job, desk.watch))
        if result is None:
            held.append(begun)
        elif result["status"] == Status.FAILED and on_failure == "stop":
            desk.screen.say("no further job is begun (sweep.on_failure=stop)")
            return []
    return held


def _wait(sweep: Sweep, held: Sequence[Standing], desk: Desk, told: set[str]) -> None:
    for one in held:
        now = standing(sweep, one.job, desk.watch)
        if now.action == "leave" and now.job.name not in told:
            told.add(now.job.name)
            desk.screen.say(f"{now.job.name}: {now.remark}; waiting for it, or for its job")
    time.sleep(POLL)
    desk.interrupt.check()


def _shorter(sweep: Sweep, job: FrozenJob, watch: Watch) -> Shorter | None:
    """The completed job of the sweep that did the most of the first epochs of `job`: all equal but for their number.

    Only a constant schedule makes them its first epochs: any other looks at the whole run's length from its first step.
    """
    is_constant = job.config["schedule"]["_target_"].endswith(".schedule.constant")
    found: list[tuple[int, FrozenJob]] = []
    for other in sweep.jobs:
        epochs = other.config["trainer"]["epochs"]
        if epochs < job.config["trainer"]["epochs"] and _but_for_epochs(other) == _but_for_epochs(job):
            found.append((epochs, other))
    for _, other in sorted(found, key=lambda pair: -pair[0]):
        if standing(sweep, other, watch).status == Status.COMPLETED:
            return Shorter(sweep.folder_of(other), other.signature, is_constant)
    return None


def _but_for_epochs(job: FrozenJob) -> str:
    config = {key: value for key, value in flatten(job.config).items() if key != "trainer.epochs"}
    return identity(config)
