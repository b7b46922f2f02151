"""What has become of a sweep's submitted workers, for processes that did not submit them."""

from pathlib import Path

from mnist_resnet.jobs.worker_options import launches
from mnist_resnet.launchers.slurm_queue import read_array, submitted_arrays
from mnist_resnet.launchers.worker_logs import WorkerLogs, newest_launch


def may_have_workers(folder: Path, launch: str) -> bool:
    """Return whether an active launch may have workers: False only if Slurm says that all its tasks are over."""
    states = [read_array(job) for job in submitted_arrays(folder, launch)]
    return not states or any(state is None or state.alive for state in states)


def pending_reasons(folder: Path) -> list[str]:
    """Return Slurm's reasons for the pending tasks of the sweep in `folder`, one line for each array."""
    arrays = [job for launch in launches(folder) for job in submitted_arrays(folder, launch)]
    states = [state for job in arrays if (state := read_array(job)) is not None]
    return [reason for state in states if (reason := state.describe_pending()) is not None]


def last_lines(folder: Path) -> list[str]:
    """Return the last lines of the workers that logged last in the sweep in `folder`."""
    launch = newest_launch(folder)
    return WorkerLogs(folder, launch).last_lines() if launch else []
