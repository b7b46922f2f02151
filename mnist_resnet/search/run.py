"""Starts, resumes and finishes a search."""

import itertools
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, read_write
from optuna.trial import FrozenTrial
from rich.console import Console

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.allowed_targets import trust
from mnist_resnet.config.compose import naming_the_jobs_file
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.names import new_sweep_folder
from mnist_resnet.config.objective import objective_of
from mnist_resnet.config.schema import JobConfig, check_job
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import JOURNAL, SEARCH, SWEEP, UnreadableFolder
from mnist_resnet.jobs.disk_space import check_disk_space
from mnist_resnet.jobs.preflight import NamingErrors, check_writable, preflight
from mnist_resnet.search.components import grid_size, trials_for_grid
from mnist_resnet.search.compose import compose_spec
from mnist_resnet.search.rehearsal import describe, rehearse
from mnist_resnet.search.report import print_report, recommendations, tells_nothing, write_report
from mnist_resnet.search.spec import SearchSpec, read_spec, read_trusted_spec
from mnist_resnet.search.spec_diff import check_same_search, with_stored_ranges
from mnist_resnet.search.study import started_trials
from mnist_resnet.search.trial_loop import run_search
from mnist_resnet.search.trials import Trials
from mnist_resnet.sweeps.added_seeds import refuse_without_added_seeds
from mnist_resnet.sweeps.finish import no_summary, print_summary, run_launcher, watch_hint, write_summary_once
from mnist_resnet.sweeps.folder import job_list_lease, read_sweep, refuse_sweep_links
from mnist_resnet.sweeps.launch import MULTIRUN, build_launcher, checked_by_launcher, named_folder
from mnist_resnet.sweeps.recipes import try_recipes
from mnist_resnet.tracking.console import plain_console, show_log
from mnist_resnet.tracking.guarded import GuardedTracker


def search(
    arguments: Sequence[str],
    params: Mapping[str, Any],
    config: DictConfig,
    context: HydraContext,
    task_function: TaskFunction,
) -> int:
    """Carry out `train.py -m hydra/sweeper=search`.

    Args:
        arguments: Task overrides as typed.
        params: The sweeper's `params`.
        config: Config composed without the searched keys.
        context: Hydra's context.
        task_function: Required by launchers, but not called: trials are run from their frozen configs.

    Returns:
        The exit code: 0, 1 if a job failed or is unfinished, or 128 plus the signal that ended the search.

    Raises:
        UsageError: The request is not valid; nothing has been started.
    """
    show_log(plain_console())
    if config.sweep.get("seeds") == "auto":
        raise UsageError("sweep.seeds=auto: is not for a search, whose trials have one seed; run the best with it")
    refuse_without_added_seeds(arguments)
    spec = compose_spec(arguments, params, config, context)
    corner_jobs = spec.corner_jobs()
    alone = rehearse(spec.sampler, spec.space, len(objective_of(corner_jobs[0].config).metrics))
    settings = check_job(corner_jobs[0].config)
    folder = named_folder(config, settings, [parameter.name for parameter in spec.space])
    if folder:
        refuse_sweep_links(folder)
    if folder and (folder / SEARCH).exists():
        spec = with_stored_ranges(read_spec(folder), spec)
    trials = _trials_so_far(folder, spec) if folder else []
    started = len(trials)
    check_writable("hydra.sweep.dir", folder or MULTIRUN / "new")
    launcher: Any = build_launcher(config, settings, context, task_function)
    if not hasattr(launcher, "search"):
        raise UsageError(
            f"hydra/launcher={config.hydra.runtime.choices['hydra/launcher']}: starts jobs in batches, but a search "
            f"gives each worker one trial at a time; take sequential or workers"
        )
    loader = context.config_loader
    naming = partial(naming_the_jobs_file, corner_jobs, config, loader)
    check = partial(_check, folder or MULTIRUN, corner_jobs, spec.trials - started, settings, naming)
    checked_by_launcher(config, loader, check)
    if settings.sweep.dry_run:
        _print_plan(spec, trials, alone)
        return 0
    folder = _freeze(folder or new_sweep_folder(MULTIRUN, datetime.now()), spec)
    with read_write(config.hydra.sweep):
        config.hydra.sweep.dir = str(folder)
    console = _console(folder, spec, trials)
    if alone:
        console.print(describe(spec.sampler, alone), markup=False)
    code = run_launcher([], lambda _: launcher.search(folder), console)
    if settings.sweep.detach and not code:
        console.print(watch_hint(folder), markup=False)
        return 0
    return _finish(folder, spec, code, console)


