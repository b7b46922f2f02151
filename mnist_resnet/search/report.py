"""A search's report: its best config, or its Pareto front, as experiment files and on the terminal."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.metric import best_of
from mnist_resnet.config.printed_command import search_path, train_command
from mnist_resnet.errors import wording
from mnist_resnet.job_folder import EXPERIMENTS, read_metrics, write_atomically
from mnist_resnet.search.best_config import BestConfig, best_config
from mnist_resnet.search.study import JOB, all_trials, load_study
from mnist_resnet.search.trials import Trials
from mnist_resnet.sweeps.folder import read_sweep

OURS = re.compile(r"(best|trial_\d+)\.yaml")
"""Names of our files in `EXPERIMENTS`."""

OF_THE_SWEEP = re.compile(r"[+~]*sweep[.=]")
"""Overrides that mean nothing to a single run."""


@dataclass(frozen=True)
class Recommendation:
    """A trial to recommend.

    Attributes:
        name: of its experiment: `best`, or `trial_17` on a Pareto front.
        trial: the trial.
        trials: the search's trials.
    """

    name: str
    trial: FrozenTrial
    trials: Trials

    @cached_property
    def job(self) -> JobSpec:
        """The trial's job."""
        return read_sweep(self.trials.folder).job_named(self.trial.user_attrs.get(JOB))

    @cached_property
    def config(self) -> BestConfig | None:
        """Its config as an experiment file, composed and compared once; None if no file composes to it."""
        trials, objective = self.trials, self.trials.objective
        place = "The best" if len(objective.metrics) == 1 else "On the Pareto front"
        value = f"{objective.text(self.trial.values)}, {objective}"
        heading = f"{place} of {len(all_trials(trials.storage))} trials: {value}, in trial {self.trial.number}."
        return best_config(self.job, trials.spec.shared_config(self.trial.params), heading)

    @property
    def command(self) -> str:
        """The command that runs its config: by its file or, if there is none, by the trial's overrides."""
        spec = self.trials.spec
        own_folders = search_path(spec.config_folders or {})
        if self.config is not None:
            folder = ["--config-dir", str(self.trials.folder)]
            chosen = [*folder, *own_folders, f"experiment={self.name}", *self.config.deletions]
            return train_command(spec.command[0], chosen)
        overrides = [override for override in self.job.overrides if not OF_THE_SWEEP.match(override)]
        return train_command(spec.command[0], [*own_folders, *overrides])


def recommendations(trials: Trials) -> list[Recommendation]:
    """Return the trials to recommend; see `best_trials`."""
    return [Recommendation(name, trial, trials) for name, trial in best_trials(trials).items()]


def best_trials(trials: Trials) -> dict[str, FrozenTrial]:
    """Return the trials to recommend, by the names of their experiments; empty if no trial is completed.

    `best` is the trial with the best value, the first of equals. With several objectives these are the trials on the
    Pareto front (`trial_17`). Only trials that keep the constraints are among them.
    """
    feasible = [
        trial for trial in _completed(trials) if all(violation <= 0 for violation in trial.constraints.values())
    ]
    if len(trials.objective.metrics) > 1:
        return {f"trial_{trial.number}": trial for trial in load_study(trials.storage).best_trials} if feasible else {}
    if not feasible:
        return {}
    best = best_of([trial.values[0] for trial in feasible], trials.objective.metrics[0])
    return {"best": next(trial for trial in feasible if trial.values[0] == best)}


def write_report(trials: Trials, recommended: Sequence[Recommendation], console: Console) -> list[str]:
    """Write the recommended configs; return the names of the files written. Print a disk error and go on."""
    try:
        return write_experiments(trials, recommended)
    except OSError as error:
        console.print(f"{trials.folder}: {wording(error)}", markup=False)
        return []


def print_report(trials: Trials, recommended: Sequence[Recommendation], console: Console) -> None:
    """Print the number of trials by state, the best value or the Pareto front, and a command that runs its config."""
    counts = Counter(_state(trial) for trial in all_trials(trials.storage))
    by_state = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    console.print(f"{len(all_trials(trials.storage))} trials: {by_state}", markup=False)
    if without := _without_value(trials):
        reported = ", ".join(_reported(trials, without[0])) or "nothing"
        line = f"{len(without)} left out: no finite value of {trials.objective}; the first reported {reported}"
        console.print(line, markup=False)
    if not recommended:
        if counts["completed"]:
            console.print("no completed trial keeps all of sweep.constraints", markup=False)
        return
    if len(trials.objective.metrics) > 1:
        plural = "" if len(recommended) == 1 else "s"
        console.print(f"Pareto front: {len(recommended)} trial{plural} ({trials.objective})", markup=False)
    for entry in recommended:
        shown = trials.objective.text(entry.trial.values)
        start = f"best: {shown} ({trials.objective})" if entry.name == "best" else f"  {shown}"
        console.print(f"{start}, trial {entry.trial.number}", markup=False)
        console.print(f"  {entry.trial.user_attrs[JOB]}", markup=False)
    which = "it" if len(recommended) == 1 else "the first"
    console.print(f"to run {which}: {recommended[0].command}", markup=False)


def tells_nothing(trials: Trials) -> bool:
    """Whether trials have run, and none has a value to judge it by, as where a metric's name is mistyped."""
    states = {trial.state for trial in all_trials(trials.storage)}
    return bool(_without_value(trials)) and states == {TrialState.FAIL}


def write_experiments(trials: Trials, recommended: Sequence[Recommendation]) -> list[str]:
    """Write the recommended configs as experiment files, and remove those of trials that no longer are.

    Returns:
        The names of the files written: none for a trial whose config no file composes to.
    """
    files = {Path(EXPERIMENTS) / f"{entry.name}.yaml": entry.config.text for entry in recommended if entry.config}
    for old in (trials.folder / EXPERIMENTS).glob("*.yaml"):
        if OURS.fullmatch(old.name) and old.relative_to(trials.folder) not in files:
            old.unlink(missing_ok=True)
    for file, text in files.items():
        (trials.folder / file).parent.mkdir(exist_ok=True)
        write_atomically(trials.folder / file, text)
    return [str(file) for file in files]


def _completed(trials: Trials) -> list[FrozenTrial]:
    return [trial for trial in all_trials(trials.storage) if trial.state == TrialState.COMPLETE]


def _without_value(trials: Trials) -> list[FrozenTrial]:
    """Return the trials that ran to their end and have no value; those that the space excludes never ran."""
    return [trial for trial in all_trials(trials.storage) if trial.state == TrialState.FAIL and JOB in trial.user_attrs]


def _reported(trials: Trials, trial: FrozenTrial) -> list[str]:
    folder = trials.folder / str(trial.user_attrs[JOB])
    return list(dict.fromkeys(name for line in read_metrics(folder) for name in line if name != "step"))


def _state(trial: FrozenTrial) -> str:
    """Return the trial's state in the words of the console."""
    return {TrialState.COMPLETE: "completed", TrialState.RUNNING: "open", TrialState.FAIL: "left out"}.get(
        trial.state, trial.state.name.lower()
    )
