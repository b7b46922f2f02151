"""A job whose process died: what is said of the attempt, and what becomes of the job."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from mnist_resnet.job_folder import Status, read_metrics
from mnist_resnet.running.claim import Watch, attempts, end_for_the_dead, try_claim
from mnist_resnet.running.frozen import FrozenJob
from mnist_resnet.running.orders import UNFINISHED
from mnist_resnet.running.record import Record, summary
from mnist_resnet.running.result import read_result

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
        before = read_result(casualty.folder) or {}
        record = Record(job, claim, before)
        record.result |= {key: before[key] for key in OF_EARLIER_ATTEMPTS if key in before}
        record.result |= summary(read_metrics(casualty.folder))
        times = f"{casualty.deaths} time{'s' * (casualty.deaths != 1)}"
        record.end(Status.FAILED, ProcessDied(f"{casualty.reason} ({times}, sweep.retries={retries})"))
        claim.release(Status.FAILED)
    return True