def resume_search(folder: Path, trusted: Sequence[str]) -> int:
    """Resume the search in `folder` in this process, from its spec alone.

    Args:
        folder: The sweep folder.
        trusted: Targets that may be run, beside those that are always trusted.

    Returns:
        The exit code; see `search`.

    Raises:
        UsageError: The spec would run a target that is not trusted, or the disk has no space for the trials.
        UnreadableFolder: The folder holds no search.
    """
    trust(trusted)
    spec = read_trusted_spec(folder, trusted)
    trials = started_trials(Trials(folder, spec, LeaseMonitor(), print).storage)
    _check_disk_space(folder, spec.corner_jobs(), spec.trials - len(trials))
    console = _console(folder, spec, trials)
    return _finish(folder, spec, run_launcher([], lambda _: run_search(folder), console), console)


def conclude_search(folder: Path, spec: SearchSpec, tracker: GuardedTracker, console: Console) -> None:
    """Write the search's summary unless another process has; for workers that no launch waits for."""
    trials = Trials(folder, spec, LeaseMonitor(), console.print)
    trials.record_results()
    write_summary_once(folder, tracker, console, lambda: write_report(trials, recommendations(trials), console))


def _trials_so_far(folder: Path, spec: SearchSpec) -> list[FrozenTrial]:
    """Return the trials that the study in `folder` has.

    Raises:
        UsageError: The folder holds another search, or a sweep that is not a search.
    """
    if not (folder / SEARCH).exists():
        if (folder / SWEEP).exists():
            raise UsageError(f"{folder}: holds a sweep that is not a search; take another sweep.name")
        return []
    check_same_search(folder, read_spec(folder), spec)
    if not (folder / JOURNAL).exists():
        return []
    return started_trials(Trials(folder, spec, LeaseMonitor(), print).storage)


def _freeze(folder: Path, spec: SearchSpec) -> Path:
    """Freeze the spec in its folder, unless another process has just frozen a different one there."""
    folder.mkdir(parents=True, exist_ok=True)
    with job_list_lease(folder, LeaseMonitor()):
        _trials_so_far(folder, spec)
        spec.write(folder)
    return folder


def _check(
    folder: Path, corner_jobs: Sequence[JobSpec], trials: int, settings: JobConfig, naming: NamingErrors
) -> None:
    """Check the jobs at the corners of the space, with their data.

    Raises:
        UsageError: as for `search`.
    """
    preflight((job.config for job in corner_jobs), not settings.sweep.dry_run, naming)
    _check_disk_space(folder, corner_jobs, trials)
    if settings.sweep.try_recipes:
        try_recipes(corner_jobs, settings.sweep.on_failure, may_download=not settings.sweep.dry_run)


def _check_disk_space(folder: Path, corner_jobs: Sequence[JobSpec], trials: int) -> None:
    """Check that the disk has space for so many more trials; the corner jobs stand for these."""
    check_disk_space(folder, list(itertools.islice(itertools.cycle(corner_jobs), max(0, trials))))


def _console(folder: Path, spec: SearchSpec, trials: Sequence[FrozenTrial]) -> Console:
    """Create the search's console and print its first lines."""
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{folder}: {spec.trials} trials, {len(trials)} started already", markup=False)
    for line in _grid_lines(spec, trials):
        console.print(line, markup=False)
    return console


def _grid_lines(spec: SearchSpec, trials: Sequence[FrozenTrial]) -> list[str]:
    """Return a line about the points of a grid for which `sweep.trials` leaves no trial; none if all are run."""
    size, needed = grid_size(spec.sampler, spec.space), trials_for_grid(spec.sampler, spec.space, trials)
    if size is None or needed is None or needed <= spec.trials:
        return []
    left_out = f"{needed - spec.trials} of the grid's {size} points are left out"
    return [f"{left_out} (sweep.trials={spec.trials}); sweep.trials={needed} runs all"]


def _finish(folder: Path, spec: SearchSpec, code: int, console: Console) -> int:
    """Write and print the summary and the report; return the exit code."""
    try:
        return _report(folder, spec, code, console)
    except (OSError, UnreadableFolder) as error:
        console.print(no_summary(error), markup=False)
        return code or 1


def _report(folder: Path, spec: SearchSpec, code: int, console: Console) -> int:
    if not (folder / SWEEP).exists():
        return code
    trials = Trials(folder, spec, LeaseMonitor(), console.print)
    trials.record_results()
    recommended = recommendations(trials)
    unfinished = print_summary(read_sweep(folder), console, lambda: write_report(trials, recommended, console))
    print_report(trials, recommended, console)
    return code or (1 if unfinished or tells_nothing(trials) else 0)


def _print_plan(spec: SearchSpec, trials: Sequence[FrozenTrial], alone: Sequence[str]) -> None:
    for parameter in spec.space:
        print(f"{parameter.name}: {parameter.typed}")
    size = grid_size(spec.sampler, spec.space)
    grid = f" (the grid has {size})" if size is not None else ""
    print(f"sampler: {spec.sampler['_target_']}")
    if alone:
        print(describe(spec.sampler, alone))
    print(f"pruner: {spec.pruner['_target_']}")
    print(f"{spec.trials} trials{grid}, {len(trials)} started already")
    for line in _grid_lines(spec, trials):
        print(line)
