"""Tracks a launch's unfinished jobs, for the process that supervises its workers.

Workers order and take jobs with `sweeps.queue` instead.
"""

from collections.abc import Iterable
from typing import Protocol

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.allowed_targets import targets
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.jobs.worker_options import WorkerOptions
from mnist_resnet.sweeps.folder import Sweep, job_state
from mnist_resnet.sweeps.status import StatusReader


class PendingJobs(Protocol):
    """A launch's unfinished jobs, as of the last call of `refresh`."""

    @property
    def jobs(self) -> dict[str, JobSpec]:
        """The unfinished jobs that are frozen, by name."""

    @property
    def left(self) -> int:
        """The number of unfinished jobs, including trials of a search that have not been suggested yet."""

    def targets(self) -> set[str]:
        """Return the `_target_` values in the jobs' configs."""

    def seconds_left(self, workers: int | None = None) -> float | None:
        """Return the estimated seconds until the last one ends; None if there is nothing to estimate from yet.

        Args:
            workers: number of workers; None: one per running job.
        """

    def refresh(self) -> None:
        """Read the sweep folder again and drop the jobs that have ended."""


class PendingSweepJobs:
    """The unfinished jobs of a sweep, all of which were frozen at launch.

    Args:
        sweep: the sweep.
        jobs: those of its jobs that the launch runs.
        options: the launch's options, with the number of attempts that each job had at launch.
    """

    def __init__(self, sweep: Sweep, jobs: Iterable[JobSpec], options: WorkerOptions) -> None:
        self.jobs = {job.name: job for job in jobs}
        self._sweep, self._options, self._monitor = sweep, options, LeaseMonitor()
        self._status = StatusReader(sweep.folder)

    @property
    def left(self) -> int:
        """The number of unfinished jobs."""
        return len(self.jobs)

    def targets(self) -> set[str]:
        """Return the `_target_` values in the jobs' configs."""
        return {target for job in self.jobs.values() for target in targets(job.config)}

    def seconds_left(self, workers: int | None = None) -> float | None:
        """Return the estimated seconds until the last one ends; see `PendingJobs`."""
        return self._status.seconds_left(workers, self._options.jobs)

    def refresh(self) -> None:
        """Read the sweep folder again and drop the jobs that have ended."""
        for job in list(self.jobs.values()):
            state = job_state(self._sweep, job, self._monitor)
            if state.has_ended_since(self._options.jobs[job.name]):
                del self.jobs[job.name]
