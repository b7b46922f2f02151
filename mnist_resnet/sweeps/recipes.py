"""Tries each distinct recipe of a launch before its first job starts; see `Task.check_recipe`."""

import logging
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import Any

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.schema import check_job
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import to_json
from mnist_resnet.jobs.downloads import DownloadNeeded, downloads
from mnist_resnet.jobs.task import load_task
from mnist_resnet.jobs.working_directory import keeping_working_directory

LOG = logging.getLogger("mnist_resnet")

BUDGET = 60.0
"""Seconds for all recipes of a launch together."""
NOTABLE = 1.0
"""Seconds from which on the cost is shown."""
NOT_IN_RECIPE = {"seed", "seeds", "sweep", "tracking", "claims", "comparisons", "metrics"}


class _TimeIsUp(BaseException):
    """Raised in the middle of a recipe that takes too long; no `Exception`, which Hydra would take for the target's."""


def try_recipes(jobs: Sequence[JobSpec], on_failure: str, may_download: bool = True) -> None:
    """Try each distinct recipe of `jobs`, and say in one line which jobs will fail.

    Recipes that differ in more than numbers come first, in case the time doesn't suffice for all.

    Args:
        jobs: the jobs that are due.
        on_failure: `sweep.on_failure`; `continue` leaves it to the failing jobs to fail when their turn comes.
        may_download: whether this is more than a dry run, and may download missing data; otherwise nothing is tried
            that needs them.

    Raises:
        UsageError: a recipe fails, and `on_failure` is `stop`.
    """
    distinct = _distinct(jobs)
    started = time.monotonic()
    tried = 0
    for job in distinct:
        name = job.name or ",".join(job.overrides)  # a search names its jobs later
        left = BUDGET - (time.monotonic() - started)
        if left <= 0:
            break
        try:
            _try_recipe(job, left, may_download)
        except DownloadNeeded:
            return
        except _TimeIsUp:
            LOG.info("%s: two images took longer than %.0f s", name, left)
        except UsageError as error:
            if on_failure == "stop":
                raise UsageError(f"{name}: {error} (sweep.on_failure=stop; nothing has been started)") from None
            LOG.warning("%s will fail: %s", name, error)
        tried += 1
    seconds = time.monotonic() - started
    if (seconds >= NOTABLE and may_download) or tried < len(distinct):  # a dry run prints its plan alone
        LOG.info(
            "%d of %d recipes tried on two images each, in %.1f s (sweep.try_recipes)", tried, len(distinct), seconds
        )


def try_recipe_of_run(job: JobSpec) -> None:
    """Try the recipe of a single run.

    Raises:
        UsageError: it fails.
    """
    try:
        _try_recipe(job, BUDGET)
    except _TimeIsUp:
        LOG.info("two images took longer than %.0f s", BUDGET)


def _try_recipe(job: JobSpec, seconds: float, may_download: bool = True) -> None:
    with _limited(seconds), downloads(may_download), keeping_working_directory(LOG.info):
        config = check_job(job.config)
        load_task(config).check_recipe(config)


def _distinct(jobs: Sequence[JobSpec]) -> list[JobSpec]:
    """Return a job of each recipe, first one for each form that recipes have but for their numbers."""
    by_recipe = {to_json(_recipe(job)): job for job in reversed(jobs)}
    recipes = list(reversed(by_recipe.values()))
    by_form = {to_json(_without_numbers(_recipe(job))): job for job in reversed(recipes)}
    first = [job for job in recipes if job in by_form.values()]
    return [*first, *(job for job in recipes if job not in first)]


def _recipe(job: JobSpec) -> dict[str, Any]:
    return {key: value for key, value in job.config.items() if key not in NOT_IN_RECIPE}


def _without_numbers(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_numbers(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_without_numbers(inner) for inner in value]
    return None if type(value) in (int, float) else value


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise `_TimeIsUp` in the context after so many seconds, where the system can do that."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(_number: int, _frame: FrameType | None) -> None:
        raise _TimeIsUp

    before = signal.signal(signal.SIGALRM, end)
    # Again each second: what is raised in a callback of Python's own (`__del__`) gets lost.
    signal.setitimer(signal.ITIMER_REAL, seconds, 1)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
