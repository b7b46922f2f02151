"""States of a search's unfinished trials, read from their job folders."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.job_folder import DONE, Status
from mnist_resnet.search.study import JOB, all_trials
from mnist_resnet.sweeps.folder import JobState, Sweep, find_sweep, job_state
from mnist_resnet.sweeps.runner import Peers

TrialStatus = Literal["no job", "available", "running", "ended", "failed"]
"""Status of an unfinished trial.

It has no job yet; its job can be run; a worker runs its job; its job has a result that the study does not know yet; its
job failed since the launch or its folder can't be read.
"""


class TrialStates:
    """Reads the states of a search's trials: the study lists the trials, the job folders say how far they are.

    Args:
        folder: The sweep folder.
        storage: The study's storage.
        monitor: This worker's view of all leases.
        attempts: Number of attempts at each job when the search was launched, by job name. A job that has failed since
            then is not run again. None: count the attempts now.
    """

    def __init__(
        self, folder: Path, storage: JournalStorage, monitor: LeaseMonitor, attempts: Mapping[str, int] | None = None
    ) -> None:
        self._folder, self._storage, self._monitor = folder, storage, monitor
        self._attempts_at_launch = self.count_attempts() if attempts is None else attempts

    def count_attempts(self) -> dict[str, int]:
        """Return the number of attempts at each job so far, by job name."""
        sweep = self.sweep()
        return {job.name: self.job_state(sweep, job).attempt for job in sweep.jobs} if sweep else {}

    def attempts_at_launch(self, job_name: str) -> int:
        """Return the number of attempts at a job when the search was launched."""
        return self._attempts_at_launch.get(job_name, 0)

    def unfinished_jobs(self) -> list[JobSpec]:
        """Return the jobs that have no result and have not failed since the launch."""
        sweep = self.sweep()
        states = [self.job_state(sweep, job) for job in sweep.jobs] if sweep else []
        return [state.job for state in states if state.status not in DONE and not self._has_failed(state)]

    def running_folders(self) -> list[Path]:
        """Return the job folders of the unfinished trials that a worker runs."""
        names = {trial.number: trial.user_attrs.get(JOB) for trial in self._unfinished()}
        running = [number for number, status in self.statuses().items() if status == "running"]
        return [self._folder / str(names.get(number)) for number in running]

    def statuses(self, peers: Peers | None = None) -> dict[int, TrialStatus]:
        """Return the status of each unfinished trial, by trial number.

        Args:
            peers: Workers of the same launch. A job that they may still retry counts as running. None: ignore them.
        """
        unfinished = self._unfinished()
        sweep = self.sweep() if unfinished else None
        jobs = {job.name: job for job in sweep.jobs} if sweep else {}
        return {trial.number: self._status(trial, sweep, jobs, peers) for trial in unfinished}

    def sweep(self) -> Sweep | None:
        """Read the sweep's job list; None before the first trial has a job."""
        return find_sweep(self._folder)

    def job_state(self, sweep: Sweep, job: JobSpec) -> JobState:
        """Return the state of a job, by its folder and lease."""
        return job_state(sweep, job, self._monitor)

    def _unfinished(self) -> list[FrozenTrial]:
        return [trial for trial in all_trials(self._storage) if trial.state == TrialState.RUNNING]

    def _status(
        self, trial: FrozenTrial, sweep: Sweep | None, jobs: Mapping[str, JobSpec], peers: Peers | None
    ) -> TrialStatus:
        job = jobs.get(str(trial.user_attrs.get(JOB, "")))
        if job is None or sweep is None:
            return "no job"
        state = self.job_state(sweep, job)
        if state.status in DONE:
            return "ended"
        if self._has_failed(state):
            return "failed"
        if state.action == "leave" or (peers is not None and not peers.may_take_over(sweep.folder_of(job))):
            return "running"
        return "available"

    def _has_failed(self, state: JobState) -> bool:
        return state.status == "unreadable" or (
            state.status == Status.FAILED and self.attempts_at_launch(state.job.name) != state.attempt
        )
