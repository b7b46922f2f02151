"""Options of workers as a launch leaves them for its workers."""

from mnist_resnet.jobs.worker_options import WorkerOptions
from mnist_resnet.sweeps.folder import Sweep


def write_options(sweep: Sweep, on_failure: str = "continue") -> WorkerOptions:
    options = WorkerOptions(sweep.folder.absolute(), "1234", {job.name: 0 for job in sweep.jobs}, on_failure, "")
    options.write()
    return options


def write_unsupervised_options(sweep: Sweep) -> WorkerOptions:
    options = WorkerOptions(
        sweep.folder.absolute(), "1234", {job.name: 0 for job in sweep.jobs}, "continue", "", supervised=False
    )
    options.write()
    return options
