"""A sweep at a glance, from its folder alone: how each job stands, who runs it, how long the rest will take.

It is made to be fast on many thousands of jobs: of a job that was let go, its last attempt's record alone is read. That
`result.json` says the same is looked at by those who run jobs.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.job_folder import SEARCH, SWEEP, Metrics, Status, UnreadableFolder, read_json, read_metrics
from mnist_resnet.jobs.lease import ATTEMPTS, LeaseMonitor
from mnist_resnet.jobs.objective import direction, objective_of, objective_value
from mnist_resnet.jobs.result import read_result
from mnist_resnet.sweeps.cost import CostModel, epochs_of, seconds_taken, time_to_end
from mnist_resnet.sweeps.folder import QUEUED, UNREADABLE, Sweep, read_sweep

DONE = (Status.COMPLETED, Status.DIVERGED, Status.PRUNED)
TOLD_BY_ITS_RECORD = (*DONE, Status.FAILED)
"""Ends that an attempt's record can be believed: whoever wrote it had written the result before."""
OPEN = (QUEUED, Status.RUNNING, Status.INTERRUPTED)
"""Statuses of jobs that are still to end."""


@dataclass(frozen=True)
class JobStatus:
    """How a job stands.

    Attributes:
        job: the job.
        status: of its last attempt, or `queued`, or `unreadable`.
        remark: why, in one line, where there is something to say.
        record: of its last attempt: who, where, since when; empty if there was none.
        seconds: that a completed job took, if it did so in one attempt.
        epochs: its epochs so far; read for a job that runs, or where a search is judged by them.
    """

    job: JobSpec
    status: str
    remark: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    epochs: list[Metrics] = field(default_factory=list)

    @property
    def holder(self) -> str:
        """The process that runs it, for people."""
        worker = f", worker {self.record['worker']}" if self.record.get("worker") else ""
        return f"process {self.record.get('pid')} on {self.record.get('host')}{worker}"


@dataclass(frozen=True)
class SweepStatus:
    """All jobs of a sweep.

    Attributes:
        sweep: the sweep.
        glances: one for each job, in the sweep's order.
        trials: how many a search is to have; None: it is no search.
        costs: learnt from the jobs that have ended.
        at: when it was taken.
    """

    sweep: Sweep
    jobs: list[JobStatus]
    trials: int | None
    costs: CostModel
    at: datetime

    @cached_property
    def counts(self) -> Counter[str]:
        """Jobs by status; trials that were not asked for yet are queued."""
        counts = Counter(one.status for one in self.jobs)
        counts[QUEUED] += max(0, (self.trials or 0) - len(self.jobs))
        return +counts

    @property
    def total(self) -> int:
        """Jobs in all."""
        return sum(self.counts.values())

    @property
    def left(self) -> int:
        """How many jobs are still to end."""
        return sum(self.counts[status] for status in OPEN)

    def of(self, status: str) -> list[JobStatus]:
        """The jobs of this status."""
        return [one for one in self.jobs if one.status == status]

    def seconds_left(self, workers: int | None = None) -> float | None:
        """Until the last job ends; None if that can't be told yet.

        Args:
            workers: how many are at work; None: as many as there are jobs that are run.
        """
        begun = [self._seconds_left_of(one) for one in self.of(Status.RUNNING)]
        waiting = [self._seconds_left_of(one) for one in self.jobs if one.status in (QUEUED, Status.INTERRUPTED)]
        unborn = [self._mean_seconds] * max(0, (self.trials or 0) - len(self.jobs))
        told = [*begun, *waiting, *unborn]
        if None in told or not told:
            return None if told else 0.0
        known = [seconds for seconds in told if seconds is not None]
        return time_to_end(known[: len(begun)], known[len(begun) :], max(1, workers or len(begun)))

    def best(self) -> tuple[JobStatus, float] | None:
        """The completed trial of a search with the best value, and that."""
        found: list[tuple[JobStatus, float]] = []
        metric = "val_accuracy"
        for one in self.of(Status.COMPLETED):
            metric, epoch = objective_of(one.job.config)
            value = objective_value(one.epochs, metric, epoch)
            found += [(one, value)] if value is not None else []
        pick = max if direction(metric) == "maximize" else min
        return pick(found, key=lambda pair: pair[1]) if found else None

    @property
    def _mean_seconds(self) -> float | None:
        took = [one.seconds for one in self.jobs if one.seconds is not None]
        return sum(took) / len(took) if took else None

    def _seconds_left_of(self, one: JobStatus) -> float | None:
        config = one.job.config
        expected = self.costs.seconds(config)
        if one.status == Status.RUNNING and one.epochs:
            each = sum(epoch.get("seconds", 0.0) for epoch in one.epochs) / len(one.epochs)
            return each * max(0, epochs_of(config) - len(one.epochs))
        if one.status == Status.RUNNING and expected is not None and one.record.get("started"):
            return max(0.0, expected - (self.at - datetime.fromisoformat(one.record["started"])).total_seconds())
        return expected


