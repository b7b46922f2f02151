"""Launches a sweep: composes, checks and freezes all jobs before any runs, then runs and summarizes them."""

import logging
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.config_loader import ConfigLoader
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, read_write

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.allowed_targets import check_targets, targets
from mnist_resnet.config.combinations import (
    combinations,
    refuse_search_settings,
    without_excluded,
)
from mnist_resnet.config.compose import Composer, compose_job, naming_the_jobs_file
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.names import new_sweep_folder, sweep_folder
from mnist_resnet.config.partial_keys import refuse_partial_key
from mnist_resnet.config.schema import JobConfig, check_job
from mnist_resnet.config.sweep_grammar import repeated_levels
from mnist_resnet.config.typed_overrides import typed_overrides
from mnist_resnet.config.unread_keys import is_read
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import MAX_JOBS, SEARCH, SWEEP
from mnist_resnet.jobs.child_process import in_child_process
from mnist_resnet.jobs.config_folders import config_folders
from mnist_resnet.jobs.disk_space import check_disk_space
from mnist_resnet.jobs.preflight import NamingErrors, check_writable, preflight
from mnist_resnet.sweeps.added_seeds import (
    next_round,
    refuse_sources_with_added_seeds,
    refuse_with_added_seeds,
    refuse_without_added_seeds,
)
from mnist_resnet.sweeps.finish import run_sweep
from mnist_resnet.sweeps.folder import (
    JobState,
    Sweep,
    archive_attempts,
    freeze,
    job_state,
    jobs_to_rerun,
    plan,
    read_sweep,
    refuse_sweep_links,
)
from mnist_resnet.sweeps.frozen_ranges import with_frozen_levels
from mnist_resnet.sweeps.hydra_job import refuse_hydra_job_settings
from mnist_resnet.sweeps.other_numerics import other_numerics_line
from mnist_resnet.sweeps.public_launchers import check_public_launcher
from mnist_resnet.sweeps.recipes import try_recipes
from mnist_resnet.sweeps.restore import check_not_recorded, refuse_record
from mnist_resnet.tracking.console import plain_console, show_log

LOG = logging.getLogger("mnist_resnet")

Result = TypeVar("Result")

MULTIRUN = Path("multirun")
RUN_HERE = ("sequential", "basic")
"""Launchers whose jobs run in the launching process."""
SUBFOLDER = "hydra.sweep.subdir="


def launch(
    arguments: Sequence[str],
    params: Mapping[str, Any],
    config: DictConfig,
    context: HydraContext,
    task_function: TaskFunction,
) -> int:
    """Run `train.py -m`: plan, check, freeze and run a sweep, or print the plan (`sweep.dry_run`).

    Args:
        arguments: the task overrides as typed.
        params: the sweeper's `params`.
        config: the config composed without the swept overrides.
        context: Hydra's context.
        task_function: the function that third-party launchers call for each job.

    Returns:
        The exit code: 0; 1 if a job failed or is unfinished; 128 + the signal that ended the sweep.

    Raises:
        UsageError: the command line is invalid or can't be carried out; nothing has been started.
    """
    show_log(plain_console())
    if config.sweep.get("seeds") == "auto":
        return _launch_rounds(arguments, params, config, context, task_function)
    sweeper: Any = OmegaConf.to_container(config.hydra.sweeper)
    refuse_without_added_seeds(arguments, sweeper.get("params"))
    folder, jobs, swept = _compose_for_folder(arguments, params, config, context.config_loader)
    return _launch_jobs(folder, jobs, swept, config, context, task_function)[0]


def _launch_rounds(
    arguments: Sequence[str],
    params: Mapping[str, Any],
    config: DictConfig,
    context: HydraContext,
    task_function: TaskFunction,
) -> int:
    """Launch the sweep again and again, with more seeds for the configs whose interval is still too wide.

    Raises:
        UsageError: as for `launch`.
    """
    refuse_with_added_seeds(arguments, config.sweep.get("detach"))
    refuse_sources_with_added_seeds([*params] if config.sweep.get("design") == "one_source" else [])
    composed, swept = compose_jobs(arguments, {**params, "seed": "1"}, config, context.config_loader)
    refuse_sources_with_added_seeds(swept)
    settings = check_job(composed[0].config)
    folder = named_folder(config, settings, swept)
    this = next_round(folder, composed, settings.sweep.model_dump())
    while True:
        seeds = ",".join(map(str, range(1, this.seeds + 1)))
        _, jobs, swept = _compose_for_folder(arguments, {**params, "seed": seeds}, config, context.config_loader)
        members = [job for job in jobs if this.has(job)]
        # a launch writes its folder into the config, where the next round's jobs would find it set by nobody
        code, folder = _launch_jobs(folder, members, swept, config.copy(), context, task_function)
        if settings.sweep.dry_run:
            print(f"then more seeds, up to {settings.sweep.max_seeds}, where the interval is too wide")
        if code or settings.sweep.dry_run:
            return code
        before, this = this, next_round(folder, composed, settings.sweep.model_dump())
        if this.line:
            plain_console().print(this.line, markup=False)
        if not this.is_open or this == before:
            return 0


