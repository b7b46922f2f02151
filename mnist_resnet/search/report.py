"""A search's report: its best config as an experiment file, and a page of plots."""

import html
import re
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.job_folder import write_atomically
from mnist_resnet.search.best_config import BestConfig, best_config
from mnist_resnet.search.study import JOB, all_trials, load_study
from mnist_resnet.search.trials import Trials
from mnist_resnet.sweeps.folder import read_sweep

EXPERIMENT = Path("experiment") / "best.yaml"
"""Path in the sweep folder. With it, the sweep folder can be given as `--config-dir`."""
PAGE = "search.html"
"""Name of the page in the sweep folder."""

OF_THE_SWEEP = re.compile(r"[+~]*sweep[.=]")
"""Overrides that mean nothing to a single run."""


def best_trial(trials: Trials) -> FrozenTrial | None:
    """Return the completed trial with the best value, the first of equals; None if no trial is completed."""
    completed = [trial for trial in all_trials(trials.storage) if trial.state == TrialState.COMPLETE]
    pick = max if trials.objective.direction == "maximize" else min
    return pick(completed, key=lambda trial: trial.values[0]) if completed else None


def write_report(trials: Trials, console: Console) -> list[str]:
    """Write the best config and the page; return the names of the files written. Print disk errors and go on."""
    written: list[str] = []
    writers: list[tuple[str, Callable[[Trials], bool]]] = [(str(EXPERIMENT), write_experiment), (PAGE, write_page)]
    for name, write in writers:
        try:
            written += [name] if write(trials) else []
        except OSError as error:
            console.print(f"{trials.folder}: {name} can't be written ({error.strerror})", markup=False)
    return written


def print_report(trials: Trials, console: Console) -> None:
    """Print the number of trials by state, the best value, and the command that runs the best config."""
    counts = Counter(_state(trial) for trial in all_trials(trials.storage))
    by_state = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    console.print(f"{len(all_trials(trials.storage))} trials: {by_state}", markup=False)
    best = best_trial(trials)
    if best is None:
        return
    value = trials.objective.metric.text(best.values[0])
    console.print(f"best: {value} ({trials.objective}), trial {best.number}", markup=False)
    console.print(f"  {best.user_attrs[JOB]}", markup=False)
    console.print(f"to run it: {_command(trials, best)}", markup=False)


def write_experiment(trials: Trials) -> bool:
    """Write the best config as an experiment file.

    Returns:
        False if no trial is completed, or no file composes to the best config; then there is none.
    """
    best = best_trial(trials)
    found = _best_config(trials, best) if best else None
    if found is None:
        (trials.folder / EXPERIMENT).unlink(missing_ok=True)
        return False
    (trials.folder / EXPERIMENT).parent.mkdir(exist_ok=True)
    write_atomically(trials.folder / EXPERIMENT, found.text)
    return True


def _best_config(trials: Trials, best: FrozenTrial) -> BestConfig | None:
    value = f"{trials.objective.metric.text(best.values[0])}, {trials.objective}"
    heading = f"The best of {len(all_trials(trials.storage))} trials: {value}, in trial {best.number}."
    return best_config(_job(trials, best), trials.spec.shared_config(best.params), heading)


def _job(trials: Trials, trial: FrozenTrial) -> JobSpec:
    return next(job for job in read_sweep(trials.folder).jobs if job.name == trial.user_attrs[JOB])


def _command(trials: Trials, best: FrozenTrial) -> str:
    """Return the command that runs the best config: by its file or, if there is none, by the trial's overrides."""
    found = _best_config(trials, best)
    if found is not None:
        return shlex.join(
            ["python", "train.py", "--config-dir", str(trials.folder), "experiment=best", *found.deletions]
        )
    overrides = [override for override in _job(trials, best).overrides if not OF_THE_SWEEP.match(override)]
    return shlex.join(["python", "train.py", *overrides])


def write_page(trials: Trials) -> bool:
    """Write the search's page: optimization history, values by epoch, slices and parameter importances.

    Returns:
        False if no trial is completed; then nothing is written.
    """
    if best_trial(trials) is None:
        return False
    space = [(html.escape(parameter.name), html.escape(parameter.typed)) for parameter in trials.spec.space]
    rows = "".join(f"<tr><td>{name}</td><td>{typed}</td></tr>" for name, typed in space)
    plots = _plots(trials)
    body = "".join(plot.to_html(full_html=False, include_plotlyjs=index == 0) for index, plot in enumerate(plots))
    title = html.escape(f"{trials.folder.name}: search for {trials.objective}")
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
        f'<body style="font-family: sans-serif"><h1>{title}</h1><table>{rows}</table>{body}</body></html>\n'
    )
    write_atomically(trials.folder / PAGE, page)
    return True


def _plots(trials: Trials) -> list[Any]:
    from optuna import visualization

    study, name = load_study(trials.storage), trials.objective.metric.name
    plots = [
        visualization.plot_optimization_history(study, target=_value, target_name=name),
        visualization.plot_intermediate_values(study),
        visualization.plot_slice(study, target=_value, target_name=name),
    ]
    completed = [trial for trial in all_trials(trials.storage) if trial.state == TrialState.COMPLETE]
    if len({trial.values[0] for trial in completed}) > 1:
        plots.append(visualization.plot_param_importances(study, target=_value, target_name=name))
    return plots


def _value(trial: FrozenTrial) -> float:
    return float(trial.values[0])


def _state(trial: FrozenTrial) -> str:
    """Return the trial's state in the words of the console."""
    return {TrialState.COMPLETE: "completed", TrialState.RUNNING: "open", TrialState.FAIL: "left out"}.get(
        trial.state, trial.state.name.lower()
    )
