"""A worker: one process that runs jobs of a sweep, beside others that do the same."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from mnist_resnet.config.allowed_targets import check_targets
from mnist_resnet.config.schema import check
from mnist_resnet.job_folder import SEARCH, SWEEP
from mnist_resnet.jobs.run import Desk
from mnist_resnet.jobs.signals import Interrupt, Interrupted
from mnist_resnet.jobs.stop_request import hearing
from mnist_resnet.jobs.worker_options import read_orders
from mnist_resnet.sweeps.folder import Standing, read_sweep, standing
from mnist_resnet.sweeps.runner import Alone, Company, drain_at
from mnist_resnet.tracking.callback import Run
from mnist_resnet.tracking.console import Screen, plain_console
from mnist_resnet.tracking.guarded import Shielded


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
    orders = read_orders(folder, launch) if launch else None
    before = orders.request if orders else None
    with interrupt.listening(), hearing(folder, interrupt, before), WorkerScreen() as screen:
        desk = Desk(screen, interrupt, facts={"launch": launch, "worker": worker} if launch else {})
        try:
            if (folder / SEARCH).exists():
                from mnist_resnet.launchers.search_pool import work_on_search

                work_on_search(desk, folder, launch, trusted)
            else:
                work_on_sweep(desk, folder, launch, trusted)
            interrupt.check()
            if orders is None or not orders.attended:
                conclude_work(folder)
            if orders is not None and not orders.attended and not orders.is_stopped():
                orders.remove()
        except Interrupted as interrupted:
            if launch is None:
                screen.say(str(interrupted))
            return interrupted.exit_code
    return 0


def work_on_sweep(desk: Desk, folder: Path, launch: str | None, trusted: Sequence[str]) -> None:
    """Run jobs of a sweep whose jobs were all frozen when it was launched; see `work`."""
    sweep = read_sweep(folder)
    company: Company
    if launch is None:
        pending = [standing(sweep, job, desk.watch) for job in sweep.jobs]
        company = Alone(check(sweep.jobs[-1].config).sweep.on_failure)
    else:
        jobs = {job.name: job for job in sweep.jobs}
        company = orders = read_orders(folder, launch)
        # As they stood when the sweep was launched: a job that has failed since is not run again.
        pending = [Standing(jobs[name], "", "", attempt=attempt) for name, attempt in orders.jobs.items()]
    for one in pending:
        check_targets(one.job.config, trusted)
    drain_at(desk, sweep, pending, company, longest_first=True)


def conclude_work(folder: Path) -> None:
    """Have what sums up the sweep written, as nobody waits for its end who would: by the worker that ends last."""
    if not (folder / SWEEP).exists():
        return
    # It takes pandas, which workers that a launch waits for never need.
    from mnist_resnet.sweeps.finish import write_once

    console, sweep = plain_console(), read_sweep(folder)
    tracker = Shielded(sweep.jobs[-1].config["tracking"])
    if (folder / SEARCH).exists():
        from mnist_resnet.search.run import conclude_search
        from mnist_resnet.search.spec import read_recipe

        conclude_search(folder, read_recipe(folder), tracker, console)
    else:
        write_once(folder, tracker, console)


class WorkerScreen(Screen):
    """Lines alone, each with the job's name: several workers share one screen."""

    def __init__(self) -> None:
        self._lines = _Labelled()
        super().__init__(1, Console(file=self._lines, highlight=False, soft_wrap=True, force_terminal=False))

    def begin(self, run: Run) -> None:
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