class StatusReader:
    """Looks at a sweep folder again and again, and remembers what has not changed.

    Args:
        folder: the sweep folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._monitor = LeaseMonitor()
        self._ended: dict[str, tuple[int, JobStatus]] = {}
        self._sweep: tuple[int, Sweep] | None = None

    def read(self) -> SweepStatus:
        """How the sweep stands now.

        Raises:
            UnreadableFolder: the folder holds no sweep.
        """
        trials = _trials(self.folder)
        sweep = self._read_sweep(trials is not None)
        there = {path.name for path in self.folder.iterdir()}
        jobs = [
            self._job_status(sweep, job, trials is not None) if job.name in there else JobStatus(job, QUEUED)
            for job in sweep.jobs
        ]
        costs = CostModel()
        for one in jobs:
            if one.seconds is not None:
                costs.learn(one.job.config, one.seconds)
        return SweepStatus(sweep, jobs, trials, costs, datetime.now(UTC))

    def _read_sweep(self, is_search: bool) -> Sweep:
        try:
            changed = (self.folder / SWEEP).stat().st_mtime_ns
        except OSError:
            if is_search:
                return Sweep(self.folder, {}, [])
            changed = 0
        if self._sweep is None or self._sweep[0] != changed:
            self._sweep = changed, read_sweep(self.folder)
        return self._sweep[1]

    def _job_status(self, sweep: Sweep, job: JobSpec, is_search: bool) -> JobStatus:
        folder = sweep.folder_of(job)
        try:
            changed = (folder / ATTEMPTS).stat().st_mtime_ns
        except OSError:
            return self._unclaimed(folder, job)
        known = self._ended.get(job.name)
        if known and known[0] == changed:
            return known[1]
        seen = self._monitor.observe(folder)
        status = str(seen.record.get("status"))
        if seen.state != "released" or status not in TOLD_BY_ITS_RECORD:
            return self._unreleased(folder, job, seen.state == "held", seen.record)
        job_status = JobStatus(job, status, self._remark(folder, status), seen.record, seconds_taken(seen.record))
        if is_search and status == Status.COMPLETED:
            job_status = JobStatus(job, status, "", seen.record, job_status.seconds, read_metrics(folder))
        self._ended[job.name] = changed, job_status
        return job_status

    def _unclaimed(self, folder: Path, job: JobSpec) -> JobStatus:
        return self._unreleased(folder, job, False, {})

    def _unreleased(self, folder: Path, job: JobSpec, is_held: bool, record: Mapping[str, Any]) -> JobStatus:
        if is_held:
            return JobStatus(job, Status.RUNNING, "", record, epochs=read_metrics(folder))
        try:
            result = read_result(folder)
        except UnreadableFolder as error:
            return JobStatus(job, UNREADABLE, str(error), record)
        if result is None:
            return JobStatus(job, QUEUED, "", record)
        status = str(result["status"])
        if status == Status.RUNNING:
            return JobStatus(job, Status.INTERRUPTED, str(record.get("reason", "its process died")), record)
        return JobStatus(job, status, self._remark(folder, status), record)

    def _remark(self, folder: Path, status: str) -> str:
        if status not in (Status.FAILED, Status.DIVERGED):
            return ""
        try:
            error = (read_result(folder) or {}).get("error")
        except UnreadableFolder as unreadable:
            return str(unreadable)
        if not isinstance(error, dict):
            return ""
        kind = f"{error['type']}: " if "type" in error else ""
        return f"{kind}{error.get('message')}"


def _trials(folder: Path) -> int | None:
    if not (folder / SEARCH).exists():
        return None
    trials = read_json(folder / SEARCH).get("trials")
    if not isinstance(trials, int):
        raise UnreadableFolder(f"{folder / SEARCH}: can't be read (it says no number of trials)")
    return trials
