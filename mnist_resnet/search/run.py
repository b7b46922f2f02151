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

from mnist_resnet.config.job_spec import FrozenJob
from mnist_resnet.config.names import new_sweep_folder
from mnist_resnet.config.schema import check
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import SEARCH, SWEEP, Status
from mnist_resnet.jobs.crash import Tries
from mnist_resnet.jobs.disk_space import check_room
from mnist_resnet.jobs.lease import Watch
from mnist_resnet.jobs.preflight import check_writable, rehearse
from mnist_resnet.jobs.run import Desk, run_job
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.jobs.stop_request import hearing
from mnist_resnet.search.pruning import Pruning
from mnist_resnet.search.report import say_findings, write_findings
from mnist_resnet.search.space import parse_space
from mnist_resnet.search.spec import Recipe, compose_commons, read_recipe, refuse_another_search
from mnist_resnet.search.study import JOURNAL, build_pruner, build_sampler, grid_size
from mnist_resnet.search.trials import Trials, claimed
from mnist_resnet.sweeps.finish import followed_by, started, sum_up, write_once
from mnist_resnet.sweeps.folder import read_sweep
from mnist_resnet.sweeps.launch import MULTIRUN, build_launcher, named_folder
from mnist_resnet.sweeps.live_dashboard import LivePage
from mnist_resnet.sweeps.runner import POLL, Alone, Company
from mnist_resnet.tracking.console import Screen
from mnist_resnet.tracking.guarded import Shielded


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
    recipe = compose_recipe(arguments, params, config, context)
    corners = recipe.corners()
    settings = check(corners[0].config)
    folder = named_folder(config, settings)
    begun = _begun(folder, recipe) if folder else 0
    if settings.sweep.dry_run:
        _print_plan(recipe, begun)
        return 0
    check_writable("hydra.sweep.dir", folder or MULTIRUN / "new")
    rehearse(job.config for job in corners)
    launcher: Any = build_launcher(config, settings, context, task_function)
    if not hasattr(launcher, "search"):
        raise UsageError(
            f"hydra/launcher={config.hydra.runtime.choices['hydra/launcher']}: hands out jobs in batches, and a search "
            f"gives each worker its next trial when it is free; take sequential or workers"
        )
    check_room(folder or MULTIRUN, list(itertools.islice(itertools.cycle(corners), max(0, recipe.trials - begun))))
    folder = _frozen(folder or new_sweep_folder(MULTIRUN, datetime.now()), recipe)
    with open_dict(config):
        config.hydra.sweep.dir = str(folder)
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{folder}: {recipe.trials} trials, {begun} begun already", markup=False)
    code = started([], lambda _: launcher.search(folder), console)
    if settings.sweep.detach and not code:
        console.print(followed_by(folder), markup=False)
        return 0
    return _conclude(folder, recipe, code, console)


def compose_recipe(
    arguments: Sequence[str], params: Mapping[str, Any], config: DictConfig, context: HydraContext
) -> Recipe:
    """What is searched, and how, composed and checked.

    Raises:
        UsageError: a value is wrong somewhere in the space, or there is nothing to judge a trial by.
    """
    space, fixed = parse_space(arguments, params, context.config_loader)
    commons = compose_commons(space, fixed, config, context.config_loader)
    sampler, pruner = (_node(config.hydra.sweeper[name], name) for name in ("sampler", "pruner"))
    recipe = Recipe(space, fixed, commons, sampler, pruner, trials=1, command=sys.argv)
    corners = recipe.corners()
    _check_settings(corners)
    build_sampler(sampler, space, 0)
    build_pruner(pruner, check(corners[0].config).epochs)
    return replace(recipe, trials=check(corners[0].config).sweep.trials)


def _node(given: Any, name: str) -> dict[str, Any]:
    content = OmegaConf.to_container(given, resolve=True) if OmegaConf.is_config(given) else None
    if not isinstance(content, dict) or "_target_" not in content:
        raise UsageError(f"hydra.sweeper.{name}={given}: must be a node with a _target_; choose hydra/sweeper/{name}=…")
    return {str(key): value for key, value in content.items()}


def _check_settings(corners: Sequence[FrozenJob]) -> None:
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


