"""What has become of a sweep's submitted workers, for processes that did not submit them."""

from pathlib import Path

from mnist_resnet.jobs.worker_options import launches
from mnist_resnet.launchers.slurm_queue import ArrayState, read_array, submitted_arrays
from mnist_resnet.launchers.worker_logs import WorkerLogs, newest_launch


def may_have_workers(folder: Path, launch: str) -> bool:
    """Return whether an active launch may have workers: False only if Slurm says that all its tasks are over."""
    states = [read_array(job) for job in submitted_arrays(folder, launch)]
    return not states or any(state is None or state.alive for state in states)


def array_states(folder: Path) -> list[ArrayState]:
    """Return the states of the Slurm arrays that the sweep in `folder` has submitted, as far as Slurm answers."""
    arrays = [job for launch in launches(folder) for job in submitted_arrays(folder, launch)]
    return [state for job in arrays if (state := read_array(job)) is not None]


def last_lines(folder: Path) -> list[str]:
    """Return the last lines of the workers that logged last in the sweep in `folder`."""
    launch = newest_launch(folder)
    return WorkerLogs(folder, launch).last_lines() if launch else []
