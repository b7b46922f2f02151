"""More workers for a sweep that is there, from any machine that sees its folder."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from mnist_resnet.config.allowed_targets import check_targets
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.schema import check
from mnist_resnet.job_folder import SEARCH
from mnist_resnet.jobs.lease import LeaseMonitor
from mnist_resnet.jobs.stop_request import last_request
from mnist_resnet.jobs.worker_options import WorkerOptions
from mnist_resnet.launchers.engine import WorkerRequest
from mnist_resnet.launchers.local import LocalEngine
from mnist_resnet.launchers.pool import asked_devices
from mnist_resnet.sweeps.folder import job_state, read_sweep


def add_local_workers(folder: Path, count: int, trusted: Sequence[str]) -> str:
    """Start workers on this machine for what is missing of the sweep in `folder`; gives a line on them, for people.

    Raises:
        UsageError: a frozen config would run something that is not trusted, or asks for what no worker sees.
        UnreadableFolder: the folder holds no sweep.
    """
    jobs, begun = _search(folder, trusted) if (folder / SEARCH).exists() else _sweep(folder, trusted)
    asked = asked_devices(jobs)
    on_failure = check(jobs[-1].config).sweep.on_failure
    launch = secrets.token_hex(8)
    options = WorkerOptions(folder.absolute(), launch, begun, on_failure, last_request(folder), supervised=False)
    options.write()
    try:
        return LocalEngine(asked).submit(WorkerRequest(options.folder, launch, count, list(trusted))).describe()
    except BaseException:
        options.remove()
        raise


def _sweep(folder: Path, trusted: Sequence[str]) -> tuple[list[JobSpec], dict[str, int]]:
    """The jobs that are missing, and how many attempts there have been at each."""
    sweep, monitor = read_sweep(folder), LeaseMonitor()
    due = [one for job in sweep.jobs if (one := job_state(sweep, job, monitor)).is_due]
    for one in due:
        check_targets(one.job.config, trusted)
    return [one.job for one in due], {one.job.name: one.attempt for one in due}


def _search(folder: Path, trusted: Sequence[str]) -> tuple[list[JobSpec], dict[str, int]]:
    """Jobs such as its trials are, and how many attempts there have been at those that are frozen."""
    from mnist_resnet.search.spec import read_spec
    from mnist_resnet.search.trials import Trials

    spec = read_spec(folder)
    spec.check_stored(trusted)
    return spec.corners(), Trials(folder, spec, LeaseMonitor(), print).attempts()
