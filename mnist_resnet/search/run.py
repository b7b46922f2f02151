"""A search: composed, checked and frozen, then worked on trial by trial, and summed up like any sweep."""

import itertools
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.names import new_sweep_folder
from mnist_resnet.config.schema import check
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import SEARCH, SWEEP, Status
from mnist_resnet.jobs.crash import RetryBudget
from mnist_resnet.jobs.disk_space import check_disk_space
from mnist_resnet.jobs.lease import LeaseMonitor
from mnist_resnet.jobs.preflight import check_writable, preflight
from mnist_resnet.jobs.run import ProcessContext, run_job
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.jobs.stop_request import stop_on_request
from mnist_resnet.search.pruning import Pruning
from mnist_resnet.search.report import print_report, write_report
from mnist_resnet.search.space import parse_space
from mnist_resnet.search.spec import SearchSpec, compose_shared_configs, read_spec, reject_another_search
from mnist_resnet.search.study import JOURNAL, build_pruner, build_sampler, grid_size
from mnist_resnet.search.trials import Trials, claimed
from mnist_resnet.sweeps.finish import print_summary, started, watch_hint, write_summary_once
from mnist_resnet.sweeps.folder import read_sweep
from mnist_resnet.sweeps.launch import MULTIRUN, build_launcher, named_folder
from mnist_resnet.sweeps.live_dashboard import LiveDashboard
from mnist_resnet.sweeps.runner import POLL, NoPeers, Peers
from mnist_resnet.tracking.console import ProgressConsole
from mnist_resnet.tracking.guarded import GuardedTracker


def search(
    arguments: Sequence[str],
    params: Mapping[str, Any],
    config: DictConfig,
    context: HydraContext,
    task_function: TaskFunction,
) -> int:
    """Do what `train.py -m hydra/sweeper=search` was asked to do.

    Args:
        arguments: the task overrides as typed.
        params: the sweeper's.
        config: composed without what is searched.
        context: Hydra's.
        task_function: of no use, trials are run from their frozen configs; launchers want it.

    Returns:
        The exit code: 0, or 1 if a job failed or was left, or 128 and the signal that ended the search.

    Raises:
        UsageError: something was asked for that can't be; nothing has been started.
    """
    spec = compose_spec(arguments, params, config, context)
    corners = spec.corners()
    settings = check(corners[0].config)
    folder = named_folder(config, settings)
    begun = _begun(folder, spec) if folder else 0
    if settings.sweep.dry_run:
        _print_plan(spec, begun)
        return 0
    check_writable("hydra.sweep.dir", folder or MULTIRUN / "new")
    preflight(job.config for job in corners)
    launcher: Any = build_launcher(config, settings, context, task_function)
    if not hasattr(launcher, "search"):
        raise UsageError(
            f"hydra/launcher={config.hydra.runtime.choices['hydra/launcher']}: hands out jobs in batches, and a search "
            f"gives each worker its next trial when it is free; take sequential or workers"
        )
    check_disk_space(folder or MULTIRUN, list(itertools.islice(itertools.cycle(corners), max(0, spec.trials - begun))))
    folder = _frozen(folder or new_sweep_folder(MULTIRUN, datetime.now()), spec)
    with open_dict(config):
        config.hydra.sweep.dir = str(folder)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{folder}: {spec.trials} trials, {begun} begun already", markup=False)
    code = started([], lambda _: launcher.search(folder), console)
    if settings.sweep.detach and not code:
        console.print(watch_hint(folder), markup=False)
        return 0
    return _conclude(folder, spec, code, console)


def compose_spec(
    arguments: Sequence[str], params: Mapping[str, Any], config: DictConfig, context: HydraContext
) -> SearchSpec:
    """What is searched, and how, composed and checked.

    Raises:
        UsageError: a value is wrong somewhere in the space, or there is nothing to judge a trial by.
    """
    space, fixed = parse_space(arguments, params, context.config_loader)
    commons = compose_shared_configs(space, fixed, config, context.config_loader)
    sampler, pruner = (_node(config.hydra.sweeper[name], name) for name in ("sampler", "pruner"))
    spec = SearchSpec(space, fixed, commons, sampler, pruner, trials=1, command=sys.argv)
    corners = spec.corners()
    _check_settings(corners)
    build_sampler(sampler, space, 0)
    build_pruner(pruner, check(corners[0].config).epochs)
    return replace(spec, trials=check(corners[0].config).sweep.trials)


def _node(given: Any, name: str) -> dict[str, Any]:
    content = OmegaConf.to_container(given, resolve=True) if OmegaConf.is_config(given) else None
    if not isinstance(content, dict) or "_target_" not in content:
        raise UsageError(f"hydra.sweeper.{name}={given}: must be a node with a _target_; choose hydra/sweeper/{name}=…")
    return {str(key): value for key, value in content.items()}


