"""Runs a sweep's jobs with several workers.

Workers on this machine are supervised by this process: it replaces those that die, and ends them when it is asked to
end. Workers of other engines, and detached ones, are submitted (`submit.py`).
"""

import secrets
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.launcher_schema import Workers
from mnist_resnet.config.metric import is_image_classifier
from mnist_resnet.errors import UsageError, wording
from mnist_resnet.job_folder import DISK_FULL, UnreadableFolder
from mnist_resnet.jobs.crash import CrashedAttempt, handle_crash, has_begun_a_job
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.jobs.stop_request import last_request, stop_on_request
from mnist_resnet.jobs.worker_options import WorkerOptions
from mnist_resnet.launchers import devices
from mnist_resnet.launchers.devices import Placement
from mnist_resnet.launchers.engine import Worker, WorkerRequest, WorkerStarter
from mnist_resnet.launchers.gpu_sharing import share_gpus
from mnist_resnet.launchers.submit import submit_and_wait
from mnist_resnet.sweeps.folder import job_folders, job_state, read_sweep
from mnist_resnet.sweeps.live_dashboard import LiveDashboard
from mnist_resnet.sweeps.pending import PendingJobs, PendingSweepJobs
from mnist_resnet.tracking.console import ProgressConsole

POLL = 0.1
"""Seconds between two checks of the workers."""
MAX_REFRESH_SHARE = 0.02
"""Maximum share of the time that is spent reading job folders."""
MAX_FAILED_STARTS = 3
"""Number of workers in a row that may die in one slot without having started a job; then no further one is started."""
GRACE = {signal.SIGTERM: 60.0, signal.SIGINT: 10.0}
"""Seconds to wait for the workers' end after an error in this process, by the signal sent to them."""


def run_jobs_with_workers(
    folder: Path, names: Sequence[str], on_failure: str, retries: int, settings: Workers, detach: bool
) -> None:
    """Run jobs of a sweep with workers, until each job has ended.

    Args:
        folder: The sweep folder.
        names: Names of the jobs.
        on_failure: `continue`, or `stop` to start no further job after a failure.
        retries: How often a job is retried after its process died.
        settings: The launcher's settings: engine, number of workers, and so on.
        detach: Whether to return once the workers are submitted.

    Raises:
        UsageError: A job requests a device that no worker sees, or the engine rejects the workers.
        Interrupted: The program was asked to end.
    """
    sweep, monitor, interrupt = read_sweep(folder), LeaseMonitor(), Interrupt()
    jobs = {job.name: job for job in sweep.jobs}
    chosen = [jobs[name] for name in names]
    attempts = {job.name: job_state(sweep, job, monitor).attempt for job in chosen}
    supervised = is_supervised(settings, detach)
    options = WorkerOptions(
        folder.absolute(), secrets.token_hex(8), attempts, on_failure, last_request(folder), supervised=supervised
    )
    pending = PendingSweepJobs(sweep, chosen, options)
    with interrupt.listening(), stop_on_request(folder, interrupt), ProgressConsole(len(chosen)) as progress:
        run_workers(pending, options, chosen, retries, settings, detach, progress, interrupt)


def is_supervised(settings: Workers, detach: bool) -> bool:
    """Return whether the launching process supervises its workers."""
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
    """Run a launch's pending jobs with workers, until none is pending.

    Args:
        pending: The launch's unfinished jobs.
        options: The launch's worker options, not written yet.
        jobs: Jobs of the launch, or sample jobs of a search, for the devices that they request.
        retries: How often a job is retried after its process died.
        settings: The launcher's settings: engine, number of workers, and so on.
        detach: Whether to return once the workers are submitted.
        progress: Shows progress.
        interrupt: Whether this process was asked to end.

    Raises:
        UsageError: A job requests a device that no worker sees, or the engine rejects the workers.
        Interrupted: The program was asked to end.
    """
    requested = requested_devices(jobs)
    if not options.supervised:
        submit_and_wait(pending, options, requested, settings, detach, progress, interrupt)
        return
    placements = choose_placements(requested, pending.left, settings.workers, settings.jobs_per_device)
    progress.log(describe(placements))
    with share_gpus(placements) as (placements, line):
        if line:
            progress.log(line)
        options = replace(options, workers=len(placements))
        options.write()
        try:
            WorkerPool(pending, options, retries, WorkerStarter(), progress, interrupt).run(placements)
        finally:
            options.remove()


def requested_devices(jobs: Sequence[JobSpec]) -> set[str]:
    """Return the jobs' values of `trainer.device`, or of `task.device`.

    Raises:
        UsageError: A job requests a device by number. Each worker sees only one device.
    """
    requested = {key_and_device(job.config) for job in jobs}
    for key, device in sorted(requested):
        if device.startswith("cuda:"):
            raise UsageError(f"{key}={device}: hydra/launcher=workers assigns the GPUs itself; take cuda")
    return {device for _, device in requested}


def key_and_device(config: Mapping[str, Any]) -> tuple[str, str]:
    """Return the device that a config asks for, and the key that sets it."""
    node = "trainer" if is_image_classifier(config) else "task"
    return f"{node}.device", str(config[node].get("device", "auto"))


def choose_placements(requested: set[str], jobs: int, workers: int | None, jobs_per_device: int) -> list[Placement]:
    """Assign devices and cores of this machine to workers.

    Args:
        requested: The jobs' values of `trainer.device`.
        jobs: Number of jobs; there are at most as many workers.
        workers: Number of workers. None: `jobs_per_device` for each GPU, or for each core if there is none.
        jobs_per_device: Number of workers that share one GPU, or one core.
    """
    gpus, cores = devices.gpus_for(requested), devices.usable_cores()
    count = workers or (len(gpus) or cores) * jobs_per_device
    return devices.placements(min(count, max(1, jobs)), gpus, cores)


