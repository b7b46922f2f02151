"""Workers that nobody watches over: submitted to an engine, and waited for by a process that may as well go away.

What they do is learnt from the sweep folder, and only whether any of them is left from the engine.
"""

import time
from collections.abc import Collection
from pathlib import Path

from mnist_resnet.config.schema import Workers
from mnist_resnet.job_folder import LAUNCHES
from mnist_resnet.jobs.lease import LeaseMonitor
from mnist_resnet.jobs.signals import Interrupt, Interrupted
from mnist_resnet.jobs.worker_options import WorkerOptions
from mnist_resnet.launchers.engine import Engine, Submission, WorkerRequest
from mnist_resnet.sweeps.live_dashboard import LiveDashboard
from mnist_resnet.sweeps.pending import PendingJobs
from mnist_resnet.tracking.console import ProgressConsole

POLL = 0.2
"""Seconds between two looks at what the workers have printed."""
ASKING = 2.0
"""Seconds between two questions to the engine."""
SHARE = 0.02
"""Of the time that may go into looking at the jobs' folders, at most."""
PATIENCE = 10.0
"""Seconds without any worker after which none is expected any more: a cluster may start one again."""
GRACE = 120.0
"""Seconds that workers which were asked to end are waited for."""


class NoWorkerLeft(Exception):
    """All workers have ended, and jobs are left."""


def build_engine(asked: Collection[str], settings: Workers, detach: bool) -> Engine:
    """The engine that the settings name.

    Args:
        asked: devices that the jobs ask for, by `trainer.device`.
        settings: of the launcher.
        detach: whether the workers must outlive this process.

    Raises:
        UsageError: it can't be had here; says which package or program is missing.
    """
    if settings.engine == "slurm":
        from mnist_resnet.launchers.slurm import SlurmEngine

        return SlurmEngine(settings.slurm, settings.jobs_per_device)
    if settings.engine == "ray":
        from mnist_resnet.launchers.ray import RayEngine

        return RayEngine(settings.ray, settings.jobs_per_device, detach)
    from mnist_resnet.launchers.local import LocalEngine

    return LocalEngine(asked, settings.jobs_per_device)


def submit_and_wait(
    pending: PendingJobs,
    options: WorkerOptions,
    asked: Collection[str],
    settings: Workers,
    detach: bool,
    progress: ProgressConsole,
    interrupt: Interrupt,
) -> None:
    """Submit workers for what is on the docket, and wait until nothing is left.

    Args:
        pending: of the launch.
        options: of the launch; not written yet.
        asked: devices that the jobs ask for, by `trainer.device`.
        settings: who starts how many workers.
        detach: whether not to wait.
        progress: shows what the workers print, and how many jobs have ended.
        interrupt: of this process; the workers end with it, after their checkpoints.

    Raises:
        UsageError: the engine refuses.
        Interrupted: the program was asked to end, and the workers have.
        NoWorkerLeft: all workers are gone, and jobs are left.
    """
    engine = build_engine(asked, settings, detach)
    count = min(settings.workers or engine.usual(pending.left), max(1, pending.left))
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
    """A process that waits for workers, and shows what they do.

    Args:
        pending: what they are to do.
        options: which they follow.
        fleet: the workers.
        progress: shows what they print, and how many jobs have ended.
        interrupt: whether all are to end.
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
        self._logs, self._page, self._monitor = WorkerLogs(options), LiveDashboard(options.folder), LeaseMonitor()
        self._next_count = self._next_question = 0.0
        self._nobody_since: float | None = None

    def wait(self) -> None:
        """Wait until nothing is left.

        Raises:
            Interrupted: the program was asked to end, and the workers have.
            NoWorkerLeft: all workers are gone, and jobs are left.
        """
        while not self._interrupt.requested:
            self._show()
            if not self._pending.left or self._options.is_stopped():
                # Those that are at work end by themselves: nothing is left for them.
                self._submission.cancel_pending()
                return
            if self._is_deserted():
                raise NoWorkerLeft(f"all workers have ended, and jobs are left; what they said: {self._logs.pattern}")
            time.sleep(POLL)
        self._end()
        self._interrupt.check()

    def _show(self, at_once: bool = False) -> None:
        for line in self._logs.lines():
            self._progress.log(line)
        started = time.monotonic()
        if started >= self._next_count or at_once:
            self._pending.refresh()
            self._progress.count(self._progress.jobs - self._pending.left)
            ended = time.monotonic()
            self._next_count = ended + (ended - started) / SHARE
        self._page.refresh()

    def _is_deserted(self) -> bool:
        """Whether there has been no worker for a while, by the engine's word, and no job is held by anybody."""
        now = time.monotonic()
        if now < self._next_question:
            return False
        self._next_question = now + ASKING
        if self._submission.alive() != 0 or self._somebody_holds_a_job():
            self._nobody_since = None
            return False
        self._nobody_since = self._nobody_since or now
        return now - self._nobody_since >= PATIENCE

    def _somebody_holds_a_job(self) -> bool:
        return any(self._monitor.state(self._options.folder / name) == "held" for name in self._pending.jobs)

    def _end(self) -> None:
        self._progress.log("asked to end: the workers write their checkpoints")
        self._submission.end()
        until = time.monotonic() + GRACE
        while time.monotonic() < until and self._submission.alive() != 0:
            for line in self._logs.lines():
                self._progress.log(line)
            time.sleep(POLL)
        self._show(at_once=True)


class WorkerLogs:
    """What the workers of a launch print, each into a file of its own in the sweep folder.

    Args:
        options: of the launch.
    """

    def __init__(self, options: WorkerOptions) -> None:
        self._folder, self._launch = options.folder / LAUNCHES, options.launch
        self._seen: dict[Path, tuple[int, bytes]] = {}

    @property
    def pattern(self) -> str:
        """Where they are, for people."""
        return f"{self._folder / self._launch}-*.log"

    def lines(self) -> list[str]:
        """What is new, in whole lines."""
        found: list[str] = []
        for file in sorted(self._folder.glob(f"{self._launch}-*.log")):
            seen, rest = self._seen.get(file, (0, b""))
            with file.open("rb") as opened:
                opened.seek(seen)
                new = opened.read()
            *whole, left = (rest + new).split(b"\n")
            self._seen[file] = seen + len(new), left
            found += [line.decode(errors="replace").rstrip() for line in whole]
        return found
