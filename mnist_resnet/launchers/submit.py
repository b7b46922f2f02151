"""Submits workers to an engine and waits for them.

The waiting process shows progress but is not needed: submitted workers outlive it. It reads their progress from the
sweep folder, and asks the engine only whether any workers are left.
"""

import time
from collections.abc import Collection
from dataclasses import replace

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.launcher_schema import Workers
from mnist_resnet.errors import EndedEarly
from mnist_resnet.jobs.signals import Interrupt, Interrupted
from mnist_resnet.jobs.worker_options import WorkerOptions
from mnist_resnet.launchers.engine import Engine, Submission, WorkerRequest
from mnist_resnet.launchers.worker_logs import WorkerLogs
from mnist_resnet.sweeps.live_dashboard import LiveDashboard
from mnist_resnet.sweeps.pending import PendingJobs
from mnist_resnet.tracking.console import ProgressConsole

POLL = 0.2
"""Seconds between two reads of the workers' logs."""
ENGINE_POLL = 2.0
"""Seconds between two queries of the engine."""
MAX_REFRESH_SHARE = 0.02
"""Maximum share of the time that is spent reading job folders."""
NO_WORKER_TIMEOUT = 10.0
"""Seconds without any worker after which none is expected. A cluster may restart one before."""
GRACE = 120.0
"""Seconds to wait for workers that were asked to end."""


class NoWorkerLeft(EndedEarly):
    """All workers have ended, or never start, but jobs are unfinished."""


def build_engine(requested: Collection[str], settings: Workers, detach: bool) -> Engine:
    """Build the engine that the settings name.

    Args:
        requested: The jobs' values of `trainer.device`.
        settings: The launcher's settings.
        detach: Whether the workers must outlive this process.

    Raises:
        UsageError: The engine is not available here; the message names the missing package or program.
    """
    if settings.engine == "slurm":
        from mnist_resnet.launchers.slurm import SlurmEngine

        return SlurmEngine(settings.slurm, settings.jobs_per_device)
    if settings.engine == "ray":
        from mnist_resnet.launchers.ray import RayEngine

        return RayEngine(settings.ray, settings.jobs_per_device, detach)
    from mnist_resnet.launchers.local import LocalEngine

    return LocalEngine(requested, settings.jobs_per_device)


def submit_and_wait(
    pending: PendingJobs,
    options: WorkerOptions,
    requested: Collection[str],
    settings: Workers,
    detach: bool,
    progress: ProgressConsole,
    interrupt: Interrupt,
) -> None:
    """Submit workers for the pending jobs, and wait until none is pending.

    Args:
        pending: The launch's unfinished jobs.
        options: The launch's worker options, not written yet.
        requested: The jobs' values of `trainer.device`.
        settings: The launcher's settings: engine, number of workers, and so on.
        detach: Whether to return without waiting.
        progress: Shows the workers' output and the number of jobs that have ended.
        interrupt: Whether this process was asked to end. Then the workers end too, after a checkpoint.

    Raises:
        UsageError: The engine rejects the workers.
        Interrupted: The program was asked to end, and the workers have ended.
        NoWorkerLeft: All workers have ended, or never start, but jobs are unfinished.
    """
    engine = build_engine(requested, settings, detach)
    count = min(settings.workers or engine.default_workers(pending.left), max(1, pending.left))
    options = replace(options, workers=count)
    options.write()
    try:
        submission = engine.submit(WorkerRequest(options.folder, options.launch, count, sorted(pending.targets())))
    except BaseException:
        options.remove()
        raise
    progress.log(submission.describe())
    if detach:
        return
    try:
        SubmissionMonitor(pending, options, submission, progress, interrupt).wait()
    except (Interrupted, NoWorkerLeft, KeyboardInterrupt):
        options.remove()
        raise
    options.remove()


class SubmissionMonitor:
    """Waits for submitted workers and shows their progress.

    Args:
        pending: The launch's unfinished jobs.
        options: The launch's worker options.
        submission: The workers.
        progress: Shows the workers' output and the number of jobs that have ended.
        interrupt: Whether all workers are to end.
    """

    def __init__(
        self,
        pending: PendingJobs,
        options: WorkerOptions,
        submission: Submission,
        progress: ProgressConsole,
        interrupt: Interrupt,
    ) -> None:
        self._pending, self._options, self._submission = pending, options, submission
        self._progress, self._interrupt = progress, interrupt
        self._logs, self._page, self._monitor = (
            WorkerLogs(options.folder, options.launch),
            LiveDashboard(options.folder),
            LeaseMonitor(),
        )
        self._next_refresh = self._next_query = 0.0
        self._no_worker_since: float | None = None
        self._shown_reason: str | None = None

    def wait(self) -> None:
        """Wait until no job is pending.

        Raises:
            Interrupted: The program was asked to end, and the workers have ended.
            NoWorkerLeft: All workers have ended, or never start, but jobs are unfinished.
        """
        while not self._interrupt.requested:
            self._show()
            if not self._pending.left or self._options.is_stopped():
                # Running workers end by themselves, since no job is left for them.
                self._submission.cancel_pending()
                return
            if self._no_worker_left():
                raise self._give_up()
            time.sleep(POLL)
        self._end()
        self._interrupt.check()

    def _show(self, at_once: bool = False) -> None:
        for line in self._logs.lines():
            self._progress.log(line)
        started = time.monotonic()
        if started >= self._next_refresh or at_once:
            self._pending.refresh()
            self._progress.count(self._progress.jobs - self._pending.left, self._pending.seconds_left)
            ended = time.monotonic()
            self._next_refresh = ended + (ended - started) / MAX_REFRESH_SHARE
        self._page.refresh()

    def _give_up(self) -> NoWorkerLeft:
        """Cancel the workers that never start; show the last lines that the others wrote."""
        reason = self._submission.pending_reason()
        self._submission.cancel_pending()
        for line in self._logs.last_lines():
            self._progress.log(line)
        what = f"{reason}; cancelled" if reason else "all workers have ended"
        return NoWorkerLeft(f"{what}, but jobs are unfinished")

    def _show_pending_reason(self) -> None:
        reason = self._submission.pending_reason()
        if reason and reason != self._shown_reason:
            self._progress.log(reason)
        self._shown_reason = reason or self._shown_reason

    def _no_worker_left(self) -> bool:
        """Return whether the engine has reported no worker for `NO_WORKER_TIMEOUT`, and no job's lease is held."""
        now = time.monotonic()
        if now < self._next_query:
            return False
        self._next_query = now + ENGINE_POLL
        alive = self._submission.alive()
        self._show_pending_reason()
        if alive != 0 or self._any_job_is_held():
            self._no_worker_since = None
            return False
        self._no_worker_since = self._no_worker_since or now
        return now - self._no_worker_since >= NO_WORKER_TIMEOUT

    def _any_job_is_held(self) -> bool:
        return any(self._monitor.state(self._options.folder / name) == "held" for name in self._pending.jobs)

    def _end(self) -> None:
        self._progress.log("waiting for the workers to write their checkpoints and end")
        self._submission.end()
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and self._submission.alive() != 0:
            for line in self._logs.lines():
                self._progress.log(line)
            time.sleep(POLL)
        self._show(at_once=True)
