"""The status of a sweep, read from its folder: each job's state, who runs it, and the time left.

Reading is fast for many thousands of jobs: for a job whose lease was released, only the last attempt's record is read.
Whether `result.json` agrees with it is checked by the processes that run jobs.
"""

import os
from collections import Counter
from collections.abc import Mapping, Set
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from mnist_resnet.attempts import ATTEMPTS, LeaseMonitor
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.metric import best_of, is_image_classifier
from mnist_resnet.config.objective import objective_of
from mnist_resnet.job_folder import (
    DONE,
    METRICS,
    SEARCH,
    SWEEP,
    Metrics,
    Status,
    UnreadableFolder,
    read_json,
    read_metrics,
)
from mnist_resnet.jobs.result import read_result
from mnist_resnet.jobs.worker_options import launches, read_worker_options
from mnist_resnet.sweeps.cost import CostModel, epochs_of, seconds_taken, time_to_end
from mnist_resnet.sweeps.folder import QUEUED, UNREADABLE, Sweep, read_sweep

TRUSTED_FROM_RECORD = (*DONE, Status.FAILED)
"""Statuses for which an attempt's record is trusted: it is written after the result."""
OPEN = (QUEUED, Status.RUNNING, Status.INTERRUPTED)
"""Statuses of jobs that have not ended."""


