"""What a search found: its best config as an experiment to run, and the pages that show how it came to it."""

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
from mnist_resnet.search.spec import STUDIES, SharedConfig
from mnist_resnet.search.study import JOB, load_study
from mnist_resnet.search.trials import Trials
from mnist_resnet.sweeps.folder import read_sweep

EXPERIMENT = Path("experiment") / "best.yaml"
"""Inside the sweep folder, which thereby can be given as `--config-dir`."""
PAGE = "search.html"

STAYS_OUT = (*STUDIES, "scale", "tracking")
"""Groups of which a best config says nothing: who runs it chooses."""


def best_trial(trials: Trials) -> FrozenTrial | None:
    """The completed trial with the best value, the first of equals."""
    completed = [trial for trial in trials.all() if trial.state == TrialState.COMPLETE]
    pick = max if direction(trials.metric) == "maximize" else min
    return pick(completed, key=lambda trial: trial.values[0]) if completed else None


def write_report(trials: Trials, console: Console) -> list[str]:
    """Write the best config and the page, as far as the disk takes them; gives the files' names."""
    written: list[str] = []
    deeds: list[tuple[str, Callable[[Trials], bool]]] = [(str(EXPERIMENT), write_experiment), (PAGE, write_page)]
    for name, write in deeds:
        try:
            written += [name] if write(trials) else []
        except OSError as error:
            console.print(f"{trials.folder}: {name} can't be written ({error.strerror})", markup=False)
    return written


def print_report(trials: Trials, console: Console) -> None:
    """Say how many trials there were, the objective, the best value, and how to run the best config."""
    counted = Counter(_state(trial) for trial in trials.all())
    ends = ", ".join(f"{count} {state}" for state, count in sorted(counted.items()))
    console.print(f"{len(trials.all())} trials: {ends}", markup=False)
    best = best_trial(trials)
    if best is None:
        return
    which = f"{trials.metric} of the {trials.epoch} epoch"
    console.print(f"best: {shown(trials.metric, best.values[0])} ({which}), trial {best.number}", markup=False)
    console.print(f"  {best.user_attrs[JOB]}", markup=False)
    console.print(f"to run it: python train.py --config-dir '{trials.folder}' experiment=best", markup=False)


def write_experiment(trials: Trials) -> bool:
    """Write the best config; False if no trial was completed."""
    best = best_trial(trials)
    if best is None:
        return False
    job = next(job for job in read_sweep(trials.folder).jobs if job.name == best.user_attrs[JOB])
    figure = f"{shown(trials.metric, best.values[0])}, {trials.metric} of the {trials.epoch} epoch"
    (trials.folder / EXPERIMENT).parent.mkdir(exist_ok=True)
    heading = f"The best of {len(trials.all())} trials: {figure}, in trial {best.number}."
    write_atomically(trials.folder / EXPERIMENT, experiment(job, trials.spec.common(best.params), heading))
    return True


def experiment(job: JobSpec, common: SharedConfig, heading: str) -> str:
    """A file for a group `experiment` that composes to the config of `job`, as far as its figures depend on it.

    Args:
        job: frozen.
        common: what its choices alone compose to: only what differs from that is written down.
        heading: a line that says what it is.
    """
    choices = {
        group: choice
        for group, choice in job.choices.items()
        if choice and group not in STAYS_OUT and distinguishes_jobs(group)
    }
    defaults = [
        {f"{'' if group in common.added else 'override '}/{group}": choice} for group, choice in choices.items()
    ]
    plain = flatten(common.plain)
    content: dict[str, Any] = {"defaults": defaults}
    for key, value in flatten(job.config).items():
        is_kept = distinguishes_jobs(key) and key.partition(".")[0] not in STAYS_OUT
        if is_kept and (key not in plain or plain[key] != value):
            _put(content, key.split("."), value)
    return f"# @package _global_\n# {heading}\n{OmegaConf.to_yaml(OmegaConf.create(content))}"


def _put(content: dict[str, Any], keys: list[str], value: Any) -> None:
    for key in keys[:-1]:
        content = content.setdefault(key, {})
    content[keys[-1]] = value


def write_page(trials: Trials) -> bool:
    """Write the search's page: history, epochs, importance and slices; False if nothing was completed."""
    if best_trial(trials) is None:
        return False
    rows = "".join(
        f"<tr><td>{html.escape(one.name)}</td><td>{html.escape(one.typed)}</td></tr>" for one in trials.spec.space
    )
    figures = _figures(trials)
    body = "".join(figure.to_html(full_html=False, include_plotlyjs=index == 0) for index, figure in enumerate(figures))
    title = html.escape(f"{trials.folder.name}: search for {trials.metric} of the {trials.epoch} epoch")
    page = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title></head>'
        f'<body style="font-family: sans-serif"><h1>{title}</h1><table>{rows}</table>{body}</body></html>\n'
    )
    write_atomically(trials.folder / PAGE, page)
    return True


def _figures(trials: Trials) -> list[Any]:
    from optuna import visualization

    study, name = load_study(trials.storage), trials.metric
    figures = [
        visualization.plot_optimization_history(study, target=_value, target_name=name),
        visualization.plot_intermediate_values(study),
        visualization.plot_slice(study, target=_value, target_name=name),
    ]
    completed = [trial for trial in trials.all() if trial.state == TrialState.COMPLETE]
    if len({trial.values[0] for trial in completed}) > 1:
        figures.append(visualization.plot_param_importances(study, target=_value, target_name=name))
    return figures


def _value(trial: FrozenTrial) -> float:
    return float(trial.values[0])


def _state(trial: FrozenTrial) -> str:
    return {TrialState.COMPLETE: "completed", TrialState.RUNNING: "open", TrialState.FAIL: "left out"}.get(
        trial.state, trial.state.name.lower()
    )
