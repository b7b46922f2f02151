"""Runs the trials of a search in this process, one after another."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mnist_resnet.config.schema import check_job
from mnist_resnet.job_folder import Status
from mnist_resnet.jobs.crash import RetryBudget
from mnist_resnet.jobs.run import ProcessContext, run_job
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.jobs.stop_request import stop_on_request
from mnist_resnet.jobs.worker_options import read_worker_options
from mnist_resnet.search.pruning import PruningCallback
from mnist_resnet.search.spec import read_spec, read_trusted_spec
from mnist_resnet.search.study import reporting_trial
from mnist_resnet.search.trials import Assignment, Trials
from mnist_resnet.sweeps.live_dashboard import LiveDashboard
from mnist_resnet.sweeps.runner import POLL, NoPeers, Peers
from mnist_resnet.sweeps.status import StatusReader
from mnist_resnet.tracking.console import ProgressConsole


def run_search(folder: Path) -> None:
    """Run the search in `folder` in this process, without a launcher's workers, until all its trials have ended.

    Raises:
        Interrupted: The program was asked to end.
    """
    folder = folder.absolute()  # a user's code may change the working directory
    spec, interrupt = read_spec(folder), Interrupt()
    on_failure = check_job(spec.corner_jobs()[0].config).sweep.on_failure
    with (
        interrupt.listening(),
        stop_on_request(folder, interrupt),
        ProgressConsole(spec.trials, noun="trial") as progress,
    ):
        context = ProcessContext(progress, interrupt, callbacks=[LiveDashboard(folder)])
        run_trials(context, Trials(folder, spec, context.monitor, progress.log), NoPeers(on_failure))


def run_trials_as_worker(context: ProcessContext, folder: Path, launch: str | None, trusted: Sequence[str]) -> None:
    """Run trials of the search in `folder` as one of several workers, until all its trials have ended.

    Args:
        context: Context of this process.
        folder: The sweep folder, with the search's spec in it.
        launch: Launch whose worker options apply. None: this worker was started by hand.
        trusted: Targets that may be run, beside those that are always trusted.

    Raises:
        UsageError: The spec would run a target that is not trusted.
        Interrupted: The program was asked to end.
    """
    peers: Peers
    if launch is None:
        spec = read_trusted_spec(folder, trusted)
        peers, attempts = NoPeers(check_job(spec.corner_jobs()[0].config).sweep.on_failure), None
    else:
        # The launch has just composed and written the spec, or checked it.
        spec = read_spec(folder)
        peers = options = read_worker_options(folder, launch)
        attempts = options.jobs
    run_trials(context, Trials(folder, spec, context.monitor, context.progress.log, attempts), peers)


def run_trials(context: ProcessContext, trials: Trials, peers: Peers) -> None:
    """Run one trial after another until the search has all its trials and each has ended, in whichever process.

    Args:
        context: Context of this process.
        trials: The search's trials.
        peers: The other workers of the same launch.

    Raises:
        Interrupted: The program was asked to end.
    """
    context.tell_time_left(partial(StatusReader(trials.folder).seconds_left, peers.workers, None))
    has_logged_wait = False
    while True:
        context.interrupt.check()
        assignment = trials.next(peers)
        if assignment == "done":
            return
        if assignment == "wait":
            if not has_logged_wait and not all(map(peers.is_ours, trials.states.running_folders())):
                has_logged_wait = True
                context.progress.log(
                    "other processes run the last trials; waiting until they end or their trials are free"
                )
            time.sleep(POLL)
            continue
        context.progress.jobs_ended = assignment.number
        result = _run_trial(context, trials, assignment, peers)
        if result is not None and result["status"] == Status.FAILED:
            peers.stop()
            if peers.is_stopped():
                context.progress.log("no further trial is started (sweep.on_failure=stop)")


def _run_trial(context: ProcessContext, trials: Trials, assignment: Assignment, peers: Peers) -> dict[str, Any] | None:
    """Run one trial, unless another worker was faster; see `run_job` for what it returns."""
    job = assignment.job
    retries = None if peers.supervised else RetryBudget.of(job, trials.states.attempts_at_launch(job.name))
    trial_context = replace(context, callbacks=[*context.callbacks, *_pruning(trials, assignment)])
    return run_job(job, trials.folder / job.name, trial_context, retries=retries, after=assignment.attempt)


def _pruning(trials: Trials, assignment: Assignment) -> list[PruningCallback]:
    """Return what reports the trial's epochs and prunes it; Optuna does neither where there are several objectives."""
    if len(trials.objective.metrics) > 1:
        return []
    trial = reporting_trial(trials.storage, assignment.number, trials.pruner)
    return [PruningCallback(trial, trials.objective.metric)]
