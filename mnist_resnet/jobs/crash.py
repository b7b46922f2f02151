"""Records crashed attempts and decides whether to retry.

The process that supervises workers does so as soon as one dies (`handle_crash`); without a supervisor, the process that
takes the job over counts the crashes (`RetryBudget`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mnist_resnet.attempts import LeaseMonitor, attempts
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.schema import check_job
from mnist_resnet.job_folder import Status, read_metrics
from mnist_resnet.jobs.lease import Lease, acquire_lease, close_dead_attempt
from mnist_resnet.jobs.result import read_result
from mnist_resnet.jobs.result_writer import ResultWriter, summary
from mnist_resnet.jobs.worker_options import UNFINISHED

KEPT_FROM_BEFORE = ("epochs", "parameters", "environment")
"""Entries that the result of a job whose processes crashed keeps from earlier attempts, beside its epochs."""


class ProcessDied(Exception):
    """A job's process crashed once more than retries are allowed."""


@dataclass(frozen=True)
class CrashedAttempt:
    """An attempt whose worker died.

    Attributes:
        folder: The job folder.
        attempt: Its number.
        reason: Why the worker died, human-readable.
        crashes: How often workers of this launch have crashed in this job, this time included.
    """

    folder: Path
    attempt: int
    reason: str
    crashes: int

    @classmethod
    def of(cls, folder: Path, launch: str, worker: int, reason: str) -> Self | None:
        """Return the attempt at the job in `folder` that this worker of a launch left unfinished; None if it didn't."""
        of_launch = [attempt for attempt in attempts(folder) if attempt.get("launch") == launch]
        crashed = [attempt for attempt in of_launch if "reason" in attempt]
        for attempt in of_launch:
            if attempt.get("worker") == worker and attempt["status"] in UNFINISHED and attempt not in crashed:
                return cls(folder, attempt["number"], reason, len(crashed) + 1)
        return None


def handle_crash(job: JobSpec, crashed: CrashedAttempt, retries: int, monitor: LeaseMonitor) -> bool:
    """Release the job for another worker or, after `retries` crashes, record that it failed.

    Returns:
        Whether it failed.
    """
    if crashed.crashes <= retries:
        close_dead_attempt(crashed.folder, crashed.attempt, crashed.reason)
        return False
    # The lease comes first: until the crashed attempt is closed, no worker of the launch takes the job.
    lease = acquire_lease(crashed.folder, monitor)
    close_dead_attempt(crashed.folder, crashed.attempt, crashed.reason)
    if lease is None:
        return False
    with lease:
        fail_crashed_job(job, lease, crashed.reason, crashed.crashes, retries)
    return True


def has_begun_a_job(folders: Iterable[Path], launch: str, worker: int) -> bool:
    """Return whether a worker of a launch has begun any of the jobs in `folders`, whatever became of it.

    Raises:
        OSError: An attempt can't be read.
    """
    return any(
        attempt.get("launch") == launch and attempt.get("worker") == worker
        for folder in folders
        for attempt in attempts(folder)
    )


@dataclass(frozen=True)
class RetryBudget:
    """How often a job's process may crash without a supervisor.

    Attributes:
        since: Number of attempts before the launch; their crashes don't count.
        limit: How often the job is retried.
    """

    since: int
    limit: int

    @classmethod
    def of(cls, job: JobSpec, since: int) -> Self:
        """Return the budget that the job's config sets."""
        return cls(since, check_job(job.config).sweep.retries)

    def crashes(self, lease: Lease) -> list[str]:
        """Return why attempts before this one crashed; those whose records don't say so yet are closed.

        Raises:
            OSError: An attempt can't be read.
        """
        reasons = []
        for attempt in attempts(lease.folder):
            if not self.since < attempt["number"] < lease.number:
                continue
            reason = attempt.get("reason")
            if attempt.get("ended") is None:
                reason = f"process {attempt.get('pid')} on {attempt.get('host')} died, or was cut off"
                close_dead_attempt(lease.folder, attempt["number"], reason)
            reasons += [reason] if reason else []
        return reasons


def fail_crashed_job(job: JobSpec, lease: Lease, reason: str, crashes: int, retries: int) -> dict[str, Any]:
    """Record that a job failed because its processes crashed; returns its `result.json`."""
    times = f"{crashes} time{'s' * (crashes != 1)}"
    return fail_unstarted_attempt(job, lease, ProcessDied(f"{reason} ({times}, sweep.retries={retries})"))


def fail_unstarted_attempt(job: JobSpec, lease: Lease, error: Exception) -> dict[str, Any]:
    """Record that a job failed before this attempt did anything; returns its `result.json`."""
    before = read_result(lease.folder) or {}
    writer = ResultWriter(job, lease, before)
    writer.result |= {key: before[key] for key in KEPT_FROM_BEFORE if key in before}
    writer.result |= summary(read_metrics(lease.folder), job.config)
    writer.end(Status.FAILED, error)
    lease.release(Status.FAILED)
    return writer.result
