"""A search's report: its best config as an experiment file, and a page of plots."""

import html
import re
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.metric import best_of
from mnist_resnet.config.printed_command import search_path, train_command
from mnist_resnet.errors import wording
from mnist_resnet.job_folder import EXPERIMENTS, write_atomically
from mnist_resnet.search.best_config import BestConfig, best_config
from mnist_resnet.search.study import JOB, all_trials, load_study
from mnist_resnet.search.trials import Trials
from mnist_resnet.sweeps.folder import read_sweep

OURS = re.compile(r"(best|trial_\d+)\.yaml")
"""Names of our files in `EXPERIMENTS`."""
PAGE = "search.html"
"""Name of the page in the sweep folder."""
PLOTTED_FRONTS = (2, 3)
"""Numbers of objectives of which Optuna plots the Pareto front."""

OF_THE_SWEEP = re.compile(r"[+~]*sweep[.=]")
"""Overrides that mean nothing to a single run."""


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


def write_report(trials: Trials, console: Console) -> list[str]:
    """Write the best config and the page; return the names of the files written. Print disk errors and go on."""
    written: list[str] = []
    writers: list[Callable[[Trials], list[str]]] = [write_experiments, write_page]
    for write in writers:
        try:
            written += write(trials)
        except OSError as error:
            console.print(f"{trials.folder}: {wording(error)}", markup=False)
    return written


def print_report(trials: Trials, console: Console) -> None:
    """Print the number of trials by state, the best value or the Pareto front, and a command that runs its config."""
    counts = Counter(_state(trial) for trial in all_trials(trials.storage))
    by_state = ", ".join(f"{count} {state}" for state, count in sorted(counts.items()))
    console.print(f"{len(all_trials(trials.storage))} trials: {by_state}", markup=False)
    best = best_trials(trials)
    if not best:
        if counts["completed"]:
            console.print("no completed trial keeps all of sweep.constraints", markup=False)
        return
    if len(trials.objective.metrics) > 1:
        plural = "" if len(best) == 1 else "s"
        console.print(f"Pareto front: {len(best)} trial{plural} ({trials.objective})", markup=False)
    for name, trial in best.items():
        shown = trials.objective.text(trial.values)
        start = f"best: {shown} ({trials.objective})" if name == "best" else f"  {shown}"
        console.print(f"{start}, trial {trial.number}", markup=False)
        console.print(f"  {trial.user_attrs[JOB]}", markup=False)
    name, trial = next(iter(best.items()))
    console.print(f"to run {'it' if len(best) == 1 else 'the first'}: {_command(trials, name, trial)}", markup=False)


def write_experiments(trials: Trials) -> list[str]:
    """Write the configs of the best trials as experiment files, and remove those of trials that no longer are.

    Returns:
        The names of the files written: none for a trial whose config no file composes to.
    """
    best = best_trials(trials)
    files = {
        Path(EXPERIMENTS) / f"{name}.yaml": found.text
        for name, trial in best.items()
        if (found := _best_config(trials, trial)) is not None
    }
    for old in (trials.folder / EXPERIMENTS).glob("*.yaml"):
        if OURS.fullmatch(old.name) and old.relative_to(trials.folder) not in files:
            old.unlink(missing_ok=True)
    for file, text in files.items():
        (trials.folder / file).parent.mkdir(exist_ok=True)
        write_atomically(trials.folder / file, text)
    return [str(file) for file in files]


def _best_config(trials: Trials, trial: FrozenTrial) -> BestConfig | None:
    value = f"{trials.objective.text(trial.values)}, {trials.objective}"
    place = "The best" if len(trials.objective.metrics) == 1 else "On the Pareto front"
    heading = f"{place} of {len(all_trials(trials.storage))} trials: {value}, in trial {trial.number}."
    return best_config(_job(trials, trial), trials.spec.shared_config(trial.params), heading)


def _job(trials: Trials, trial: FrozenTrial) -> JobSpec:
    return next(job for job in read_sweep(trials.folder).jobs if job.name == trial.user_attrs[JOB])


def _command(trials: Trials, name: str, best: FrozenTrial) -> str:
    """Return the command that runs a trial's config: by its file or, if there is none, by the trial's overrides."""
    program, own_folders = trials.spec.command[0], search_path(trials.spec.config_folders or {})
    found = _best_config(trials, best)
    if found is not None:
        chosen = ["--config-dir", str(trials.folder), *own_folders, f"experiment={name}", *found.deletions]
        return train_command(program, chosen)
    overrides = [override for override in _job(trials, best).overrides if not OF_THE_SWEEP.match(override)]
    return train_command(program, [*own_folders, *overrides])


def write_page(trials: Trials) -> list[str]:
    """Write the search's page: Pareto front or values by epoch; history, slices and parameter importances.

    Returns:
        The page's name; nothing is written if no trial is completed.
    """
    if not _completed(trials):
        return []
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
    return [PAGE]


def _plots(trials: Trials) -> list[Any]:
    from optuna import visualization

    study, names = load_study(trials.storage), trials.objective.names
    plots = []
    if len(names) in PLOTTED_FRONTS:
        plots.append(visualization.plot_pareto_front(study, target_names=names))
    for index, name in enumerate(names):
        about: dict[str, Any] = {"target": partial(_value, index), "target_name": name}
        plots.append(visualization.plot_optimization_history(study, **about))
        if len(names) == 1:
            plots.append(visualization.plot_intermediate_values(study))
        plots.append(visualization.plot_slice(study, **about))
        if len({trial.values[index] for trial in _completed(trials)}) > 1:
            plots.append(visualization.plot_param_importances(study, **about))
    return plots


def _completed(trials: Trials) -> list[FrozenTrial]:
    return [trial for trial in all_trials(trials.storage) if trial.state == TrialState.COMPLETE]


def _value(index: int, trial: FrozenTrial) -> float:
    return float(trial.values[index])


def _state(trial: FrozenTrial) -> str:
    """Return the trial's state in the words of the console."""
    return {TrialState.COMPLETE: "completed", TrialState.RUNNING: "open", TrialState.FAIL: "left out"}.get(
        trial.state, trial.state.name.lower()
    )
