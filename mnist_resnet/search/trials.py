"""Assigns the trials of a search to workers.

The study says which values were proposed; the job folders say what was trained. A process may die between writing the
one and the other. So the next worker that asks for a trial reads the job folders and updates the study, under the lease
on the sweep's job list. A trial stays unfinished in the study until its job has a result: a job that was interrupted or
that failed is continued as the same trial.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from optuna.trial import FrozenTrial, TrialState

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.objective import objective_of
from mnist_resnet.config.schema import check_job
from mnist_resnet.search.components import build_pruner, trials_for_grid
from mnist_resnet.search.spec import SearchSpec
from mnist_resnet.search.study import all_trials, make_study, open_storage, quiet_optuna
from mnist_resnet.search.trial_jobs import TrialJobs
from mnist_resnet.search.trial_results import record_results
from mnist_resnet.search.trial_states import TrialStates
from mnist_resnet.sweeps.folder import job_list_lease
from mnist_resnet.sweeps.runner import Peers


@dataclass(frozen=True)
class Assignment:
    """A trial assigned to a worker.

    Attributes:
        number: Number of the trial, from 0.
        job: The trial's job, frozen in `sweep.json`.
        attempt: Number of the job's last attempt so far, 0 if there is none. Another worker may have been given the
            same trial: the job is to be run only if this is still the last one.
    """

    number: int
    job: JobSpec
    attempt: int


class Trials:
    """The trials of a search, as one worker sees them.

    Args:
        folder: The sweep folder, with the search's spec in it.
        spec: The search's spec.
        monitor: This worker's view of all leases.
        log: Shows a line to the user.
        attempts: Number of attempts at each job when the search was launched, by job name. A job that has failed since
            then is not run again. None: count the attempts now.

    Attributes:
        folder: The sweep folder.
        spec: The search's spec.
        objective: What trials are judged by.
        pruner: The search's pruner.
        storage: The study's storage.
        states: States of the trials.
    """

    def __init__(
        self,
        folder: Path,
        spec: SearchSpec,
        monitor: LeaseMonitor,
        log: Callable[[str], None],
        attempts: Mapping[str, int] | None = None,
    ) -> None:
        quiet_optuna()
        self.folder, self.spec = folder, spec
        self._monitor, self._log = monitor, log
        corner_jobs = spec.corner_jobs()
        self.objective = objective_of(corner_jobs[0].config)
        self.pruner = build_pruner(spec.pruner, longest(corner_jobs))
        self.storage = open_storage(folder)
        make_study(self.storage, self.objective)
        self.states = TrialStates(folder, self.storage, monitor, attempts)
        self._jobs = TrialJobs(folder, spec, self.storage, self.pruner, log)

    def count_unfinished(self) -> int:
        """Return how many trials have not ended, including those that have not been created yet."""
        trials = all_trials(self.storage)
        statuses = list(self.states.statuses().values())
        ended = sum(trial.state.is_finished() for trial in trials) + statuses.count("ended") + statuses.count("failed")
        return max(0, max(self._limit(trials), len(trials)) - ended)

    def next(self, peers: Peers) -> Assignment | Literal["wait", "done"]:
        """Return the trial that this worker runs next: an unfinished one that no worker runs, or a new one.

        Returns:
            The trial; `wait` if other workers run the last trials; `done` if nothing is left to do.
        """
        while True:
            statuses = self.states.statuses(peers)
            trials = all_trials(self.storage)
            may_create = (self._may_create(trials) or _waiting(trials)) and not peers.is_stopped()
            to_do = {"no job", "ended"} if peers.is_stopped() else {"no job", "ended", "available"}
            if not may_create and not to_do.intersection(statuses.values()):
                return "wait" if "running" in statuses.values() and not peers.is_stopped() else "done"
            with job_list_lease(self.folder, self._monitor):
                assignment = self._next(peers)
            if assignment is not None:
                return assignment

    def record_results(self) -> None:
        """Tell the study about each trial whose job has ended."""
        with job_list_lease(self.folder, self._monitor):
            record_results(self.states, self.storage, self.objective)

    def _next(self, peers: Peers) -> Assignment | None:
        """Update the study, then return a trial to run; None if the caller has to look again. Needs the lease."""
        record_results(self.states, self.storage, self.objective)
        statuses = self.states.statuses(peers)
        all_so_far = all_trials(self.storage)
        trials = {trial.number: trial for trial in all_so_far}
        without_job = next((trials[number] for number, status in statuses.items() if status == "no job"), None)
        if without_job is not None:
            return self._create_job(without_job.number, without_job, peers)
        if peers.is_stopped():
            return None
        for number, status in statuses.items():
            if status == "available":
                return self._assign(number, self._jobs.update(trials[number]), peers)
        enqueued = _waiting(all_so_far)
        if enqueued:
            return self._create_job(enqueued[0].number, enqueued[0], peers)
        return self._create_job(len(trials), None, peers) if self._may_create(all_so_far) else None

    def _may_create(self, trials: Sequence[FrozenTrial]) -> bool:
        return len(trials) < self._limit(trials)

    def _limit(self, trials: Sequence[FrozenTrial]) -> int:
        """Return the number of trials that the study is to have."""
        for_grid = trials_for_grid(self.spec.sampler, self.spec.space, trials)
        return self.spec.trials if for_grid is None else min(self.spec.trials, for_grid)

    def _assign(self, number: int, job: JobSpec, peers: Peers) -> Assignment | None:
        """Return the assignment of a trial to this worker; None if its job can't be run now."""
        # The attempt is read before the status, so that one that begins in between makes the assignment void.
        attempt = self._monitor.observe(self.folder / job.name).number
        is_available = self.states.statuses(peers)[number] == "available"
        return Assignment(number, job, attempt) if is_available else None

    def _create_job(self, number: int, incomplete: FrozenTrial | None, peers: Peers) -> Assignment | None:
        """Create the job of a trial; see `TrialJobs.create`."""
        job = self._jobs.create(number, incomplete)
        if job is None:
            return None
        assignment = self._assign(number, job, peers)
        if assignment is None:
            self._log(f"trial {number}: same job as an earlier trial, {job.name}")
        return assignment


def longest(jobs: Sequence[JobSpec]) -> int | None:
    """Return the epochs of the longest job; None if only its task knows."""
    epochs = [check_job(job.config).epochs for job in jobs]
    known = [count for count in epochs if count is not None]
    return max(known) if len(known) == len(epochs) else None


def _waiting(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Return the trials that a user has enqueued and nobody has begun."""
    return [trial for trial in trials if trial.state == TrialState.WAITING]