def describe(placements: Sequence[Placement]) -> str:
    """Return a human-readable line about the workers and their placements."""
    return devices.workers_on(placements) + devices.ignored_threads(placements[0].environment)


@dataclass
class _Slot:
    """A placement and its current worker.

    Attributes:
        placement: The placement.
        number: The worker's number.
        worker: The worker.
        failed_starts: How many workers in a row died there before starting a job.
        unreadable_since: Since when its crash can't be recorded, on the monotonic clock; None if it can.
    """

    placement: Placement
    number: int
    worker: Worker
    failed_starts: int = 0
    unreadable_since: float | None = None


class WorkerPool:
    """Supervises the workers of one launch.

    Args:
        pending: The launch's unfinished jobs.
        options: The launch's worker options, written to the sweep folder.
        retries: How often a job is retried after its process died.
        starter: Starts workers.
        progress: Shows the workers' output and the number of jobs that have ended.
        interrupt: Whether all workers are to end.
    """

    def __init__(
        self,
        pending: PendingJobs,
        options: WorkerOptions,
        retries: int,
        starter: WorkerStarter,
        progress: ProgressConsole,
        interrupt: Interrupt,
    ) -> None:
        self._pending, self._options, self._retries, self._starter = pending, options, retries, starter
        self._targets = sorted(pending.targets())
        self._progress, self._interrupt = progress, interrupt
        self._slots: list[_Slot] = []
        self._monitor, self._page = LeaseMonitor(), LiveDashboard(options.folder)
        self._started, self._next_refresh = 0, 0.0

    def run(self, placements: Sequence[Placement]) -> None:
        """Run a worker in each placement until no job is pending, or workers keep dying.

        Raises:
            Interrupted: The program was asked to end, and the workers have ended.
        """
        sent: int | None = None
        try:
            for placement in placements:
                self._slots.append(self._start(placement))
            while self._slots:
                if self._interrupt.requested != sent:
                    sent = self._interrupt.requested
                    self._send(sent or signal.SIGTERM)
                for slot in list(self._slots):
                    self._check(slot)
                self._refresh()
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
        request = WorkerRequest(self._options.folder, self._options.launch, 1, self._targets)
        return _Slot(placement, self._started, self._starter.start(request.arguments(self._started), placement))

    def _check(self, slot: _Slot) -> None:
        is_alive = slot.worker.is_alive()
        for line in slot.worker.lines():
            self._progress.log(line)
        if is_alive:
            return
        reason = slot.worker.exit_reason()
        if reason is None or self._interrupt.requested or self._options.stop_was_requested():
            self._slots.remove(slot)
            return
        try:
            self._refresh(at_once=True)
            had_job = self._handle_crash(slot, reason)
        except (OSError, UnreadableFolder) as error:
            # The next check tries again: until the crash is recorded, no worker takes the job over.
            self._note_unreadable(slot, error)
            return
        self._slots.remove(slot)
        failed_starts = 0 if had_job else slot.failed_starts + 1
        if failed_starts == MAX_FAILED_STARTS:
            self._progress.log(f"workers on {slot.placement.name} keep dying; no further one is started there")
        elif len(self._slots) < self._pending.left and not self._options.is_stopped():
            self._slots.append(self._start(slot.placement))
            self._slots[-1].failed_starts = failed_starts

    def _note_unreadable(self, slot: _Slot, error: OSError | UnreadableFolder) -> None:
        """Say once that a crash can't be recorded; raise the error if that lasts, or there is no room to record it."""
        now = time.monotonic()
        if slot.unreadable_since is None:
            slot.unreadable_since = now
            reason = f"which can't be recorded at present ({wording(error)})"
            self._progress.log(f"worker {slot.number} died, {reason}; trying again")
        if getattr(error, "errno", None) in DISK_FULL or now - slot.unreadable_since > self._monitor.stale_after:
            raise error

    def _handle_crash(self, slot: _Slot, reason: str) -> bool:
        """Retry or fail the job that a dead worker left behind, if any; return whether it had begun one at all."""
        for job in self._pending.jobs.values():
            crashed = CrashedAttempt.of(self._options.folder / job.name, self._options.launch, slot.number, reason)
            if crashed is None:
                continue
            if handle_crash(job, crashed, self._retries, self._monitor):
                self._progress.log(f"{job.name}: failed: {reason}")
                self._options.stop()
            else:
                retry = f"retry {crashed.crashes} of {self._retries}"
                self._progress.log(f"{job.name}: {reason}; resumes from its last checkpoint ({retry})")
            self._refresh(at_once=True)
            return True
        self._progress.log(f"worker {slot.number}: {reason}")
        # It may have died after its jobs had ended.
        return has_begun_a_job(job_folders(self._options.folder), self._options.launch, slot.number)

    def _refresh(self, at_once: bool = False) -> None:
        """Update the pending jobs and the progress; how often depends on how long that takes."""
        started = time.monotonic()
        if not at_once and started < self._next_refresh:
            return
        self._pending.refresh()
        seconds_left = partial(self._pending.seconds_left, len(self._slots))
        self._progress.count(self._progress.jobs - self._pending.left, seconds_left)
        ended = time.monotonic()
        self._next_refresh = ended + (ended - started) / MAX_REFRESH_SHARE

    def _send(self, signal_number: int) -> None:
        for slot in self._slots:
            slot.worker.send(signal_number)

    def _end(self, signal_number: signal.Signals) -> None:
        """End the workers after an error in this process."""
        self._send(signal_number)
        deadline = time.monotonic() + GRACE[signal_number]
        while time.monotonic() < deadline and any(slot.worker.is_alive() for slot in self._slots):
            time.sleep(POLL)
