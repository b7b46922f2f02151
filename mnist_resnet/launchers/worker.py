"""A worker: one of several processes that run the jobs of a sweep."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from mnist_resnet.config.allowed_targets import check_targets, trust
from mnist_resnet.config.schema import check_job
from mnist_resnet.job_folder import SEARCH
from mnist_resnet.jobs.run import ProcessContext
from mnist_resnet.jobs.signals import Interrupt, Interrupted
from mnist_resnet.jobs.stop_request import stop_on_request
from mnist_resnet.jobs.worker_options import read_worker_options
from mnist_resnet.launchers.conclude import conclude
from mnist_resnet.sweeps.folder import JobState, job_state, read_sweep, refuse_sweep_links
from mnist_resnet.sweeps.restore import refuse_record
from mnist_resnet.sweeps.runner import NoPeers, Peers, run_pending_jobs
from mnist_resnet.tracking.callback import RunInfo
from mnist_resnet.tracking.console import ProgressConsole


def work(folder: Path, launch: str | None, worker: int, trusted: Sequence[str]) -> int:
    """Run jobs of the sweep or search in `folder` until all have ended, in whichever process.

    Args:
        folder: The sweep folder.
        launch: Launch whose worker options apply. None: this worker was started by hand and runs all unfinished jobs.
        worker: Number of this worker in the launch.
        trusted: Targets that may be run, beside those that are always trusted.

    Returns:
        The exit code: 0, or 128 plus the signal that ended the worker.

    Raises:
        UsageError: A frozen config would run a target that is not trusted, or the folder is a record.
        UnreadableFolder: The folder holds no sweep, or the launch is over.
    """
    refuse_record(folder)
    folder = folder.absolute()  # a user's code may change the working directory
    refuse_sweep_links(folder)
    interrupt = Interrupt()
    trust(trusted)
    options = read_worker_options(folder, launch) if launch else None
    before = options.request if options else None
    console = WorkerConsole("trial" if (folder / SEARCH).exists() else "job")
    with interrupt.listening(), stop_on_request(folder, interrupt, before), console as progress:
        context = ProcessContext(progress, interrupt, facts={"launch": launch, "worker": worker} if launch else {})
        try:
            if (folder / SEARCH).exists():
                from mnist_resnet.search.trial_loop import run_trials_as_worker

                run_trials_as_worker(context, folder, launch, trusted)
            else:
                run_jobs_as_worker(context, folder, launch, trusted)
            interrupt.check()
            if options is None or not options.supervised:
                conclude(folder)
            if options is not None and not options.supervised and not options.is_stopped():
                options.remove()
        except Interrupted as interrupted:
            if launch is None:
                progress.log(str(interrupted))
            return interrupted.exit_code
    return 0


def run_jobs_as_worker(context: ProcessContext, folder: Path, launch: str | None, trusted: Sequence[str]) -> None:
    """Run jobs of a sweep whose jobs were all frozen at launch; see `work`."""
    sweep = read_sweep(folder)
    peers: Peers
    if launch is None:
        pending = [job_state(sweep, job, context.monitor) for job in sweep.jobs]
        peers = NoPeers(check_job(sweep.jobs[-1].config).sweep.on_failure)
    else:
        jobs = {job.name: job for job in sweep.jobs}
        peers = options = read_worker_options(folder, launch)
        # States as of the launch: a job that has failed since is not run again.
        pending = [JobState(jobs[name], "", "", attempt=attempt) for name, attempt in options.jobs.items()]
    for state in pending:
        check_targets(state.job.config, trusted)
    refuse_sweep_links(folder, (state.job for state in pending))
    run_pending_jobs(context, sweep, pending, peers, longest_first=True)


class WorkerConsole(ProgressConsole):
    """Prints plain lines that start with the job's name, since several workers share one screen.

    Args:
        noun: What a job is called.
    """

    def __init__(self, noun: str = "job") -> None:
        self._lines = _LabelledOutput()
        super().__init__(1, Console(file=self._lines, highlight=False, soft_wrap=True, force_terminal=False), noun)

    def prepare(self, name: str) -> None:
        """Label the lines that come before the job begins."""
        self._lines.label = f"{name}: "

    def begin(self, run: RunInfo) -> None:
        """Print the first line of a job, which contains the name already; label the lines after it."""
        self._lines.label = ""
        super().begin(run)
        self._lines.label = f"{run.name}: "

    def end(self, result: dict[str, Any]) -> None:
        """Print the last line of a job, which may have ended before it began."""
        self._lines.label = f"{result['name']}: "
        super().end(result)
        self._lines.label = ""


class _LabelledOutput(io.StringIO):
    """Writes to standard output with a label before each line."""

    label = ""

    def write(self, text: str) -> int:
        for line in text.splitlines():
            print(f"{self.label}{line.strip()}" if self.label else line, flush=True)
        return len(text)
