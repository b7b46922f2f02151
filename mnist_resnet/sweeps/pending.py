"""What a launch still waits for: its jobs that have not ended, wherever they are run."""

from collections.abc import Iterable
from typing import Protocol

from mnist_resnet.config.allowed_targets import targets
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.job_folder import Status
from mnist_resnet.jobs.lease import LeaseMonitor
from mnist_resnet.jobs.worker_options import WorkerOptions
from mnist_resnet.sweeps.folder import Sweep, job_state


class PendingJobs(Protocol):
    """The jobs of a launch that have not ended, as they stood when `refresh` was last called."""

    @property
    def jobs(self) -> dict[str, JobSpec]:
        """Those that are frozen, by name."""

    @property
    def left(self) -> int:
        """How many are to end, those that are yet to be asked for among them."""

    def targets(self) -> set[str]:
        """What the jobs run, by their `_target_`."""

    def refresh(self) -> None:
        """Look which have ended since."""


class PendingSweepJobs:
    """Of a sweep whose jobs were all frozen when it was launched.

    Args:
        sweep: theirs.
        jobs: of it, that the launch is to run.
        options: of the launch.
    """

    def __init__(self, sweep: Sweep, jobs: Iterable[JobSpec], options: WorkerOptions) -> None:
        self.jobs = {job.name: job for job in jobs}
        self._sweep, self._options, self._monitor = sweep, options, LeaseMonitor()

    @property
    def left(self) -> int:
        """How many are to end."""
        return len(self.jobs)

    def targets(self) -> set[str]:
        """What the jobs run, by their `_target_`."""
        return {target for job in self.jobs.values() for target in targets(job.config)}

    def refresh(self) -> None:
        """Look which have ended since."""
        for job in list(self.jobs.values()):
            now = job_state(self._sweep, job, self._monitor)
            if not now.is_due or (now.status == Status.FAILED and now.attempt > self._options.jobs[job.name]):
                del self.jobs[job.name]
