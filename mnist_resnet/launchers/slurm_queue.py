"""Reads from Slurm's queue what has become of an array, and why it waits. Needs no accounting."""

import re
import subprocess
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mnist_resnet.job_folder import LAUNCHES

TIMEOUT = 30.0
"""Seconds for one of Slurm's commands to answer."""
ENDED = frozenset(
    ["COMPLETED", "CANCELLED", "FAILED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "DEADLINE", "BOOT_FAIL", "REVOKED"]
)
"""States in which `squeue` may list a task that has ended."""
NOT_CONSIDERED = "None"
"""Reason of a task that the scheduler has not looked at yet."""
NEVER_STARTS = re.compile(
    r"(Partition|Assoc\w*|QOS\w*)TimeLimit|(Assoc|QOS)Max\w+PerJob(Limit)?|BadConstraints|DependencyNeverSatisfied"
    r"|Invalid(Account|QOS)|(Account|QOS)NotAllowed"
)
"""Reasons for which a pending task never starts unless somebody changes it or the cluster's limits."""
KEYS = {
    "TimeLimit|WallDuration": "time",
    "Cpu": "cpus_per_worker",
    "Mem": "memory",
    "Constraints": "constraint",
    "Account": "account",
    "QOS": "qos",
}
"""The key of `hydra.launcher.slurm` that a reason is about, by regular expression; the first one found counts."""


@dataclass(frozen=True)
class ArrayState:
    """State of an array's tasks.

    Attributes:
        job: Slurm's number of the array.
        started: Number of tasks that run, or are about to end.
        pending: Number of pending tasks by Slurm's reason.
    """

    job: str
    started: int = 0
    pending: Mapping[str, int] = field(default_factory=dict)

    @property
    def alive(self) -> int:
        """Number of tasks that run or may start."""
        return self.started + sum(count for reason, count in self.pending.items() if not self._never_starts(reason))

    def describe_pending(self) -> str | None:
        """Return why tasks are pending, human-readable; None if none is, or if Slurm does not say yet."""
        reasons = {reason: count for reason, count in self.pending.items() if reason != NOT_CONSIDERED}
        if not reasons:
            return None
        count = sum(reasons.values())
        listed = ", ".join(f"{reason}{_advice(reason) if self._never_starts(reason) else ''}" for reason in reasons)
        return f"Slurm array {self.job}: {count} task{'s' * (count != 1)} pending: {listed}"

    def describe(self) -> str | None:
        """Return why no task has begun a job, human-readable; None if none ever will."""
        starting = f"Slurm array {self.job}: its tasks are about to start" if self.alive else None
        return self.describe_pending() or starting

    @staticmethod
    def _never_starts(reason: str) -> bool:
        return NEVER_STARTS.fullmatch(reason) is not None


def read_array(job: str) -> ArrayState | None:
    """Return the state of an array from `squeue`; None if it does not answer."""
    queue = run_command("squeue", "--noheader", "--array", "--format=%T %r", f"--jobs={job}")
    if queue is None:
        return None
    if queue.returncode:
        # Slurm forgets an array some minutes after its end.
        return ArrayState(job) if "Invalid job id" in queue.stderr else None
    tasks = [line.strip().partition(" ")[::2] for line in queue.stdout.splitlines() if line.strip()]
    pending = Counter(reason for state, reason in tasks if state == "PENDING")
    started = sum(state != "PENDING" and state not in ENDED for state, _ in tasks)
    return ArrayState(job, started, pending)


def submitted_arrays(folder: Path, launch: str) -> list[str]:
    """Return Slurm's numbers of the arrays that a launch submitted, from the sweep folder."""
    scripts = (folder / LAUNCHES / f"{launch}-slurm").glob("*_submission.sh")
    return sorted(script.name.partition("_")[0] for script in scripts)


def run_command(*command: str) -> subprocess.CompletedProcess[str] | None:
    """Run one of Slurm's commands; None if it is missing or does not answer in time."""
    try:
        return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return None


def max_array_size() -> int | None:
    """Return the largest number of tasks that the cluster allows in an array; None if it doesn't say."""
    config = run_command("scontrol", "show", "config")
    found = re.search(r"^MaxArraySize\s*=\s*(\d+)", config.stdout, re.MULTILINE) if config else None
    return int(found.group(1)) if found else None


def _advice(reason: str) -> str:
    key = next((key for pattern, key in KEYS.items() if re.search(pattern, reason)), None)
    return f" (they never start{f'; see hydra.launcher.slurm.{key}' if key else ''})"
