"""Records the results of trials in the study."""

from optuna.storages import JournalStorage
from optuna.trial import Trial, TrialState

from mnist_resnet.config.objective import Objective
from mnist_resnet.job_folder import Status, read_metrics
from mnist_resnet.search.study import JOB, all_trials, load_study
from mnist_resnet.search.trial_states import TrialStates


def record_results(states: TrialStates, storage: JournalStorage, objective: Objective) -> None:
    """Tell the study about each trial whose job has ended. The caller holds the lease on the job list.

    Args:
        states: States of the trials.
        storage: The study's storage.
        objective: What trials are judged by.
    """
    for number, status in states.statuses().items():
        if status == "ended":
            job_name = str(all_trials(storage)[number].user_attrs[JOB])
            _record(number, job_name, states, storage, objective)


def _record(number: int, job_name: str, states: TrialStates, storage: JournalStorage, objective: Objective) -> None:
    """Tell the study a trial's value.

    A trial that diverged has no value and counts as pruned, that is as worse than any completed one.
    """
    sweep = states.sweep()
    assert sweep is not None
    job = sweep.job_named(job_name)
    study = load_study(storage)
    if states.job_state(sweep, job).status != Status.COMPLETED:
        study.tell(number, state=TrialState.PRUNED)
        return
    history = read_metrics(sweep.folder_of(job))
    values, violations = objective.values(history), objective.violations(history)
    if values is None or violations is None:
        study.tell(number, state=TrialState.FAIL)
        return
    trial = Trial(study, storage.get_trial_id_from_study_id_trial_number(study._study_id, number))
    for name, violation in violations.items():
        trial.set_constraint(name, violation)
    study.tell(number, values)
