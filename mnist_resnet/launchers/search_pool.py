"""A search worked on by workers, each of which asks for its next trial when it is free."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from mnist_resnet.config.allowed_targets import targets
from mnist_resnet.config.job_spec import FrozenJob
from mnist_resnet.config.schema import Workers, check
from mnist_resnet.jobs.lease import Watch
from mnist_resnet.jobs.run import Desk
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.jobs.stop_request import hearing, last_request
from mnist_resnet.jobs.worker_options import Orders, read_orders
from mnist_resnet.launchers.pool import engage, is_attended
from mnist_resnet.search.run import work_at
from mnist_resnet.search.spec import read_recipe
from mnist_resnet.search.trials import Trials
from mnist_resnet.sweeps.runner import Alone, Company
from mnist_resnet.tracking.console import Screen


def search_by_workers(folder: Path, on_failure: str, retries: int, settings: Workers, detach: bool) -> None:
    """Have the search in `folder` worked on by workers, until it has all its trials.

    Args:
        folder: the sweep folder, with the recipe in it.
        on_failure: `continue`, or `stop` to begin no further trial after one that failed.
        retries: how often a trial goes on after its process died.
        settings: who starts how many workers.
        detach: whether to return once the workers are submitted.

    Raises:
        UsageError: a trial asks for a device that no worker sees, or the engine refuses.
        Interrupted: the program was asked to end.
    """
    recipe, interrupt = read_recipe(folder), Interrupt()
    with interrupt.listening(), hearing(folder, interrupt), Screen(recipe.trials) as screen:
        trials = Trials(folder, recipe, Watch(), screen.say)
        begun, attended = trials.attempts(), is_attended(settings, detach)
        orders = Orders(folder.absolute(), secrets.token_hex(8), begun, on_failure, last_request(folder), attended)
        engage(SearchDocket(trials), orders, recipe.corners(), retries, settings, detach, screen, interrupt)


class SearchDocket:
    """Of a search: its jobs come one by one.

    Args:
        trials: of the search.
    """

    def __init__(self, trials: Trials) -> None:
        self._trials = trials
        self.strike_off()

    def targets(self) -> set[str]:
        """What the trials run, by their `_target_`."""
        recipe = self._trials.recipe
        return recipe.targets() | set(targets([recipe.sampler, recipe.pruner]))

    def strike_off(self) -> None:
        """Look which have ended since."""
        self.jobs: dict[str, FrozenJob] = {job.name: job for job in self._trials.open_jobs()}
        self.left = self._trials.left()


def work_on_search(desk: Desk, folder: Path, launch: str | None, trusted: Sequence[str]) -> None:
    """Run trials of the search in `folder`, until it has all and each has ended, here or elsewhere.

    Args:
        desk: of this process.
        folder: the sweep folder, with the recipe in it.
        launch: whose orders to follow; None: nobody's.
        trusted: targets, beside those that are trusted anyway.

    Raises:
        UsageError: the recipe would run something that is not trusted.
        Interrupted: the program was asked to end.
    """
    recipe = read_recipe(folder)
    company: Company
    if launch is None:
        recipe.check_stored(trusted)
        company, attempts = Alone(check(recipe.corners()[0].config).sweep.on_failure), None
    else:
        # The launch composed the recipe, and wrote it just now.
        company = orders = read_orders(folder, launch)
        attempts = orders.jobs
    work_at(desk, Trials(folder, recipe, desk.watch, desk.screen.say, attempts), company)
