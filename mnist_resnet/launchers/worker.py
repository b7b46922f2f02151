"""A worker: one process that runs jobs of a sweep, beside others that do the same."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from mnist_resnet.config.allowed_targets import check_targets
from mnist_resnet.config.schema import check
from mnist_resnet.job_folder import SEARCH, SWEEP
from mnist_resnet.jobs.run import ProcessContext
from mnist_resnet.jobs.signals import Interrupt, Interrupted
from mnist_resnet.jobs.stop_request import stop_on_request
from mnist_resnet.jobs.worker_options import read_worker_options
from mnist_resnet.sweeps.folder import JobState, job_state, read_sweep
from mnist_resnet.sweeps.runner import NoPeers, Peers, run_pending_jobs
from mnist_resnet.tracking.callback import RunInfo
from mnist_resnet.tracking.console import ProgressConsole, plain_console
from mnist_resnet.tracking.guarded import GuardedTracker


def work(folder: Path, launch: str | None, worker: int, trusted: Sequence[str]) -> int:
    """Run jobs until all have ended, here or elsewhere.

    Args:
        folder: the sweep folder.
        launch: whose orders to follow; None: nobody's, all that is missing is run.
        worker: the launch's number for this one.
        trusted: targets, beside those that are trusted anyway.

    Returns:
        The exit code: 0, or 128 and the signal that ended it.

    Raises:
        UsageError: a frozen config would run something that is not trusted.
        UnreadableFolder: the folder holds no sweep, or the launch is over.
    """
    interrupt = Interrupt()
    options = read_worker_options(folder, launch) if launch else None
    before = options.request if options else None
    with interrupt.listening(), stop_on_request(folder, interrupt, before), WorkerConsole() as progress:
        context = ProcessContext(progress, interrupt, facts={"launch": launch, "worker": worker} if launch else {})
        try:
            if (folder / SEARCH).exists():
                from mnist_resnet.launchers.search_pool import work_on_search

                work_on_search(context, folder, launch, trusted)
            else:
                work_on_sweep(context, folder, launch, trusted)
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


def work_on_sweep(context: ProcessContext, folder: Path, launch: str | None, trusted: Sequence[str]) -> None:
    """Run jobs of a sweep whose jobs were all frozen when it was launched; see `work`."""
    sweep = read_sweep(folder)
    peers: Peers
    if launch is None:
        pending = [job_state(sweep, job, context.monitor) for job in sweep.jobs]
        peers = NoPeers(check(sweep.jobs[-1].config).sweep.on_failure)
    else:
        jobs = {job.name: job for job in sweep.jobs}
        peers = options = read_worker_options(folder, launch)
        # As they stood when the sweep was launched: a job that has failed since is not run again.
        pending = [JobState(jobs[name], "", "", attempt=attempt) for name, attempt in options.jobs.items()]
    for one in pending:
        check_targets(one.job.config, trusted)
    run_pending_jobs(context, sweep, pending, peers, longest_first=True)


def conclude(folder: Path) -> None:
    """Have what sums up the sweep written, as nobody waits for its end who would: by the worker that ends last."""
    if not (folder / SWEEP).exists():
        return
    # It takes pandas, which workers that a launch waits for never need.
    from mnist_resnet.sweeps.finish import write_summary_once

    console, sweep = plain_console(), read_sweep(folder)
    tracker = GuardedTracker(sweep.jobs[-1].config["tracking"])
    if (folder / SEARCH).exists():
        from mnist_resnet.search.run import conclude_search
        from mnist_resnet.search.spec import read_spec

        conclude_search(folder, read_spec(folder), tracker, console)
    else:
        write_summary_once(folder, tracker, console)


class WorkerConsole(ProgressConsole):
    """Lines alone, each with the job's name: several workers share one screen."""

    def __init__(self) -> None:
        self._lines = _Labelled()
        super().__init__(1, Console(file=self._lines, highlight=False, soft_wrap=True, force_terminal=False))

    def begin(self, run: RunInfo) -> None:
        """A job starts; its first line names it anyway."""
        super().begin(run)
        self._lines.label = f"{run.name}: "

    def end(self, result: dict[str, Any]) -> None:
        """A job ended, perhaps before it began."""
        self._lines.label = f"{result['name']}: "
        super().end(result)
        self._lines.label = ""


class _Labelled(io.StringIO):
    """Standard output, with a label before each line."""

    label = ""

    def write(self, text: str) -> int:
        for line in text.splitlines():
            print(f"{self.label}{line.strip()}" if self.label else line, flush=True)
        return len(text)