def _begun(folder: Path, recipe: Recipe) -> int:
    """How many trials the study in `folder` has.

    Raises:
        UsageError: the folder holds another search, or a sweep of another kind.
    """
    if not (folder / SEARCH).exists():
        if (folder / SWEEP).exists():
            raise UsageError(f"{folder}: holds a sweep that is no search; take another sweep.name")
        return 0
    refuse_another_search(folder, read_recipe(folder), recipe)
    return len(Trials(folder, recipe, Watch(), print).all()) if (folder / JOURNAL).exists() else 0


def _frozen(folder: Path, recipe: Recipe) -> Path:
    """Freeze the recipe in its folder, unless somebody just froze another one there."""
    folder.mkdir(parents=True, exist_ok=True)
    with claimed(folder, Watch()):
        _begun(folder, recipe)
        recipe.write(folder)
    return folder


def work(folder: Path) -> None:
    """Work on the search in `folder`, in this process, until it has all its trials.

    Raises:
        Interrupted: the program was asked to end.
    """
    recipe, interrupt = read_recipe(folder), Interrupt()
    on_failure = check(recipe.corners()[0].config).sweep.on_failure
    with interrupt.listening(), hearing(folder, interrupt), Screen(recipe.trials) as screen:
        desk = Desk(screen, interrupt, observers=[LivePage(folder)])
        work_at(desk, Trials(folder, recipe, desk.watch, screen.say), Alone(on_failure))


def work_at(desk: Desk, trials: Trials, company: Company) -> None:
    """Run one trial after the other at `desk`, until there are enough and each has ended, here or elsewhere.

    Args:
        desk: of this process.
        trials: of the search.
        company: who else works for the same launch.

    Raises:
        Interrupted: the program was asked to end.
    """
    has_waited = False
    while True:
        desk.interrupt.check()
        turn = trials.next(company)
        if turn == "done":
            return
        if turn == "wait":
            if not has_waited and not all(map(company.is_ours, trials.held())):
                has_waited = True
                desk.screen.say("others run the last trials; waiting for them, or for theirs")
            time.sleep(POLL)
            continue
        desk.screen.jobs_ended = turn.number
        observers = [*desk.observers, Pruning(trials.reporting(turn.number), trials.metric)]
        tries = None if company.attended else Tries.of(turn.job, trials.attempts_before(turn.job.name))
        result = run_job(turn.job, trials.folder / turn.job.name, replace(desk, observers=observers), tries=tries)
        if result is not None and result["status"] == Status.FAILED:
            company.stop()
            if company.is_stopped():
                desk.screen.say("no further trial is begun (sweep.on_failure=stop)")


def resume_search(folder: Path, trusted: Sequence[str]) -> int:
    """Go on with the search in `folder`, from its recipe alone; gives the exit code.

    Raises:
        UsageError: the recipe would run something that is not trusted, or there is no room for the trials.
        UnreadableFolder: the folder holds no search.
    """
    recipe = read_recipe(folder)
    recipe.check_stored(trusted)
    begun = len(Trials(folder, recipe, Watch(), print).all())
    check_room(folder, list(itertools.islice(itertools.cycle(recipe.corners()), max(0, recipe.trials - begun))))
    console = Console(highlight=False, soft_wrap=True)
    console.print(f"{folder}: {recipe.trials} trials, {begun} begun already", markup=False)
    return _conclude(folder, recipe, started([], lambda _: work(folder), console), console)


def conclude_search(folder: Path, recipe: Recipe, tracker: Shielded, console: Console) -> None:
    """Have what sums up a search written, unless it has been; for a worker that ends without a launch that waits."""
    trials = Trials(folder, recipe, Watch(), console.print)
    trials.settle()
    write_once(folder, tracker, console, lambda: write_findings(trials, console))


def _conclude(folder: Path, recipe: Recipe, code: int, console: Console) -> int:
    if not (folder / SWEEP).exists():
        return code
    trials = Trials(folder, recipe, Watch(), console.print)
    trials.settle()
    undone = sum_up(read_sweep(folder), console, lambda: write_findings(trials, console))
    say_findings(trials, console)
    return code or (1 if undone else 0)


def _print_plan(recipe: Recipe, begun: int) -> None:
    for one in recipe.space:
        print(f"{one.name}: {one.typed}")
    size = grid_size(recipe.sampler, recipe.space)
    of = f", of which the grid has {size}" if size is not None else ""
    print(f"sampler: {recipe.sampler['_target_']}")
    print(f"pruner: {recipe.pruner['_target_']}")
    print(f"{recipe.trials} trials{of}, {begun} begun already")
