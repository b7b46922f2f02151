"""A job whose process died: what is said of the attempt, and what becomes of the job.

Said by the process that watches over the workers (`Casualty`, `settle`), or by whoever takes the job over (`Tries`).
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from mnist_resnet.config.job_spec import FrozenJob
from mnist_resnet.config.schema import check
from mnist_resnet.job_folder import Status, read_metrics
from mnist_resnet.jobs.lease import Claim, Watch, attempts, end_for_the_dead, try_claim
from mnist_resnet.jobs.result import read_result
from mnist_resnet.jobs.result_writer import Record, summary
from mnist_resnet.jobs.worker_options import UNFINISHED

OF_EARLIER_ATTEMPTS = ("epochs", "parameters", "environment")
"""What a job that failed by the death of its processes keeps of its result, beside its epochs."""


class ProcessDied(Exception):
    """A job's process ended without a word, as often as is allowed."""


@dataclass(frozen=True)
class Casualty:
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


def settle(job: FrozenJob, casualty: Casualty, retries: int, watch: Watch) -> bool:
    """Let the job go on with whoever takes it next, or, after `retries` times, record that it failed.

    Returns:
        Whether it failed.
    """
    if casualty.deaths <= retries:
        end_for_the_dead(casualty.folder, casualty.attempt, casualty.reason)
        return False
    # Claimed before the attempt is settled: until then no worker of the launch takes the job.
    claim = try_claim(casualty.folder, watch)
    end_for_the_dead(casualty.folder, casualty.attempt, casualty.reason)
    if claim is None:
        return False
    with claim:
        give_up(job, claim, casualty.reason, casualty.deaths, retries)
    return True


@dataclass(frozen=True)
class Tries:
    """How often a job's process may die, where nobody watches over it.

    Attributes:
        since: attempts that there had been before the launch; they don't count.
        retries: how often the job goes on.
    """

    since: int
    retries: int

    @classmethod
    def of(cls, job: FrozenJob, since: int) -> Self:
        """As the job's config says."""
        return cls(since, check(job.config).sweep.retries)

    def deaths(self, claim: Claim) -> list[str]:
        """Why attempts before this one died, for people; it is said in their records, where nobody could do so."""
        reasons = []
        for attempt in attempts(claim.folder):
            if not self.since < attempt["number"] < claim.number:
                continue
            reason = attempt.get("reason")
            if attempt.get("ended") is None:
                reason = f"process {attempt.get('pid')} on {attempt.get('host')} died, or was cut off"
                end_for_the_dead(claim.folder, attempt["number"], reason)
            reasons += [reason] if reason else []
        return reasons


def give_up(job: FrozenJob, claim: Claim, reason: str, deaths: int, retries: int) -> dict[str, Any]:
    """Record that a claimed job failed, since its processes died; gives its `result.json`."""
    before = read_result(claim.folder) or {}
    record = Record(job, claim, before)
    record.result |= {key: before[key] for key in OF_EARLIER_ATTEMPTS if key in before}
    record.result |= summary(read_metrics(claim.folder))
    times = f"{deaths} time{'s' * (deaths != 1)}"
    record.end(Status.FAILED, ProcessDied(f"{reason} ({times}, sweep.retries={retries})"))
    claim.release(Status.FAILED)
    return record.result
