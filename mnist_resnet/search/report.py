"""A search's report: its best config as an experiment file, and a page of plots."""

import html
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.signature import distinguishes_jobs, flatten
from mnist_resnet.job_folder import write_atomically
from mnist_resnet.jobs.objective import direction, shown
from mnist_resnet.search.spec import META_GROUPS, SharedConfig
from mnist_resnet.search.study import JOB, all_trials, load_study
from mnist_resnet.search.trials import Trials
from mnist_resnet.sweeps.folder import read_sweep

EXPERIMENT = Path("experiment") / "best.yaml"
"""Path in the sweep folder. With it, the sweep folder can be given as `--config-dir`."""
PAGE = "search.html"
"""Name of the page in the sweep folder."""

OMITTED_GROUPS = (*META_GROUPS, "scale", "tracking")
"""Config groups that a best config does not set, so that its user can choose them."""


def best_trial(trials: Trials) -> FrozenTrial | None:
    """Return the completed trial with the best value, the first of equals; None if no trial is completed."""
    completed = [trial for trial in all_trials(trials.storage) if trial.state == TrialState.COMPLETE]
    pick = max if direction(trials.metric) == "maximize" else min
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
    objective = f"{trials.metric} of the {trials.epoch} epoch"
    console.print(f"best: {shown(trials.metric, best.values[0])} ({objective}), trial {best.number}", markup=False)
    console.print(f"  {best.user_attrs[JOB]}", markup=False)
    console.print(f"to run it: python train.py --config-dir '{trials.folder}' experiment=best", markup=False)


def write_experiment(trials: Trials) -> bool:
    """Write the best config as an experiment file.

    Returns:
        False if no trial is completed; then nothing is written.
    """
    best = best_trial(trials)
    if best is None:
        return False
    job = next(job for job in read_sweep(trials.folder).jobs if job.name == best.user_attrs[JOB])
    value = f"{shown(trials.metric, best.values[0])}, {trials.metric} of the {trials.epoch} epoch"
    (trials.folder / EXPERIMENT).parent.mkdir(exist_ok=True)
    heading = f"The best of {len(all_trials(trials.storage))} trials: {value}, in trial {best.number}."
    write_atomically(trials.folder / EXPERIMENT, experiment(job, trials.spec.shared_config(best.params), heading))
    return True


def experiment(job: JobSpec, shared: SharedConfig, heading: str) -> str:
    """Return an experiment file that composes to the config of `job`, except for settings that change no metric.

    Args:
        job: The job.
        shared: The job's shared config. Only values that differ from its `plain` config are written.
        heading: One-line description of the experiment.
    """
    choices = {
        group: choice
        for group, choice in job.choices.items()
        if choice and group not in OMITTED_GROUPS and distinguishes_jobs(group)
    }
    defaults = [
        {f"{'' if group in shared.added else 'override '}/{group}": choice} for group, choice in choices.items()
    ]
    plain = flatten(shared.plain)
    content: dict[str, Any] = {"defaults": defaults}
    for key, value in flatten(job.config).items():
        is_kept = distinguishes_jobs(key) and key.partition(".")[0] not in OMITTED_GROUPS
        if is_kept and (key not in plain or plain[key] != value):
            _put(content, key.split("."), value)
    return f"# @package _global_\n# {heading}\n{OmegaConf.to_yaml(OmegaConf.create(content))}"


def _put(content: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        content = content.setdefault(key, {})
    content[keys[-1]] = value


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
    title = html.escape(f"{trials.folder.name}: search for {trials.metric} of the {trials.epoch} epoch")
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
        f'<body style="font-family: sans-serif"><h1>{title}</h1><table>{rows}</table>{body}</body></html>\n'
    )
    write_atomically(trials.folder / PAGE, page)
    return True


def _plots(trials: Trials) -> list[Any]:
    from optuna import visualization

    study, name = load_study(trials.storage), trials.metric
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
