"""A sweep drained by workers: started, watched, replaced when they die, asked to end when this process is."""

import secrets
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.schema import Workers
from mnist_resnet.errors import UsageError
from mnist_resnet.jobs.crash import CrashedAttempt, handle_crash
from mnist_resnet.jobs.lease import LeaseMonitor
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.jobs.stop_request import last_request, stop_on_request
from mnist_resnet.jobs.worker_options import WorkerOptions
from mnist_resnet.launchers import devices
from mnist_resnet.launchers.devices import Placement
from mnist_resnet.launchers.engine import Worker, WorkerRequest, WorkerStarter
from mnist_resnet.launchers.gpu_sharing import share_gpus
from mnist_resnet.launchers.submit import submit_and_wait
from mnist_resnet.sweeps.folder import job_state, read_sweep
from mnist_resnet.sweeps.live_dashboard import LiveDashboard
from mnist_resnet.sweeps.pending import PendingJobs, PendingSweepJobs
from mnist_resnet.tracking.console import ProgressConsole

POLL = 0.1
"""Seconds between two looks at the workers."""
SHARE = 0.02
"""Of the time that may go into looking at the jobs' folders, at most."""
MAX_FAILED_STARTS = 3
"""Workers that may die one after the other in one place without having had a job there."""
GRACE = {signal.SIGTERM: 60.0, signal.SIGINT: 10.0}
"""Seconds that workers get to end when something goes wrong here, by the signal that they are sent."""


def run_jobs_with_workers(
    folder: Path, names: Sequence[str], on_failure: str, retries: int, settings: Workers, detach: bool
) -> None:
    """Have those of the sweep's jobs that are named run by workers, until each has ended.

    Args:
        folder: the sweep folder.
        names: of the jobs.
        on_failure: `continue`, or `stop` to begin no further job after one that failed.
        retries: how often a job goes on after its process died.
        settings: who starts how many workers.
        detach: whether to return once the workers are submitted.

    Raises:
        UsageError: a job asks for a device that no worker sees, or the engine refuses.
        Interrupted: the program was asked to end.
    """
    sweep, monitor, interrupt = read_sweep(folder), LeaseMonitor(), Interrupt()
    jobs = {job.name: job for job in sweep.jobs}
    chosen = [jobs[name] for name in names]
    begun = {job.name: job_state(sweep, job, monitor).attempt for job in chosen}
    supervised = is_attended(settings, detach)
    options = WorkerOptions(
        folder.absolute(), secrets.token_hex(8), begun, on_failure, last_request(folder), supervised
    )
    pending = PendingSweepJobs(sweep, chosen, options)
    with interrupt.listening(), stop_on_request(folder, interrupt), ProgressConsole(len(chosen)) as progress:
        run_workers(pending, options, chosen, retries, settings, detach, progress, interrupt)


def is_attended(settings: Workers, detach: bool) -> bool:
    """Whether the launching process watches over its workers."""
    return settings.engine == "local" and not detach


def run_workers(
    pending: PendingJobs,
    options: WorkerOptions,
    jobs: Sequence[JobSpec],
    retries: int,
    settings: Workers,
    detach: bool,
    progress: ProgressConsole,
    interrupt: Interrupt,
) -> None:
    """Have workers run what is on the docket, until nothing is left.

    Args:
        pending: of the launch.
        options: of the launch; not written yet.
        jobs: such as they run, for the devices that they ask for.
        retries: how often a job goes on after its process died.
        settings: who starts how many workers.
        detach: whether to return once the workers are submitted.
        progress: to tell people.
        interrupt: of this process.

    Raises:
        UsageError: a job asks for a device that no worker sees, or the engine refuses.
        Interrupted: the program was asked to end.
    """
    asked = asked_devices(jobs)
    if not options.supervised:
        submit_and_wait(pending, options, asked, settings, detach, progress, interrupt)
        return
    placements = choose_placements(asked, pending.left, settings.workers, settings.jobs_per_device)
    progress.log(describe(placements))
    with share_gpus(placements) as (placements, line):
        if line:
            progress.log(line)
        options.write()
        try:
            WorkerPool(pending, options, retries, WorkerStarter(), progress, interrupt).run(placements)
        finally:
            options.remove()


def asked_devices(jobs: Sequence[JobSpec]) -> set[str]:
    """What the jobs ask for by `trainer.device`.

    Raises:
        UsageError: a device by a number; each worker sees one device alone.
    """
    asked = {str(job.config["trainer"]["device"]) for job in jobs}
    for device in sorted(asked):
        if device.startswith("cuda:"):
            raise UsageError(f"trainer.device={device}: hydra/launcher=workers deals out the GPUs itself; take cuda")
    return asked


