"""Trials as jobs: between the study, which says what was proposed, and the job folders, which say what was done.

Whatever died in between, the next worker to ask reads the one and tells the other, under the claim that the launches of
a sweep share. A trial stays open in the study until its job has a result: one that was interrupted or that failed goes
on as the same trial.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from optuna.trial import FrozenTrial, Trial, TrialState

from mnist_resnet.config.allowed_targets import check_targets
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.schema import check
from mnist_resnet.config.signature import identity
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import LAUNCHES, SWEEP, Status, read_metrics
from mnist_resnet.jobs.lease import LeaseMonitor, acquire_lease
from mnist_resnet.jobs.objective import objective_of, objective_value
from mnist_resnet.jobs.run import DONE
from mnist_resnet.search.spec import SearchSpec
from mnist_resnet.search.study import (
    JOB,
    REMARK,
    build_pruner,
    build_sampler,
    grid_size,
    load_study,
    make_study,
    open_storage,
    propose,
    quiet_optuna,
    reporting_trial,
)
from mnist_resnet.sweeps.folder import JobState, Sweep, job_state, plan, read_sweep
from mnist_resnet.sweeps.runner import Peers

CLAIM_POLL = 0.05
"""Seconds between two tries to get the claim on the job list, which nobody holds for long."""

Kind = Literal["unborn", "ended", "free", "held", "failed"]
"""Of an open trial: no job yet, its job has a result, can be run, somebody runs it, failed (or can't be read)."""


@dataclass(frozen=True)
class Turn:
    """A trial for a worker to run.

    Attributes:
        number: of the trial, from 0.
        job: frozen in `sweep.json`.
    """

    number: int
    job: JobSpec


class Trials:
    """The trials of a search, as one worker sees them.

    Args:
        folder: the sweep folder, with the recipe in it.
        spec: of the search.
        monitor: the worker's memory of who holds what.
        say: tells people of what is out of the ordinary.
        attempts: at jobs when the search was launched, by their names: one that has failed since is not run again.
            None: as it is now.
    """

    def __init__(
        self,
        folder: Path,
        spec: SearchSpec,
        monitor: LeaseMonitor,
        say: Callable[[str], None],
        attempts: Mapping[str, int] | None = None,
    ) -> None:
        quiet_optuna()
        self.folder, self.spec = folder, spec
        self._monitor, self._say = monitor, say
        corners = spec.corners()
        self.metric, self.epoch = objective_of(corners[0].config)
        self.pruner = build_pruner(spec.pruner, max(check(job.config).epochs for job in corners))
        self.limit = min(spec.trials, grid_size(spec.sampler, spec.space) or spec.trials)
        self.storage = open_storage(folder)
        make_study(self.storage, self.metric)
        self._attempts = self.attempts() if attempts is None else attempts

    def attempts(self) -> dict[str, int]:
        """How many attempts there have been at each job."""
        sweep = self._sweep()
        return {job.name: job_state(sweep, job, self._monitor).attempt for job in sweep.jobs} if sweep else {}

    def attempts_before(self, name: str) -> int:
        """How many attempts at a job there had been when the search was launched."""
        return self._attempts.get(name, 0)

    def open_jobs(self) -> list[JobSpec]:
        """The jobs that have no result and have not failed since the launch."""
        sweep = self._sweep()
        standings = [job_state(sweep, job, self._monitor) for job in sweep.jobs] if sweep else []
        return [one.job for one in standings if one.status not in DONE and not self._is_given_up(one)]

    def left(self) -> int:
        """How many trials have not ended, those that were not asked for yet among them."""
        asked = self.all()
        kinds = list(self._kinds(None).values())
        ended = sum(trial.state.is_finished() for trial in asked) + kinds.count("ended") + kinds.count("failed")
        return max(0, max(self.limit, len(asked)) - ended)

    def held(self) -> list[Path]:
        """Folders of the open trials that somebody runs."""
        jobs = {trial.number: trial.user_attrs.get(JOB) for trial in self._open()}
        return [self.folder / str(jobs.get(number)) for number, kind in self._kinds(None).items() if kind == "held"]

    def all(self) -> list[FrozenTrial]:
        """Every trial of the study, in order."""
        return load_study(self.storage).get_trials(deepcopy=False)

    def reporting(self, number: int) -> Trial:
        """The trial to report epochs to."""
        return reporting_trial(self.storage, number, self.pruner)

    def next(self, peers: Peers) -> Turn | Literal["wait", "done"]:
        """The trial that this worker runs next: one that was left, or a new one; `wait`: others run the last ones."""
        while True:
            kinds = self._kinds(peers)
            wanted = len(self.all()) < self.limit and not peers.is_stopped()
            to_do = {"unborn", "ended"} if peers.is_stopped() else {"unborn", "ended", "free"}
            if not wanted and not to_do.intersection(kinds.values()):
                return "wait" if "held" in kinds.values() and not peers.is_stopped() else "done"
            with claimed(self.folder, self._monitor):
                turn = self._next(peers)
            if turn is not None:
                return turn

    def settle(self) -> None:
        """Tell the study of the jobs that have ended."""
        with claimed(self.folder, self._monitor):
            self._settle()

    def _next(self, peers: Peers) -> Turn | None:
        """Under the claim."""
        self._settle()
        kinds = self._kinds(peers)
        of_number = {trial.number: trial for trial in self.all()}
        unborn = next((of_number[number] for number, kind in kinds.items() if kind == "unborn"), None)
        if unborn is not None:
            return self._born(unborn, unborn.number, peers)
        if peers.is_stopped():
            return None
        for number, kind in kinds.items():
            if kind == "free":
                return Turn(number, self._job_of(of_number[number]))
        return self._born(None, len(of_number), peers) if len(of_number) < self.limit else None

    def _kinds(self, peers: Peers | None) -> dict[int, Kind]:
        """The open trials by number."""
        running = self._open()
        sweep = self._sweep() if running else None
        jobs = {job.name: job for job in sweep.jobs} if sweep else {}
        return {trial.number: self._kind(trial, sweep, jobs, peers) for trial in running}

    def _open(self) -> list[FrozenTrial]:
        return [trial for trial in self.all() if trial.state == TrialState.RUNNING]

    def _kind(self, trial: FrozenTrial, sweep: Sweep | None, jobs: Mapping[str, JobSpec], peers: Peers | None) -> Kind:
        job = jobs.get(trial.user_attrs.get(JOB, ""))
        if job is None or sweep is None:
            return "unborn"
        now = job_state(sweep, job, self._monitor)
        if now.status in DONE:
            return "ended"
        if self._is_given_up(now):
            return "failed"
        if now.action == "leave" or (peers is not None and not peers.may_take_over(sweep.folder_of(job))):
            return "held"
        return "free"

    def _is_given_up(self, now: JobState) -> bool:
        return now.status == "unreadable" or (
            now.status == Status.FAILED and self._attempts.get(now.job.name, 0) != now.attempt
        )

    def _settle(self) -> None:
        """Under the claim."""
        for number, kind in self._kinds(None).items():
            if kind == "ended":
                self._tell(number, str(self.all()[number].user_attrs[JOB]))

    def _tell(self, number: int, name: str) -> None:
        """A trial that diverged counts as pruned, and so for worse than any that was completed: it has no figure."""
        sweep = self._sweep()
        assert sweep is not None
        job = next(job for job in sweep.jobs if job.name == name)
        study = load_study(self.storage)
        if job_state(sweep, job, self._monitor).status != Status.COMPLETED:
            study.tell(number, state=TrialState.PRUNED)
            return
        value = objective_value(read_metrics(sweep.folder_of(job)), self.metric, self.epoch)
        if value is None:
            study.tell(number, state=TrialState.FAIL)
        else:
            study.tell(number, value)

    def _born(self, unborn: FrozenTrial | None, number: int, peers: Peers) -> Turn | None:
        """Under the claim: ask for a trial's values and freeze its job; None if there is nothing to run."""
        study = load_study(self.storage, build_sampler(self.spec.sampler, self.spec.space, number), self.pruner)
        trial_id, values = propose(study, self.spec.space, unborn)
        try:
            job = self._frozen(self.spec.job(values))
        except UsageError as error:
            self._say(f"trial {number}: can't be, and is left out: {error}")
            self.storage.set_trial_user_attr(trial_id, REMARK, str(error))
            study.tell(number, state=TrialState.FAIL)
            return None
        self.storage.set_trial_user_attr(trial_id, JOB, job.name)
        kind = self._kinds(peers)[number]
        if kind == "free":
            return Turn(number, job)
        self._say(f"trial {number}: the same as an earlier one, {job.name}")
        return None

    def _job_of(self, trial: FrozenTrial) -> JobSpec:
        """Under the claim: an open trial's job, with what this launch says of everything that moves no figure."""
        sweep = self._sweep()
        assert sweep is not None
        known = next(job for job in sweep.jobs if job.name == trial.user_attrs[JOB])
        now = self.spec.job(trial.params)
        if identity(now.config) == identity(known.config):
            return self._frozen(now)
        check_targets(known.config, self.spec.targets())
        return known

    def _frozen(self, job: JobSpec) -> JobSpec:
        """Under the claim: the job in `sweep.json`, added if it is not there."""
        names = [one.name for one in self.spec.space]
        sweep, before = plan(self.folder, [job], names, self.spec.command), self._sweep()
        if before is None or sweep.content != before.content:
            sweep.write()
        return sweep.jobs[0]

    def _sweep(self) -> Sweep | None:
        return read_sweep(self.folder) if (self.folder / SWEEP).exists() else None


@contextmanager
def claimed(folder: Path, monitor: LeaseMonitor) -> Iterator[None]:
    """The one who may write to the sweep's job list and ask for trials."""
    while (lease := acquire_lease(folder / LAUNCHES, monitor)) is None:
        time.sleep(CLAIM_POLL)
    with lease:
        yield
