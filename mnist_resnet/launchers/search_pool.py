"""A search worked on by workers, each of which asks for its next trial when it is free."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from mnist_resnet.config.allowed_targets import targets
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.schema import Workers, check
from mnist_resnet.jobs.lease import LeaseMonitor
from mnist_resnet.jobs.run import ProcessContext
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.jobs.stop_request import last_request, stop_on_request
from mnist_resnet.jobs.worker_options import WorkerOptions, read_worker_options
from mnist_resnet.launchers.pool import is_attended, run_workers
from mnist_resnet.search.run import work_at
from mnist_resnet.search.spec import read_spec
from mnist_resnet.search.trials import Trials
from mnist_resnet.sweeps.runner import NoPeers, Peers
from mnist_resnet.tracking.console import ProgressConsole


def run_search_with_workers(folder: Path, on_failure: str, retries: int, settings: Workers, detach: bool) -> None:
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
    spec, interrupt = read_spec(folder), Interrupt()
    with interrupt.listening(), stop_on_request(folder, interrupt), ProgressConsole(spec.trials) as progress:
        trials = Trials(folder, spec, LeaseMonitor(), progress.log)
        begun, supervised = trials.attempts(), is_attended(settings, detach)
        options = WorkerOptions(
            folder.absolute(), secrets.token_hex(8), begun, on_failure, last_request(folder), supervised
        )
        run_workers(PendingTrials(trials), options, spec.corners(), retries, settings, detach, progress, interrupt)


class PendingTrials:
    """Of a search: its jobs come one by one.

    Args:
        trials: of the search.
    """

    def __init__(self, trials: Trials) -> None:
        self._trials = trials
        self.refresh()

    def targets(self) -> set[str]:
        """What the trials run, by their `_target_`."""
        spec = self._trials.spec
        return spec.targets() | set(targets([spec.sampler, spec.pruner]))

    def refresh(self) -> None:
        """Look which have ended since."""
        self.jobs: dict[str, JobSpec] = {job.name: job for job in self._trials.open_jobs()}
        self.left = self._trials.left()


def work_on_search(context: ProcessContext, folder: Path, launch: str | None, trusted: Sequence[str]) -> None:
    """Run trials of the search in `folder`, until it has all and each has ended, here or elsewhere.

    Args:
        context: of this process.
        folder: the sweep folder, with the recipe in it.
        launch: whose orders to follow; None: nobody's.
        trusted: targets, beside those that are trusted anyway.

    Raises:
        UsageError: the recipe would run something that is not trusted.
        Interrupted: the program was asked to end.
    """
    spec = read_spec(folder)
    peers: Peers
    if launch is None:
        spec.check_stored(trusted)
        peers, attempts = NoPeers(check(spec.corners()[0].config).sweep.on_failure), None
    else:
        # The launch composed the recipe, and wrote it just now.
        peers = options = read_worker_options(folder, launch)
        attempts = options.jobs
    work_at(context, Trials(folder, spec, context.monitor, context.progress.log, attempts), peers)