def _check_settings(corners: Sequence[JobSpec]) -> None:
    sweep = check(corners[0].config).sweep
    if sweep.exclude:
        raise UsageError(f"sweep.exclude={sweep.exclude}: a search takes none; leave the values out of its space")
    if sweep.rerun:
        raise UsageError(f"sweep.rerun={sweep.rerun}: a search does no trial anew; failed ones go on by themselves")
    if sweep.objective.startswith("test_"):
        if not sweep.objective_on_test:
            raise UsageError(
                f"sweep.objective={sweep.objective}: a search picks what suits the images it is judged by, so that "
                f"their figure promises too much and tests nothing any more; take val_{sweep.objective[5:]} with "
                f"data.val_size=5000, or insist with sweep.objective_on_test=true"
            )
        return
    if any(check(job.config).data.val_size == 0 for job in corners):
        raise UsageError(
            f"sweep.objective={sweep.objective}: no images are held out to judge a trial by (data.val_size=0); add "
            f"data.val_size=5000, or as many as can be spared"
        )


def _begun(folder: Path, spec: SearchSpec) -> int:
    """How many trials the study in `folder` has.

    Raises:
        UsageError: the folder holds another search, or a sweep of another kind.
    """
    if not (folder / SEARCH).exists():
        if (folder / SWEEP).exists():
            raise UsageError(f"{folder}: holds a sweep that is no search; take another sweep.name")
        return 0
    reject_another_search(folder, read_spec(folder), spec)
    return len(Trials(folder, spec, LeaseMonitor(), print).all()) if (folder / JOURNAL).exists() else 0


def _frozen(folder: Path, spec: SearchSpec) -> Path:
    """Freeze the recipe in its folder, unless somebody just froze another one there."""
    folder.mkdir(parents=True, exist_ok=True)
    with claimed(folder, LeaseMonitor()):
        _begun(folder, spec)
        spec.write(folder)
    return folder


def work(folder: Path) -> None:
    """Work on the search in `folder`, in this process, until it has all its trials.

    Raises:
        Interrupted: the program was asked to end.
    """
    spec, interrupt = read_spec(folder), Interrupt()
    on_failure = check(spec.corners()[0].config).sweep.on_failure
    with interrupt.listening(), stop_on_request(folder, interrupt), ProgressConsole(spec.trials) as progress:
        context = ProcessContext(progress, interrupt, callbacks=[LiveDashboard(folder)])
        work_at(context, Trials(folder, spec, context.monitor, progress.log), NoPeers(on_failure))


def work_at(context: ProcessContext, trials: Trials, peers: Peers) -> None:
    """Run one trial after the other at `context`, until there are enough and each has ended, here or elsewhere.

    Args:
        context: of this process.
        trials: of the search.
        peers: who else works for the same launch.

    Raises:
        Interrupted: the program was asked to end.
    """
    has_waited = False
    while True:
        context.interrupt.check()
        turn = trials.next(peers)
        if turn == "done":
            return
        if turn == "wait":
            if not has_waited and not all(map(peers.is_ours, trials.held())):
                has_waited = True
                context.progress.log("others run the last trials; waiting for them, or for theirs")
            time.sleep(POLL)
            continue
        context.progress.jobs_ended = turn.number
        callbacks = [*context.callbacks, Pruning(trials.reporting(turn.number), trials.metric)]
        tries = None if peers.supervised else RetryBudget.of(turn.job, trials.attempts_before(turn.job.name))
        result = run_job(turn.job, trials.folder / turn.job.name, replace(context, callbacks=callbacks), tries=tries)
        if result is not None and result["status"] == Status.FAILED:
            peers.stop()
            if peers.is_stopped():
                context.progress.log("no further trial is begun (sweep.on_failure=stop)")


def resume_search(folder: Path, trusted: Sequence[str]) -> int:
    """Go on with the search in `folder`, from its recipe alone; gives the exit code.

    Raises:
        UsageError: the recipe would run something that is not trusted, or there is no room for the trials.
        UnreadableFolder: the folder holds no search.
    """
    spec = read_spec(folder)
    spec.check_stored(trusted)
    begun = len(Trials(folder, spec, LeaseMonitor(), print).all())
    check_disk_space(folder, list(itertools.islice(itertools.cycle(spec.corners()), max(0, spec.trials - begun))))
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{folder}: {spec.trials} trials, {begun} begun already", markup=False)
    return _conclude(folder, spec, started([], lambda _: work(folder), console), console)


def conclude_search(folder: Path, spec: SearchSpec, tracker: GuardedTracker, console: Console) -> None:
    """Have what sums up a search written, unless it has been; for a worker that ends without a launch that waits."""
    trials = Trials(folder, spec, LeaseMonitor(), console.print)
    trials.settle()
    write_summary_once(folder, tracker, console, lambda: write_report(trials, console))


def _conclude(folder: Path, spec: SearchSpec, code: int, console: Console) -> int:
    if not (folder / SWEEP).exists():
        return code
    trials = Trials(folder, spec, LeaseMonitor(), console.print)
    trials.settle()
    undone = print_summary(read_sweep(folder), console, lambda: write_report(trials, console))
    print_report(trials, console)
    return code or (1 if undone else 0)


def _print_plan(spec: SearchSpec, begun: int) -> None:
    for one in spec.space:
        print(f"{one.name}: {one.typed}")
    size = grid_size(spec.sampler, spec.space)
    of = f", of which the grid has {size}" if size is not None else ""
    print(f"sampler: {spec.sampler['_target_']}")
    print(f"pruner: {spec.pruner['_target_']}")
    print(f"{spec.trials} trials{of}, {begun} begun already")
