"""Records crashed attempts and decides whether to retry.

The process that supervises workers does so as soon as one dies (`handle_crash`); where nobody supervises them, whoever
takes the job over counts the crashes (`RetryBudget`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.schema import check
from mnist_resnet.job_folder import Status, read_metrics
from mnist_resnet.jobs.lease import Lease, LeaseMonitor, acquire_lease, attempts, close_dead_attempt
from mnist_resnet.jobs.result import read_result
from mnist_resnet.jobs.result_writer import ResultWriter, summary
from mnist_resnet.jobs.worker_options import UNFINISHED

OF_EARLIER_ATTEMPTS = ("epochs", "parameters", "environment")
"""What a job that failed by the death of its processes keeps of its result, beside its epochs."""


class ProcessDied(Exception):
    """A job's process ended without a word, as often as is allowed."""


@dataclass(frozen=True)
class CrashedAttempt:
    """An attempt whose worker died.

    Attributes:
        folder: the job folder.
        attempt: its number.
        reason: for people.
        deaths: of this launch's workers at this job, this one among them.
    """

    folder: Path
    attempt: int
    reason: str
    deaths: int

    @classmethod
    def of(cls, folder: Path, launch: str, worker: int, reason: str) -> Self | None:
        """The attempt at the job in `folder` that this worker of a launch left behind, if it did."""
        of_launch = [attempt for attempt in attempts(folder) if attempt.get("launch") == launch]
        settled = [attempt for attempt in of_launch if "reason" in attempt]
        for attempt in of_launch:
            if attempt["worker"] == worker and attempt["status"] in UNFINISHED and attempt not in settled:
                return cls(folder, attempt["number"], reason, len(settled) + 1)
        return None


def handle_crash(job: JobSpec, casualty: CrashedAttempt, retries: int, monitor: LeaseMonitor) -> bool:
    """Let the job go on with whoever takes it next, or, after `retries` times, record that it failed.

    Returns:
        Whether it failed.
    """
    if casualty.deaths <= retries:
        close_dead_attempt(casualty.folder, casualty.attempt, casualty.reason)
        return False
    # Claimed before the attempt is settled: until then no worker of the launch takes the job.
    lease = acquire_lease(casualty.folder, monitor)
    close_dead_attempt(casualty.folder, casualty.attempt, casualty.reason)
    if lease is None:
        return False
    with lease:
        fail_crashed_job(job, lease, casualty.reason, casualty.deaths, retries)
    return True


@dataclass(frozen=True)
class RetryBudget:
    """How often a job's process may die, where nobody watches over it.

    Attributes:
        since: attempts that there had been before the launch; they don't count.
        retries: how often the job goes on.
    """

    since: int
    retries: int

    @classmethod
    def of(cls, job: JobSpec, since: int) -> Self:
        """As the job's config says."""
        return cls(since, check(job.config).sweep.retries)

    def deaths(self, lease: Lease) -> list[str]:
        """Why attempts before this one died, for people; it is said in their records, where nobody could do so."""
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


def fail_crashed_job(job: JobSpec, lease: Lease, reason: str, deaths: int, retries: int) -> dict[str, Any]:
    """Record that a claimed job failed, since its processes died; gives its `result.json`."""
    before = read_result(lease.folder) or {}
    record = ResultWriter(job, lease, before)
    record.result |= {key: before[key] for key in OF_EARLIER_ATTEMPTS if key in before}
    record.result |= summary(read_metrics(lease.folder))
    times = f"{deaths} time{'s' * (deaths != 1)}"
    record.end(Status.FAILED, ProcessDied(f"{reason} ({times}, sweep.retries={retries})"))
    lease.release(Status.FAILED)
    return record.result
