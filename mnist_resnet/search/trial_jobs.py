"""Creates the jobs of trials: asks the sampler for values, composes a job with them and freezes it."""

from collections.abc import Callable
from pathlib import Path

from optuna.pruners import BasePruner
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from mnist_resnet.config.allowed_targets import check_targets
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.errors import UsageError
from mnist_resnet.search.components import build_sampler
from mnist_resnet.search.spec import SearchSpec
from mnist_resnet.search.study import JOB, REMARK, load_study, propose, take_enqueued_values
from mnist_resnet.sweeps.folder import find_sweep, plan, read_sweep


class TrialJobs:
    """Creates and updates the jobs of a search's trials. The caller holds the lease on the job list.

    Args:
        folder: The sweep folder.
        spec: The search's spec.
        storage: The study's storage.
        pruner: The search's pruner.
        log: Shows a line to the user.
    """

    def __init__(
        self, folder: Path, spec: SearchSpec, storage: JournalStorage, pruner: BasePruner, log: Callable[[str], None]
    ) -> None:
        self._folder, self._spec, self._storage, self._pruner, self._log = folder, spec, storage, pruner, log

    def create(self, number: int, incomplete: FrozenTrial | None) -> JobSpec | None:
        """Propose a trial's values and freeze its job.

        Args:
            number: The trial's number.
            incomplete: A trial without a job: enqueued by a user, or left by a process that died while creating it.
                None: add a new trial.

        Returns:
            The job; None if the values make no valid config, and the trial was left out.
        """
        study = load_study(self._storage, build_sampler(self._spec.sampler, self._spec.space, number), self._pruner)
        if incomplete is not None:
            try:
                take_enqueued_values(self._storage, self._spec.space, incomplete)
            except UsageError as error:
                self._leave_out(number, incomplete._trial_id, str(error))
                return None
        trial_id, values = propose(study, self._spec.space, incomplete)
        try:
            job = self._freeze(self._spec.make_job(values))
        except UsageError as error:
            self._leave_out(number, trial_id, f"its config is not valid: {error}")
            return None
        self._storage.set_trial_user_attr(trial_id, JOB, job.name)
        return job

    def _leave_out(self, number: int, trial_id: int, reason: str) -> None:
        """End a trial that can't be run as failed, with a line that says why."""
        self._log(f"trial {number}: left out, {reason}")
        self._storage.set_trial_user_attr(trial_id, REMARK, reason)
        # Not by the sampler's study: a grid would stop it at its last point, which raises outside of `optimize`.
        load_study(self._storage).tell(number, state=TrialState.FAIL)

    def update(self, trial: FrozenTrial) -> JobSpec:
        """Return the job of an unfinished trial, with this launch's values for settings that change no metric."""
        stored = read_sweep(self._folder).job_named(trial.user_attrs.get(JOB))
        current = self._spec.make_job(trial.params)
        if current.identity == stored.identity:
            return self._freeze(current)
        check_targets(stored.config, self._spec.targets())
        return stored

    def _freeze(self, job: JobSpec) -> JobSpec:
        """Return the job as it stands in `sweep.json`, after adding it if it is new."""
        names = [parameter.name for parameter in self._spec.space]
        sweep = plan(self._folder, [job], names, self._spec.command)
        stored = find_sweep(self._folder)
        if stored is None or sweep.content != stored.content:
            sweep.write()
        return sweep.jobs[0]
