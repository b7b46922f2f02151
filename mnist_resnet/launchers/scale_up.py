"""Adds workers to an existing sweep, on any machine that sees its folder."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.allowed_targets import check_targets, trust
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.schema import check_job
from mnist_resnet.job_folder import SEARCH
from mnist_resnet.jobs.stop_request import last_request
from mnist_resnet.jobs.worker_options import WorkerOptions
from mnist_resnet.launchers.engine import WorkerRequest
from mnist_resnet.launchers.local import LocalEngine
from mnist_resnet.launchers.pool import requested_devices
from mnist_resnet.sweeps.folder import job_state, read_sweep, refuse_sweep_links
from mnist_resnet.sweeps.restore import refuse_record


def add_local_workers(folder: Path, count: int, trusted: Sequence[str]) -> str:
    """Start workers on this machine for the unfinished jobs of the sweep in `folder`.

    Args:
        folder: The sweep folder.
        count: Number of workers.
        trusted: Targets that may be run, beside those that are always trusted.

    Returns:
        A human-readable description of the workers.

    Raises:
        UsageError: A frozen config would run a target that is not trusted, or requests a device that no worker sees.
        UnreadableFolder: The folder holds no sweep.
    """
    refuse_record(folder)
    refuse_sweep_links(folder)
    trust(trusted)
    jobs, attempts = _search_jobs(folder, trusted) if (folder / SEARCH).exists() else _sweep_jobs(folder, trusted)
    requested = requested_devices(jobs)
    on_failure = check_job(jobs[-1].config).sweep.on_failure
    launch = secrets.token_hex(8)
    options = WorkerOptions(
        folder.absolute(), launch, attempts, on_failure, last_request(folder), count, supervised=False
    )
    options.write()
    try:
        return LocalEngine(requested).submit(WorkerRequest(options.folder, launch, count, list(trusted))).describe()
    except BaseException:
        options.remove()
        raise


def _sweep_jobs(folder: Path, trusted: Sequence[str]) -> tuple[list[JobSpec], dict[str, int]]:
    """Return a sweep's unfinished jobs, and the number of attempts at each by name."""
    sweep, monitor = read_sweep(folder), LeaseMonitor()
    for job in sweep.jobs:
        check_targets(job.config, trusted)
    refuse_sweep_links(folder, sweep.jobs)
    due = [state for job in sweep.jobs if (state := job_state(sweep, job, monitor)).is_due]
    return [state.job for state in due], {state.job.name: state.attempt for state in due}


def _search_jobs(folder: Path, trusted: Sequence[str]) -> tuple[list[JobSpec], dict[str, int]]:
    """Return sample jobs of a search (its corner jobs), and the number of attempts at each frozen job by name."""
    from mnist_resnet.search.spec import read_trusted_spec
    from mnist_resnet.search.trials import Trials

    spec = read_trusted_spec(folder, trusted)
    return spec.corner_jobs(), Trials(folder, spec, LeaseMonitor(), print).states.count_attempts()
