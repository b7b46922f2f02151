"""What a person sees while jobs run: progress bars on a terminal, plain lines elsewhere."""

import logging
import sys
import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

from mnist_resnet.job_folder import Metrics
from mnist_resnet.tracking.callback import Run

PLAIN_INTERVAL = 15.0
"""Seconds between two lines within an epoch where no bar can be drawn."""
WIDTH = 120
"""Columns of tables that go into a file or a pipe."""
HOURS = 3600.0
"""Seconds from which a run is called long."""
STEPS_TO_JUDGE = 20
"""Steps before a run's length is estimated: the first few are slower."""


class ProgressConsole:
    """An observer of one job after the other, and the sweep's own progress.

    Args:
        jobs: how many there are to run; a bar for the sweep is drawn from two on.
        console: where to print.
    """

    def __init__(self, jobs: int = 1, console: Console | None = None) -> None:
        self.console = console or plain_console()
        self.jobs, self.jobs_ended = jobs, 0
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[figures]}"),
            TimeRemainingColumn(),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self._sweep_bar: TaskID | None = None
        self._job_bar: TaskID | None = None
        self._run: Run | None = None
        self._first: tuple[int, float] | None = None
        self._last_line = 0.0
        self._said_long = False
        self._figures = ""

    def __enter__(self) -> Self:
        show_log(self.console)
        if self.jobs > 1:
            self._sweep_bar = self._bars.add_task("sweep", total=self.jobs, figures="jobs")
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def log(self, line: RenderableType) -> None:
        """Print `line` above the bars."""
        self.console.print(line, markup=False)

    def begin(self, run: Run) -> None:
        """A job starts."""
        self._run, self._first, self._last_line = run, None, time.monotonic()
        self._figures = ""
        number = f"[{self.jobs_ended + 1}/{self.jobs}] " if self.jobs > 1 else ""
        begun = f", goes on after epoch {len(run.history) - 1}" if run.history else ""
        length = f"{_counted(run.epochs, 'epoch')} of {_counted(run.steps_per_epoch, 'batch', 'es')}"
        self.log(f"{number}{run.name}: {length}{begun}")
        done = len(run.history) * run.steps_per_epoch
        self._job_bar = self._bars.add_task(
            "job", total=run.epochs * run.steps_per_epoch, completed=done, figures="batches"
        )

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """A step's loss came in."""
        run = self._run
        assert run is not None
        now, done = time.monotonic(), epoch * run.steps_per_epoch + step + 1
        self._first = self._first or (done, now)
        rate = (done - self._first[0]) / max(1e-9, now - self._first[1])
        images = rate * run.config["data"]["batch_size"]
        figures = f"epoch {epoch}/{run.epochs - 1}  loss {loss:.4f}  accuracy {100 * accuracy:.2f} %"
        if rate:
            figures += f"  {images:,.0f} images/s"
        if self._job_bar is not None:
            self._bars.update(self._job_bar, completed=done, figures=figures + self._figures)
        if not self.console.is_terminal and now - self._last_line >= PLAIN_INTERVAL:
            self._last_line = now
            left = (run.epochs * run.steps_per_epoch - done) / rate if rate else 0.0
            self.log(f"  batch {step + 1}/{run.steps_per_epoch}  {figures}  {duration(left)} left")
        if done - self._first[0] >= STEPS_TO_JUDGE and not self._said_long:
            self._say_if_long(run, rate, done)

    def epoch(self, metrics: Metrics) -> None:
        """An epoch ended."""
        assert self._run is not None
        self._last_line = time.monotonic()
        held_out = f"  val {100 * metrics['val_accuracy']:.2f} %" if "val_accuracy" in metrics else ""
        self._figures = f"  test {100 * metrics['test_accuracy']:.2f} %"
        self.log(
            f"  epoch {metrics['epoch']}/{self._run.epochs - 1}  train {100 * metrics['train_accuracy']:.2f} %  "
            f"loss {metrics['train_loss']:.4f}{held_out}  test {100 * metrics['test_accuracy']:.2f} %  "
            f"loss {metrics['test_loss']:.4f}  {metrics['images_per_second']:,.0f} images/s  "
            f"{duration(metrics['seconds'])}"
        )

    def end(self, result: dict[str, Any]) -> None:
        """A job ended."""
        self.jobs_ended += 1
        error = result.get("error")
        if error:
            self.log(f"  {result['status']}: {error['message']}")
        if self._job_bar is not None:
            self._bars.remove_task(self._job_bar)
            self._job_bar = None
        if self._sweep_bar is not None:
            self._bars.update(self._sweep_bar, completed=self.jobs_ended)

    def count(self, ended: int) -> None:
        """So many of the jobs have ended, in whichever process."""
        if ended == self.jobs_ended:
            return
        self.jobs_ended = ended
        if self._sweep_bar is not None:
            self._bars.update(self._sweep_bar, completed=ended)
        if not self.console.is_terminal:
            self.log(f"{ended} of {_counted(self.jobs, 'job')} ended")

    def _say_if_long(self, run: Run, rate: float, done: int) -> None:
        self._said_long = True
        per_job = run.epochs * run.steps_per_epoch / rate
        left = per_job - done / rate + (self.jobs - self.jobs_ended - 1) * per_job
        if left < HOURS:
            return
        what = f"these {self.jobs} jobs take" if self.jobs > 1 else "this takes"
        taste = "" if run.config["scale"]["epochs"] < 1 else "; scale=quick gives a taste in minutes"
        self.log(f"  at this rate {what} about {duration(left)}{taste}")


def _counted(count: int, noun: str, plural: str = "s") -> str:
    return f"{count} {noun}{plural * (count != 1)}"


class LogLines(logging.Handler):
    """Prints what is logged as plain lines, above the bars where there are any."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging`."""
        self.console.print(record.getMessage(), markup=False)


def show_log(console: Console) -> None:
    """Print what this program logs (downloads, warnings) on `console` from now on, and nowhere else."""
    logger = logging.getLogger("mnist_resnet")
    for handler in [handler for handler in logger.handlers if isinstance(handler, LogLines)]:
        logger.removeHandler(handler)
    logger.addHandler(LogLines(console))
    logger.setLevel(logging.INFO)
    logger.propagate = False


def plain_console() -> Console:
    """Where the program prints: as wide as the terminal, or `WIDTH` columns where there is none."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)


def duration(seconds: float) -> str:
    """For people: `42 s`, `3 min 20 s`, `5 h 10 min`."""
    whole = round(seconds)
    if whole < 10:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < HOURS:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
