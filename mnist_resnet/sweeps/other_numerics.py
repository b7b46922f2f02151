"""Says which jobs of a launch a sweep has already, but for the numerics that are asked for."""

from collections import Counter
from typing import Any

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.levels import level_text
from mnist_resnet.config.signature import requested_numerics
from mnist_resnet.sweeps.folder import Sweep, job_state


def other_numerics_line(sweep: Sweep, monitor: LeaseMonitor) -> str | None:
    """Return a line on queued jobs whose experiment another job of the sweep is, with other numerics; None if none is.

    Numerics are part of a job's identity: without this line a study that began on another machine is begun once more
    by a command that only lacks `trainer.precision`.

    Args:
        sweep: a launch's jobs, and the content of the sweep with all jobs.
        monitor: observes the jobs.
    """
    launched = {job.name for job in sweep.jobs}
    others = {job["signature"]: job["config"] for job in sweep.content["jobs"] if job["name"] not in launched}
    there: Counter[str] = Counter()
    for job in sweep.jobs:
        if job.signature in others and not job_state(sweep, job, monitor).attempt:
            there[_differing(others[job.signature], job.config)] += 1
    del there[""]  # on other data
    if not there:
        return None
    ((numerics, count),) = there.most_common(1)
    return f"{sweep.folder}: has {count} of these {len(sweep.jobs)} jobs with {numerics}; without it they run once more"


def _differing(had: dict[str, Any], asked: dict[str, Any]) -> str:
    wanted = requested_numerics(asked)
    differing = {key: value for key, value in requested_numerics(had).items() if value != wanted[key]}
    return " ".join(f"{key}={level_text(value)}" for key, value in differing.items())
