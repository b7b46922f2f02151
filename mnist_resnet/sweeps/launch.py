"""A launch of a sweep: composed, checked and frozen before anything runs, then carried out and summed up."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.plugins import Plugins
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, open_dict

from mnist_resnet.config.allowed_targets import check_targets, targets
from mnist_resnet.config.compose import (
    Composer,
    combinations,
    compose,
    refuse_settings_of_a_search,
    within_one_change,
    without_excluded,
)
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.names import new_sweep_folder, sweep_folder
from mnist_resnet.config.schema import Config, check
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import SEARCH
from mnist_resnet.jobs.disk_space import check_disk_space
from mnist_resnet.jobs.lease import LeaseMonitor
from mnist_resnet.jobs.preflight import check_writable, preflight
from mnist_resnet.sweeps.finish import run_sweep
from mnist_resnet.sweeps.folder import JobState, Sweep, archive_attempts, chosen_for_rerun, freeze, job_state, plan

MULTIRUN = Path("multirun")
SUBFOLDER = "hydra.sweep.subdir="


def launch(
    arguments: Sequence[str],
    params: Mapping[str, Any],
    config: DictConfig,
    context: HydraContext,
    task_function: TaskFunction,
) -> int:
    """Do what `train.py -m` was asked to do.

    Args:
        arguments: the task overrides as typed.
        params: the sweeper's.
        config: composed without what is swept.
        context: Hydra's.
        task_function: what other launchers than our own call for each job.

    Returns:
        The exit code: 0, or 1 if a job failed or was left, or 128 and the signal that ended the sweep.

    Raises:
        UsageError: something was asked for that can't be; nothing has been started.
    """
    jobs, swept = composed_jobs(arguments, params, config, context.config_loader)
    settings = check(jobs[0].config)
    folder = named_folder(config, settings)
    if folder and (folder / SEARCH).exists():
        raise UsageError(f"{folder}: holds a search; add hydra/sweeper=search, or take another sweep.name")
    planned = plan(folder or MULTIRUN / "new", jobs, swept, sys.argv)
    if settings.sweep.dry_run:
        _print_plan(planned, settings)
        return 0
    check_writable("hydra.sweep.dir", planned.folder)
    preflight(job.config for job in jobs)
    launcher = build_launcher(config, settings, context, task_function)
    monitor = LeaseMonitor()
    anew = _to_do_anew(planned, settings, monitor)
    check_disk_space(
        planned.folder, [job for job in planned.jobs if job in anew or job_state(planned, job, monitor).is_due]
    )
    sweep = freeze(folder or new_sweep_folder(MULTIRUN, datetime.now()), jobs, swept, sys.argv)
    trusted = {target for composed in jobs for target in targets(composed.config)}
    for job in sweep.jobs:
        check_targets(job.config, trusted)
    for job in _to_do_anew(sweep, settings, monitor):
        archive_attempts(sweep.folder_of(job), monitor)
    with open_dict(config):
        config.hydra.sweep.dir = str(sweep.folder)
    if not hasattr(launcher, "search"):
        # Launchers of others may have looked at the folder as they were built.
        launcher = build_launcher(config, settings, context, task_function)

    def start(due: Sequence[JobSpec]) -> None:
        launcher.launch([_overrides(sweep, job) for job in due], 0)

    return run_sweep(sweep, start, settings.sweep.detach)


def build_launcher(
    config: DictConfig, settings: Config, context: HydraContext, task_function: TaskFunction
) -> Launcher:
    """The launcher that the command line chose.

    Raises:
        UsageError: its settings are wrong, or it can't do what was asked.
    """
    name = config.hydra.runtime.choices["hydra/launcher"]
    if settings.sweep.detach and name != "workers":
        raise UsageError(f"sweep.detach=true: hydra/launcher={name} runs jobs for this process; take workers")
    return Plugins.instance().instantiate_launcher(config=config, hydra_context=context, task_function=task_function)


def composed_jobs(
    arguments: Sequence[str], params: Mapping[str, Any], config: DictConfig, loader: ConfigLoader
) -> tuple[list[JobSpec], list[str]]:
    """All jobs of a command line, composed and checked, and the keys that are swept.

    Raises:
        UsageError: a value is wrong in one of the jobs, or all of them are excluded.
    """
    refuse_settings_of_a_search(arguments)
    combined, swept = combinations(arguments, params, loader)
    for key in swept:
        if key.startswith("sweep."):
            raise UsageError(f"{key}: can't be swept, it is a setting of the whole sweep")
    if config.sweep.get("design") == "one_change":
        combined = within_one_change(combined, swept)
    composer = Composer(config, loader)
    jobs = [compose(combination, swept, index, composer) for index, combination in enumerate(combined)]
    excluded = jobs[0].config["sweep"]["exclude"]
    jobs = without_excluded(jobs, excluded)
    if not jobs:
        raise UsageError(f"sweep.exclude={excluded}: leaves no job")
    return jobs, swept


def named_folder(config: DictConfig, settings: Config) -> Path | None:
    """The folder that the command line names, by `sweep.name` or by Hydra's own `hydra.sweep.dir`."""
    given = any(str(override).startswith("hydra.sweep.dir=") for override in config.hydra.overrides.hydra)
    if settings.sweep.name is None:
        return Path(config.hydra.sweep.dir) if given else None
    if given:
        raise UsageError(f"sweep.name={settings.sweep.name} and hydra.sweep.dir: both name the folder; give one")
    return sweep_folder(MULTIRUN, settings.sweep.name)


def _to_do_anew(sweep: Sweep, settings: Config, monitor: LeaseMonitor) -> list[JobSpec]:
    if not settings.sweep.rerun:
        return []
    return chosen_for_rerun(sweep, settings.sweep.rerun, [job_state(sweep, job, monitor) for job in sweep.jobs])


def names_of(job_overrides: Sequence[Sequence[str]]) -> list[str]:
    """The names of the jobs whose overrides a launcher was handed."""
    marked = [next(one for one in overrides if one.startswith(SUBFOLDER)) for overrides in job_overrides]
    return [override[len(SUBFOLDER) :].strip("'") for override in marked]


def _overrides(sweep: Sweep, job: JobSpec) -> list[str]:
    """A job's overrides and its folder: launchers of others compose it again, to find that folder."""
    folder = str(sweep.folder.absolute()).replace("\\", "\\\\").replace("'", "\\'")
    return [*job.overrides, f"hydra.sweep.dir='{folder}'", f"{SUBFOLDER}'{job.name}'"]


def _print_plan(sweep: Sweep, settings: Config) -> None:
    monitor = LeaseMonitor()
    anew = {job.name for job in _to_do_anew(sweep, settings, monitor)}
    states = [job_state(sweep, job, monitor) for job in sweep.jobs]
    shown = [replace(one, action="do anew") if one.job.name in anew else one for one in states]
    rows = [
        ("job", "status", "would"),
        *((f"{one.job.index} {one.job.name}", one.status, _would(one)) for one in shown),
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, status, would in rows:
        print(f"{name:{widths[0]}}  {status:{widths[1]}}  {would}")


def _would(one: JobState) -> str:
    return f"{one.action} ({one.remark})" if one.remark else one.action
