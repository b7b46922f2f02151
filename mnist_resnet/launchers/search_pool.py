"""Runs a search with several workers; each takes its next trial when it is free."""

import secrets
from pathlib import Path

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.allowed_targets import targets
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.launcher_schema import Workers
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.jobs.stop_request import last_request, stop_on_request
from mnist_resnet.jobs.worker_options import WorkerOptions
from mnist_resnet.launchers.pool import is_supervised, run_workers
from mnist_resnet.search.spec import read_spec
from mnist_resnet.search.trials import Trials
from mnist_resnet.sweeps.status import StatusReader
from mnist_resnet.tracking.console import ProgressConsole


def run_search_with_workers(folder: Path, on_failure: str, retries: int, settings: Workers, detach: bool) -> None:
    """Run the search in `folder` with workers, until all its trials have ended.

    Args:
        folder: The sweep folder, with the search's spec in it.
        on_failure: `continue`, or `stop` to start no further trial after a failure.
        retries: How often a trial is retried after its process died.
        settings: The launcher's settings: engine, number of workers, and so on.
        detach: Whether to return once the workers are submitted.

    Raises:
        UsageError: A trial requests a device that no worker sees, or the engine rejects the submission.
        Interrupted: The program was asked to end.
    """
    spec, interrupt = read_spec(folder), Interrupt()
    with (
        interrupt.listening(),
        stop_on_request(folder, interrupt),
        ProgressConsole(spec.trials, noun="trial") as progress,
    ):
        trials = Trials(folder, spec, LeaseMonitor(), progress.log)
        attempts, supervised = trials.states.count_attempts(), is_supervised(settings, detach)
        options = WorkerOptions(
            folder.absolute(), secrets.token_hex(8), attempts, on_failure, last_request(folder), supervised=supervised
        )
        run_workers(PendingTrials(trials), options, spec.corner_jobs(), retries, settings, detach, progress, interrupt)


class PendingTrials:
    """A search's unfinished trials, as `PendingJobs`. Their jobs are created one by one.

    Args:
        trials: The search's trials.

    Attributes:
        jobs: The unfinished jobs created so far, by name.
        left: Number of trials that have not ended, including those not created yet.
    """

    def __init__(self, trials: Trials) -> None:
        self._trials, self._status = trials, StatusReader(trials.folder)
        self.refresh()

    def targets(self) -> set[str]:
        """Return the targets that the trials, the sampler and the pruner run."""
        spec = self._trials.spec
        return spec.targets() | set(targets([spec.sampler, spec.pruner]))

    def seconds_left(self, workers: int | None = None) -> float | None:
        """Return the estimated seconds until the last trial ends; None if there is nothing to estimate from yet."""
        return self._status.seconds_left(workers)

    def refresh(self) -> None:
        """Update `jobs` and `left` from the job folders and the study."""
        self.jobs: dict[str, JobSpec] = {job.name: job for job in self._trials.states.unfinished_jobs()}
        self.left = self._trials.count_unfinished()
