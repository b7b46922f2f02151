"""Says which jobs of a launch a sweep has already, but for the numerics that are asked for."""

from collections import Counter, defaultdict
from typing import Any

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.levels import level_text
from mnist_resnet.config.signature import differing_numerics
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
    others: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for other in sweep.content["jobs"]:
        if other["name"] not in launched:
            others[other["signature"]].append(other["config"])
    varied = {key for job in sweep.jobs for key in differing_numerics(job.config, sweep.jobs[0].config)}
    there: Counter[str] = Counter()
    for job in sweep.jobs:
        had = [differing_numerics(config, job.config) for config in others[job.signature]]
        nearest = min(filter(None, had), key=len, default=None)  # those that differ in none are on other data
        if nearest and not varied & nearest.keys() and not job_state(sweep, job, monitor).attempt:
            there[" ".join(f"{key}={level_text(value)}" for key, value in nearest.items())] += 1
    if not there:
        return None
    ((numerics, count),) = there.most_common(1)
    return f"{sweep.folder}: has {count} of these {len(sweep.jobs)} jobs with {numerics}; without it they run once more"