def choose_placements(asked: set[str], jobs: int, workers: int | None, jobs_per_device: int) -> list[Placement]:
    """Where the workers of this machine work.

    Args:
        asked: devices, by `trainer.device`.
        jobs: how many there are.
        workers: how many; None: `jobs_per_device` for each GPU, or for each core.
        jobs_per_device: see there.
    """
    gpus, cores = devices.gpus_for(asked), devices.usable_cores()
    count = workers or (len(gpus) or cores) * jobs_per_device
    return devices.placements(min(count, max(1, jobs)), gpus, cores)


def describe(placements: Sequence[Placement]) -> str:
    """The places in one line, for people."""
    distinct = list(dict.fromkeys(placement.name for placement in placements))
    return f"{len(placements)} worker{'s' * (len(placements) != 1)} on {', '.join(distinct)}"


@dataclass
class _Slot:
    """A place with its worker at present."""

    placement: Placement
    number: int
    worker: Worker
    failed_starts: int = 0


class WorkerPool:
    """The workers of one launch, as the process sees them that watches over them.

    Args:
        pending: what they are to do.
        options: which the workers follow; they lie in the sweep folder.
        retries: how often a job goes on after its process died.
        engine: starts workers.
        progress: shows what they print, and how many jobs have ended.
        interrupt: whether all are to end.
    """

    def __init__(
        self,
        pending: PendingJobs,
        options: WorkerOptions,
        retries: int,
        engine: WorkerStarter,
        progress: ProgressConsole,
        interrupt: Interrupt,
    ) -> None:
        self._pending, self._options, self._retries, self._engine = pending, options, retries, engine
        self._progress, self._interrupt = progress, interrupt
        self._posts: list[_Slot] = []
        self._monitor, self._page = LeaseMonitor(), LiveDashboard(options.folder)
        self._started, self._next_count = 0, 0.0

    def run(self, placements: Sequence[Placement]) -> None:
        """Keep a worker at each place until nothing is left to do, or none can be kept.

        Raises:
            Interrupted: the program was asked to end, and the workers have.
        """
        told: int | None = None
        try:
            for placement in placements:
                self._posts.append(self._start(placement))
            while self._posts:
                if self._interrupt.requested != told:
                    told = self._interrupt.requested
                    self._send(told or signal.SIGTERM)
                for post in list(self._posts):
                    self._look_after(post)
                self._count()
                self._page.refresh()
                time.sleep(POLL)
        except BaseException as error:
            self._end(signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM)
            raise
        finally:
            self._send(signal.SIGKILL)
        self._interrupt.check()

    def _start(self, placement: Placement) -> _Slot:
        self._started += 1
        # All targets were checked when the sweep was launched.
        request = WorkerRequest(self._options.folder, self._options.launch, 1, list(self._pending.targets()))
        return _Slot(placement, self._started, self._engine.start(request.arguments(self._started), placement))

    def _look_after(self, post: _Slot) -> None:
        is_alive = post.worker.is_alive()
        for line in post.worker.lines():
            self._progress.log(line)
        if is_alive:
            return
        self._posts.remove(post)
        reason = post.worker.exit_reason()
        if reason is None or self._interrupt.requested or self._options.stop_was_requested():
            return
        self._count(at_once=True)
        had_a_job = self._handle_crash(post, reason)
        vain = 0 if had_a_job else post.failed_starts + 1
        if vain == MAX_FAILED_STARTS:
            self._progress.log(f"no worker stays alive on {post.placement.name}; none is started there any more")
        elif len(self._posts) < self._pending.left and not self._options.is_stopped():
            self._posts.append(self._start(post.placement))
            self._posts[-1].failed_starts = vain

    def _handle_crash(self, post: _Slot, reason: str) -> bool:
        """Say what becomes of the job that a worker left behind; whether there was one."""
        for job in self._pending.jobs.values():
            casualty = CrashedAttempt.of(self._options.folder / job.name, self._options.launch, post.number, reason)
            if casualty is None:
                continue
            if handle_crash(job, casualty, self._retries, self._monitor):
                self._progress.log(f"{job.name}: failed: {reason}")
                self._options.stop()
            else:
                retry = f"retry {casualty.deaths} of {self._retries}"
                self._progress.log(f"{job.name}: {reason}; goes on from its last checkpoint ({retry})")
            self._count(at_once=True)
            return True
        self._progress.log(f"worker {post.number}: {reason}")
        return False

    def _count(self, at_once: bool = False) -> None:
        """Strike off the jobs that have ended; how often depends on how long it takes."""
        started = time.monotonic()
        if not at_once and started < self._next_count:
            return
        self._pending.refresh()
        self._progress.count(self._progress.jobs - self._pending.left)
        ended = time.monotonic()
        self._next_count = ended + (ended - started) / SHARE

    def _send(self, signal_number: int) -> None:
        for post in self._posts:
            post.worker.send(signal_number)

    def _end(self, signal_number: signal.Signals) -> None:
        """Something went wrong here: leave no worker behind."""
        self._send(signal_number)
        until = time.monotonic() + GRACE[signal_number]
        while time.monotonic() < until and any(post.worker.is_alive() for post in self._posts):
            time.sleep(POLL)