@dataclass(frozen=True)
class JobStatus:
    """The status of a job.

    Attributes:
        job: the job.
        status: the status of its last attempt, or `queued`, or `unreadable`.
        remark: the reason in one line, or empty.
        record: its last attempt's record (process, host, start); empty if there is none.
        seconds: how long the job took, if it is completed; without its start-up, if it took several attempts.
        epochs: its metrics by epoch; only read for a job that has begun but not ended, for a completed trial of a
            search, and for a job that took several attempts.
        epochs_written: when they were written; None if there are none, or they aren't read.
        measured: seconds that an epoch takes at present, if the process that runs the job has measured it.
    """

    job: JobSpec
    status: str
    remark: str = ""
    record: Mapping[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    epochs: list[Metrics] = field(default_factory=list)
    epochs_written: datetime | None = None
    measured: float | None = None

    @property
    def seconds_per_epoch(self) -> float | None:
        """Mean duration of an unfinished job's epochs, or as it was measured; None if unknown, and of a function.

        A training function alone knows how many reports it will make.
        """
        if self.measured is not None:
            return self.measured
        if self.status not in OPEN or not self.epochs or not is_image_classifier(self.job.config):
            return None
        return self.seconds_done / len(self.epochs)

    def is_left(self, attempts: Mapping[str, int]) -> bool:
        """Whether the job has not ended, or failed before a launch that runs it again.

        Args:
            attempts: jobs that are launched, each with the number of attempts before.
        """
        runs_again = self.record.get("number", 0) <= attempts.get(self.job.name, -1)
        return self.status in OPEN or (self.status == Status.FAILED and runs_again)

    @property
    def seconds_done(self) -> float:
        """Duration of the epochs, or between the reports, so far."""
        return sum(epoch.get("seconds", 0.0) for epoch in self.epochs)

    def seconds_since_epoch(self, now: datetime) -> float:
        """Return how long a running job has been at its current epoch; 0 if it does not run."""
        started = self.record.get("started")
        begins = [self.epochs_written, datetime.fromisoformat(started) if started else None]
        known = [begin for begin in begins if begin is not None]
        return max(0.0, (now - max(known)).total_seconds()) if known and self.status == Status.RUNNING else 0.0

    @property
    def holder(self) -> str:
        """Human-readable description of the process that runs the job or, if that can't be read, why not."""
        if not self.record and self.remark:
            return self.remark
        worker = f", worker {self.record['worker']}" if self.record.get("worker") else ""
        return f"process {self.record.get('pid')} on {self.record.get('host')}{worker}"


@dataclass(frozen=True)
class SweepStatus:
    """The status of all jobs of a sweep.

    Attributes:
        sweep: the sweep.
        jobs: one status per job, in the sweep's order.
        trials: number of trials that a search will have; None if the sweep is no search.
        costs: cost model, learnt from the jobs that have ended and from the epochs of those that run.
        at: when the status was read.
        launched: jobs of the active launches with workers, each with the number of attempts before.
    """

    sweep: Sweep
    jobs: list[JobStatus]
    trials: int | None
    costs: CostModel
    at: datetime
    launched: Mapping[str, int]

    @cached_property
    def counts(self) -> Counter[str]:
        """Number of jobs by status. Trials that were not suggested yet count as queued."""
        counts = Counter(job.status for job in self.jobs)
        counts[QUEUED] += max(0, (self.trials or 0) - len(self.jobs))
        return +counts

    @property
    def total(self) -> int:
        """Number of jobs."""
        return sum(self.counts.values())

    @property
    def left(self) -> int:
        """Number of jobs that have not ended."""
        return sum(self.counts[status] for status in OPEN)

    def with_status(self, status: str) -> list[JobStatus]:
        """Return the jobs with this status."""
        return [job for job in self.jobs if job.status == status]

    def seconds_left(self, workers: int | None = None, attempts: Mapping[str, int] | None = None) -> float | None:
        """Return the estimated seconds until the last job ends; None if there is nothing to estimate from yet.

        Args:
            workers: number of workers; None: one per running job.
            attempts: the jobs of one launch, which alone count, each with the number of attempts before. None: all.
        """
        counted = [job for job in self.jobs if attempts is None or job.job.name in attempts]
        left = [job for job in counted if job.is_left(self.launched if attempts is None else attempts)]
        running = [self._job_seconds_left(job) for job in left if job.status == Status.RUNNING]
        waiting = [self._job_seconds_left(job) for job in left if job.status != Status.RUNNING]
        not_suggested = [self._mean_seconds] * max(0, (self.trials or 0) - len(self.jobs))
        estimates = [*running, *waiting, *not_suggested]
        if None in estimates or not estimates:
            return None if estimates else 0.0
        known = [seconds for seconds in estimates if seconds is not None]
        return time_to_end(known[: len(running)], known[len(running) :], max(1, workers or len(running)))

    def best(self) -> tuple[JobStatus, float] | None:
        """Return the first completed trial with the best value of the search's objective, and that value.

        None if there is none yet, or several objectives.
        """
        candidates: list[tuple[JobStatus, float]] = []
        for trial in self.with_status(Status.COMPLETED):
            objective = objective_of(trial.job.config)
            values = objective.values(trial.epochs)
            if values is not None and len(values) == 1 and objective.is_feasible(trial.epochs):
                candidates.append((trial, values[0]))
        if not candidates:
            return None
        best = best_of([value for _, value in candidates], objective.metrics[0])
        return next(candidate for candidate in candidates if candidate[1] == best)

    @property
    def _mean_seconds(self) -> float | None:
        durations = [self.costs.seconds(job.job.config) for job in self.jobs]
        known = [seconds for seconds in durations if seconds is not None]
        return sum(known) / len(known) if known else None

    def _job_seconds_left(self, job: JobStatus) -> float | None:
        config, an_epoch = job.job.config, job.seconds_per_epoch
        since_epoch = job.seconds_since_epoch(self.at)
        if an_epoch is not None:
            return max(0.0, an_epoch * (epochs_of(config) - len(job.epochs)) - min(since_epoch, an_epoch))
        expected = self.costs.seconds(config)
        return None if expected is None else max(0.0, expected - job.seconds_done - since_epoch)


class StatusReader:
    """Reads the status of a sweep repeatedly, and caches jobs that have ended.

    Args:
        folder: the sweep folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._monitor = LeaseMonitor()
        self._ended: dict[str, tuple[int, JobStatus]] = {}
        self._sweep: tuple[int, Sweep] | None = None

    def read(self, measured: Mapping[str, float] | None = None) -> SweepStatus:
        """Read the sweep's current status.

        Args:
            measured: seconds that an epoch takes at present, by job, where the caller has measured it.

        Raises:
            UnreadableFolder: the folder holds no sweep.
        """
        trials = _trial_count(self.folder)
        sweep = self._read_sweep(trials is not None)
        existing = self._existing({job.name for job in sweep.jobs})
        jobs = [
            self._job_status(sweep, job, trials is not None) if job.name in existing else JobStatus(job, QUEUED)
            for job in sweep.jobs
        ]
        if measured:
            jobs = [replace(job, measured=measured.get(job.job.name)) for job in jobs]
        costs = CostModel()
        for job in jobs:
            if job.seconds is not None:
                costs.learn(job.job.config, job.seconds)
            elif job.seconds_per_epoch is not None:
                costs.learn(job.job.config, job.seconds_per_epoch * epochs_of(job.job.config))
        may_run_again = trials is None and any(job.status == Status.FAILED for job in jobs)
        launched = _launched(self.folder) if may_run_again else {}
        return SweepStatus(sweep, jobs, trials, costs, datetime.now(UTC), launched)

    def seconds_left(
        self,
        workers: int | None,
        attempts: Mapping[str, int] | None = None,
        measured: Mapping[str, float] | None = None,
    ) -> float | None:
        """Return the estimated seconds until the last job ends; None if unknown, or if the folder can't be read now.

        See `SweepStatus.seconds_left` and `read` for the arguments.
        """
        try:
            return self.read(measured).seconds_left(workers, attempts)
        except (OSError, UnreadableFolder):
            return None

    def _existing(self, names: Set[str]) -> set[str]:
        """Return which names the sweep's folder has, in one reading; it may hold any number of others."""
        with os.scandir(self.folder) as entries:
            return {entry.name for entry in entries if entry.name in names}

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
            return self._status_from_result(folder, job, False, {})
        cached = self._ended.get(job.name)
        if cached and cached[0] == changed:
            return cached[1]
        try:
            lease = self._monitor.observe(folder)
        except OSError as error:
            return JobStatus(job, UNREADABLE, str(error))
        status = str(lease.record.get("status"))
        if lease.state != "released" or status not in TRUSTED_FROM_RECORD:
            if lease.error:
                return JobStatus(job, UNREADABLE if lease.given_up else Status.RUNNING, lease.error)
            return self._status_from_result(folder, job, lease.state == "held", lease.record)
        seconds = seconds_taken(lease.record)
        epochs = read_metrics(folder) if status == Status.COMPLETED and (is_search or seconds is None) else []
        job_status = JobStatus(job, status, self._remark(folder, status), lease.record, seconds, epochs)
        if status == Status.COMPLETED and seconds is None:
            job_status = replace(job_status, seconds=job_status.seconds_done or None)
        self._ended[job.name] = changed, job_status
        return job_status

    def _status_from_result(self, folder: Path, job: JobSpec, is_held: bool, record: Mapping[str, Any]) -> JobStatus:
        if is_held:
            return JobStatus(job, Status.RUNNING, "", record, **_epochs(folder))
        try:
            result = read_result(folder)
        except UnreadableFolder as error:
            return JobStatus(job, UNREADABLE, str(error), record)
        if result is None:
            return JobStatus(job, QUEUED, "", record)
        status = str(result["status"])
        if status in (Status.RUNNING, Status.INTERRUPTED):
            reason = str(record.get("reason", "its process died")) if status == Status.RUNNING else ""
            return JobStatus(job, Status.INTERRUPTED, reason, record, **_epochs(folder))
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


def _trial_count(folder: Path) -> int | None:
    if not (folder / SEARCH).exists():
        return None
    trials = read_json(folder / SEARCH).get("trials")
    if not isinstance(trials, int):
        raise UnreadableFolder(f"{folder / SEARCH}: can't be read (it has no number of trials)")
    return trials


def _launched(folder: Path) -> dict[str, int]:
    jobs: dict[str, int] = {}
    for launch in launches(folder):
        with suppress(UnreadableFolder):  # it has just ended
            jobs |= read_worker_options(folder, launch).jobs
    return jobs


def _epochs(folder: Path) -> dict[str, Any]:
    """Return a job's epochs so far and when they were written, as `JobStatus` has them."""
    try:
        written = (folder / METRICS).stat().st_mtime
    except FileNotFoundError:
        return {}
    return {"epochs": read_metrics(folder), "epochs_written": datetime.fromtimestamp(written, UTC)}