def _launch_jobs(
    folder: Path | None,
    jobs: list[JobSpec],
    swept: list[str],
    config: DictConfig,
    context: HydraContext,
    task_function: TaskFunction,
) -> tuple[int, Path | None]:
    """Check, freeze and run these jobs, or print the plan; return the exit code and the sweep's folder, if it has one.

    Raises:
        UsageError: as for `launch`.
    """
    settings = check_job(jobs[0].config)
    check_writable("hydra.sweep.dir", folder or MULTIRUN / "new")
    launcher = build_launcher(config, settings, context, task_function)
    loader = context.config_loader
    naming = partial(naming_the_jobs_file, jobs, config, loader)
    jobs, planned = checked_by_launcher(config, loader, partial(_checked, folder, jobs, swept, settings, naming))
    monitor = LeaseMonitor()
    if line := other_numerics_line(planned, monitor):
        LOG.warning("%s", line)
    if settings.sweep.dry_run:
        _print_plan(planned, settings)
        return 0, folder
    sweep = freeze(folder or new_sweep_folder(MULTIRUN, datetime.now()), jobs, swept, sys.argv)
    trusted = {target for job in jobs for target in targets(job.config)}
    for job in sweep.jobs:
        check_targets(job.config, trusted)
    for job in _jobs_to_rerun(sweep, settings, monitor):
        archive_attempts(sweep.folder_of(job), monitor)
    with read_write(config.hydra.sweep):
        config.hydra.sweep.dir = str(sweep.folder)
    if not hasattr(launcher, "search"):
        # Third-party launchers may read the sweep folder when they are built, and it was not known before.
        launcher = build_launcher(config, settings, context, task_function)

    def start(due: Sequence[JobSpec]) -> None:
        launcher.launch([_overrides(sweep, job) for job in due], 0)

    return run_sweep(sweep, start, settings.sweep.detach), sweep.folder


def checked_by_launcher(config: DictConfig, loader: ConfigLoader, check: Callable[[], Result]) -> Result:
    """Return what `check` returns; in a process of its own where this one will run no job, and so needs no PyTorch.

    What is to be said about a command line that is not refused is said afterwards.
    """
    runs_here = config.hydra.runtime.choices["hydra/launcher"] in RUN_HERE
    checked = check() if runs_here else in_child_process(check)
    params = config.hydra.sweeper.get("params") or {}
    for line in repeated_levels(typed_overrides(config, "task"), params, loader):
        LOG.warning("%s", line)
    return checked


def _checked(
    folder: Path | None, jobs: list[JobSpec], swept: list[str], settings: JobConfig, naming: NamingErrors
) -> tuple[list[JobSpec], Sweep]:
    """Check the jobs that are due, with their data; return all, each with the hash of its data, and the plan.

    Raises:
        UsageError: as for `launch`.
    """
    monitor = LeaseMonitor()
    planned = plan(folder, jobs, swept, sys.argv) if folder and (folder / SWEEP).exists() else None
    if planned is None or not _is_finished(planned, settings, monitor):
        data = preflight((job.config for job in jobs), not settings.sweep.dry_run, naming)
        jobs = [replace(job, data_sha256=sha256) for job, sha256 in zip(jobs, data, strict=True)]
        planned = plan(folder or MULTIRUN / "new", jobs, swept, sys.argv)
    refuse_sweep_links(planned.folder, planned.jobs)
    rerun = _jobs_to_rerun(planned, settings, monitor)
    due = [job for job in planned.jobs if job in rerun or job_state(planned, job, monitor).is_due]
    check_disk_space(planned.folder, due)
    if due and settings.sweep.try_recipes:
        try_recipes(due, settings.sweep.on_failure, may_download=not settings.sweep.dry_run)
    return jobs, planned


def _compose_for_folder(
    arguments: Sequence[str], params: Mapping[str, Any], config: DictConfig, loader: ConfigLoader
) -> tuple[Path | None, list[JobSpec], list[str]]:
    """Return the folder that the command line names (None: a new one), the jobs to run there, and the swept keys.

    Raises:
        UsageError: a job's config is invalid, or the folder holds something else.
    """
    jobs, swept = compose_jobs(arguments, params, config, loader)
    folder = named_folder(config, check_job(jobs[0].config), swept)
    if folder is None:
        return None, jobs, swept
    if (folder / SEARCH).exists():
        raise UsageError(f"{folder}: holds a search; add hydra/sweeper=search, or take another sweep.name")
    if (folder / SWEEP).exists():
        as_frozen = with_frozen_levels(arguments, params, read_sweep(folder).jobs, loader)
        if as_frozen != list(arguments):
            jobs, swept = compose_jobs(as_frozen, params, config, loader)
    refuse_record(folder)
    refuse_sweep_links(folder)
    check_not_recorded(folder, jobs)
    return folder, jobs, swept


