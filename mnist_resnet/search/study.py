"""The study: Optuna's record of a search's trials, in a journal file that all workers share."""

import json
import logging
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, RandomSampler
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock
from optuna.study import Study
from optuna.trial import FrozenTrial, Trial, TrialState

from mnist_resnet.config.objective import Objective
from mnist_resnet.config.validation_errors import suggest_option
from mnist_resnet.errors import UsageError, wording
from mnist_resnet.job_folder import JOURNAL, UnreadableFolder
from mnist_resnet.search.space import Parameter
from mnist_resnet.stored_file import MAX_SWEEP, RefusedFile, read_stored, refuse_links

NAME = "search"
"""Name of the study in its journal. It is fixed, since the folder may be renamed."""

GRACE = 30
"""Seconds without a change of the journal after which its lock is taken from its holder."""

FIXED = "fixed_params"
"""Optuna's attribute of an enqueued trial: the values that the user gave it."""

JOB, REMARK = "job", "remark"
"""User attributes of a trial: the name of its job folder; the reason why it has none."""


def quiet_optuna() -> None:
    """Silence Optuna's log messages and warnings; the program's own console shows progress."""
    optuna.logging.set_verbosity(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"optuna\..*")


def open_storage(folder: Path) -> JournalStorage:
    """Open the journal in a sweep folder, or create it.

    Raises:
        UnreadableFolder: The journal is damaged, or a link.
    """
    file = folder / JOURNAL
    try:
        refuse_links(folder, [JOURNAL])
        _cut_torn_line(file)
        storage = JournalStorage(JournalFileBackend(str(file), lock_obj=_lock(file)))
        for study in storage.get_all_studies():
            for trial in storage.get_all_trials(study._study_id, deepcopy=False):
                _check(trial)
        return storage
    except Exception as error:
        if isinstance(error, OSError) and not isinstance(error, RefusedFile):
            raise
        # Optuna replays what the lines say: on others than its own it raises whatever comes of it.
        raise UnreadableFolder(f"{file}: can't be read ({wording(error)})") from None


def _check(trial: FrozenTrial) -> None:
    """Check what Optuna takes from its journal as it is."""
    reported = [*(trial.values or ()), *trial.intermediate_values.values()]
    if not all(isinstance(value, int | float) for value in reported):
        raise ValueError(f"a value of trial {trial.number} is no number")
    for attributes, key, kind in (
        (trial.user_attrs, JOB, str),
        (trial.user_attrs, REMARK, str),
        (trial.system_attrs, FIXED, dict),
    ):
        if not isinstance(attributes.get(key, kind()), kind):
            raise ValueError(f"{key} of trial {trial.number} is of type {type(attributes[key]).__name__}")


def _cut_torn_line(file: Path) -> None:
    """Remove an incomplete last line, left by a killed writer or a full disk: the next line would be appended to it."""
    if not file.exists():
        return
    lock = _lock(file)
    lock.acquire()
    try:
        content = read_stored(file, MAX_SWEEP)
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            with file.open("r+b") as opened:
                opened.truncate(whole)
        if whole:
            # Optuna takes a last line that is no JSON for unfinished, and fails when another one follows it.
            json.loads(content[:whole].splitlines()[-1])
    finally:
        lock.release()


def _lock(file: Path) -> JournalFileSymlinkLock:
    """Return the journal's lock, a symbolic link to it.

    The path must be absolute: a relative link would dangle, and the lock would never be taken from a dead holder.
    """
    return JournalFileSymlinkLock(str(file.absolute()), grace_period=GRACE)


def make_study(storage: JournalStorage, objective: Objective) -> None:
    """Create the study in a new journal."""
    if not any(study.study_name == NAME for study in storage.get_all_studies()):
        optuna.create_study(
            storage=storage, study_name=NAME, directions=list(objective.directions), load_if_exists=True
        )


def load_study(storage: JournalStorage, sampler: BaseSampler | None = None, pruner: BasePruner | None = None) -> Study:
    """Load the study. Reading it and reporting to it needs neither sampler nor pruner."""
    return optuna.load_study(
        storage=storage, study_name=NAME, sampler=sampler or RandomSampler(), pruner=pruner or NopPruner()
    )


def all_trials(storage: JournalStorage) -> list[FrozenTrial]:
    """Return every trial of the study, in order."""
    return load_study(storage).get_trials(deepcopy=False)


def started_trials(storage: JournalStorage) -> list[FrozenTrial]:
    """Return the trials that were begun; trials that a user has only enqueued are not among them."""
    return [trial for trial in all_trials(storage) if trial.state != TrialState.WAITING]


def propose(study: Study, space: Sequence[Parameter], incomplete: FrozenTrial | None) -> tuple[int, dict[str, Any]]:
    """Propose a trial's values and round them.

    Args:
        study: The study, with the sampler for this trial.
        space: Searched parameters.
        incomplete: A trial that a process began to create before it died; its missing values are added. None: create a
            new trial.

    Returns:
        The trial's id in the storage, and its values by parameter name.
    """
    trial = Trial(study, incomplete._trial_id) if incomplete else study.ask()
    values: dict[str, Any] = {}
    for parameter in space:
        proposed = parameter.suggest(trial)
        rounded = values[parameter.name] = parameter.rounded(proposed)
        if rounded != proposed:
            # The sampler must learn from the value that is trained with.
            distribution = parameter.distribution
            study._storage.set_trial_param(
                trial._trial_id, parameter.name, distribution.to_internal_repr(rounded), distribution
            )
    return trial._trial_id, values


def take_enqueued_values(storage: JournalStorage, space: Sequence[Parameter], trial: FrozenTrial) -> None:
    """Begin a trial that a user has enqueued (`study.enqueue_trial`): the values that it names become its own.

    Raises:
        UsageError: A key is not searched, or a value is outside the space.
    """
    if trial.state == TrialState.WAITING:
        storage.set_trial_state_values(trial._trial_id, TrialState.RUNNING)
    by_name = {parameter.name: parameter for parameter in space}
    for name, value in trial.system_attrs.get(FIXED, {}).items():
        if name not in by_name:
            raise UsageError(f"{name}: is not searched{suggest_option(name, by_name)}")
        distribution = by_name[name].distribution
        internal = distribution.to_internal_repr(by_name[name].enqueued(value))
        if name not in trial.params:
            storage.set_trial_param(trial._trial_id, name, internal, distribution)


def reporting_trial(storage: JournalStorage, number: int, pruner: BasePruner) -> Trial:
    """Return the trial to report epochs to and to ask whether to prune. Any process may have created it."""
    study = load_study(storage, pruner=pruner)
    return Trial(study, storage.get_trial_id_from_study_id_trial_number(study._study_id, number))