def build_launcher(
    config: DictConfig, settings: JobConfig, context: HydraContext, task_function: TaskFunction
) -> Launcher:
    """Build the launcher that the command line selects.

    Raises:
        UsageError: its settings are invalid, or it can't do what the command line asks for.
    """
    name = config.hydra.runtime.choices["hydra/launcher"]
    if settings.sweep.detach and name != "workers":
        raise UsageError(f"sweep.detach=true: needs hydra/launcher=workers, not {name}")
    launcher = Plugins.instance().instantiate_launcher(
        config=config, hydra_context=context, task_function=task_function
    )
    if hasattr(launcher, "search"):
        refuse_hydra_job_settings(config, context, name)
    else:
        check_public_launcher(config)
    return launcher


def compose_jobs(
    arguments: Sequence[str], params: Mapping[str, Any], config: DictConfig, loader: ConfigLoader
) -> tuple[list[JobSpec], list[str]]:
    """Compose and check all jobs of a command line.

    Returns:
        The jobs, and the keys that are swept.

    Raises:
        UsageError: a value is invalid in one of the jobs, or there are none or too many of them.
    """
    refuse_search_settings(arguments)
    composer = Composer(config, loader)
    combined, swept = combinations(arguments, params, loader, config.sweep.get("design"))
    for key in swept:
        if key.startswith("sweep."):
            raise UsageError(f"{key}: can't be swept, it is a setting of the whole sweep")
    if len(combined) > MAX_JOBS:
        raise UsageError(f"{', '.join(swept)}: their values make {len(combined):,} jobs; {MAX_JOBS:,} is the most")
    try:
        jobs = [compose_job(combination, swept, index, composer) for index, combination in enumerate(combined)]
    except (HydraException, UsageError) as error:
        refuse_partial_key(error, combined, swept, composer)
        raise
    excluded = jobs[0].config["sweep"]["exclude"]
    jobs = without_excluded(jobs, excluded)
    if not jobs:
        raise UsageError(f"sweep.exclude={excluded}: leaves no job")
    folders = config_folders(config)
    return [replace(job, config_folders=folders) for job in jobs], swept


def named_folder(config: DictConfig, settings: JobConfig, swept: Sequence[str]) -> Path | None:
    """Return the folder that the command line names with `sweep.name` or `hydra.sweep.dir`; None if it names none.

    Raises:
        UsageError: both are given, or its name depends on what is swept.
    """
    raw: Any = OmegaConf.to_container(config.hydra.sweep, resolve=False)
    for key in swept:
        if is_read(key, {"dir": raw["dir"]}, []):
            raise UsageError(
                f"hydra.sweep.dir={raw['dir']}: a sweep has one folder, and {key} is swept; take another name"
            )
    given = any(override.startswith("hydra.sweep.dir=") for override in typed_overrides(config, "hydra"))
    if settings.sweep.name is None:
        return Path(config.hydra.sweep.dir) if given else None
    if given:
        raise UsageError(f"sweep.name={settings.sweep.name} and hydra.sweep.dir: both name the folder; give one")
    return sweep_folder(MULTIRUN, settings.sweep.name)


def _is_finished(sweep: Sweep, settings: JobConfig, monitor: LeaseMonitor) -> bool:
    """Return whether nothing is left to run, so that nothing has to be checked, and neither PyTorch nor data be loaded.

    A job that has a hash of its data may be another one with today's data.
    """
    return not settings.sweep.rerun and all(
        job.data_sha256 is None and not job_state(sweep, job, monitor).is_due for job in sweep.jobs
    )


def _jobs_to_rerun(sweep: Sweep, settings: JobConfig, monitor: LeaseMonitor) -> list[JobSpec]:
    if not settings.sweep.rerun:
        return []
    return jobs_to_rerun(sweep, settings.sweep.rerun, [job_state(sweep, job, monitor) for job in sweep.jobs])


def job_names(job_overrides: Sequence[Sequence[str]]) -> list[str]:
    """Return the names of the jobs whose overrides Hydra passed to a launcher."""
    subfolders = [next(override for override in job if override.startswith(SUBFOLDER)) for job in job_overrides]
    return [override[len(SUBFOLDER) :].strip("'") for override in subfolders]


def _overrides(sweep: Sweep, job: JobSpec) -> list[str]:
    """Return a job's overrides and those of its folder: third-party launchers compose the job again to find it."""
    folder = str(sweep.folder.absolute()).replace("\\", "\\\\").replace("'", "\\'")
    return [*job.overrides, f"hydra.sweep.dir='{folder}'", f"{SUBFOLDER}'{job.name}'"]


def _print_plan(sweep: Sweep, settings: JobConfig) -> None:
    monitor = LeaseMonitor()
    rerun = {job.name for job in _jobs_to_rerun(sweep, settings, monitor)}
    states = [job_state(sweep, job, monitor) for job in sweep.jobs]
    planned = [replace(state, action="rerun") if state.job.name in rerun else state for state in states]
    rows = [
        ("job", "status", "action"),
        *((f"{state.job.index} {state.job.name}", state.status, _action_text(state)) for state in planned),
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, status, action in rows:
        print(f"{name:{widths[0]}}  {status:{widths[1]}}  {action}")


def _action_text(state: JobState) -> str:
    return f"{state.action} ({state.remark})" if state.remark else state.action
