"""Progress on the console while jobs run: progress bars on a terminal, plain lines elsewhere."""

import logging
import sys
import time
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any, Self

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from mnist_resnet.config.classifier_schema import Data
from mnist_resnet.config.metric import Metric, declared_metrics, known_metrics, named
from mnist_resnet.job_folder import RESULT, Metrics
from mnist_resnet.tracking.callback import RunInfo

PLAIN_INTERVAL = 15.0
"""Seconds between two progress lines within an epoch, where there are no progress bars."""
WIDTH = 120
"""Columns of output that goes to a file or a pipe."""
BAR, NARROW_BAR = 24, 10
"""Cells of a progress bar, and of one on a terminal with fewer than `ROOMY` columns."""
ROOMY = 100
WORTH_AN_ESTIMATE, LONG = 60.0, 3600.0
"""Seconds; if at least this much is left, the console prints an estimate once, and how to get a preview."""
ESTIMATE_AFTER, ESTIMATE_AFTER_SECONDS = 20, 3.0
"""Measured steps before the estimate, since the first few are slower; fewer do if they took that long."""
MAX_FORECAST_SHARE = 0.02
"""Largest share of the time that is spent on estimating the time left."""
BAR_INTERVAL = 5.0
"""Seconds between two estimates of the time left for the sweep's progress bar, if no job ends."""

Forecast = Callable[[Mapping[str, float]], float | None]
"""Returns the seconds until a sweep's last job ends, None if unknown, given seconds per epoch as measured, by job."""


class Figures(ProgressColumn):
    """As many of a bar's `figures` as the terminal has room for, the most important ones first.

    Without this, one long text takes the columns of the count and of the time left from all bars.
    """

    def __init__(self, console: Console) -> None:
        super().__init__()
        self._console = console

    def render(self, task: Task) -> Text:
        """Return the figures that fit, with two spaces between them."""
        bar = NARROW_BAR if self._console.width < ROOMY else BAR
        count = 2 * len(f"{task.total or 0:.0f}") + 1
        room = self._console.width - len("sweep") - bar - count - len("0:00:00") - 4
        kept = ""
        for figure in task.fields["figures"]:
            longer = f"{kept}  {figure}" if kept else figure
            if len(longer) > room:
                break
            kept = longer
        return Text(kept, no_wrap=True)


class TimeLeft(TimeRemainingColumn):
    """The time left; of a sweep, as it was estimated last, since its jobs may differ and several may run at once."""

    def render(self, task: Task) -> Text:
        """Return the time left as Rich formats it."""
        ends_at = task.fields.get("ends_at")
        if ends_at is None:
            return super().render(task)
        minutes, seconds = divmod(max(0, round(ends_at - time.monotonic())), 60)
        return Text(f"{minutes // 60}:{minutes % 60:02}:{seconds:02}", style="progress.remaining")


class ProgressConsole:
    """A callback that shows the progress of jobs, one after the other, and of their sweep.

    Args:
        jobs: number of jobs to run; with two or more, the sweep gets a progress bar of its own.
        console: where to print; by default `plain_console`.
        noun: what a job is called.

    Attributes:
        forecast: estimates when the last job ends; None: this process tells of its current job only.
    """

    forecast: Forecast | None = None

    def __init__(self, jobs: int = 1, console: Console | None = None, noun: str = "job") -> None:
        self.console = console or plain_console()
        self.jobs, self.jobs_ended, self._noun = jobs, 0, noun
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=NARROW_BAR if self.console.width < ROOMY else BAR),
            MofNCompleteColumn(),
            Figures(self.console),
            TimeLeft(),
            console=self.console,
            disable=not self.console.is_terminal,
            transient=True,
        )
        self._sweep_bar: TaskID | None = None
        self._job_bar: TaskID | None = None
        self._run: RunInfo | None = None
        self._unnamed: str | None = None
        self._first_batch: tuple[int, float] | None = None  # (steps done, seconds) at the first `batch`
        self._last_line = 0.0
        self._estimated = self._is_measured = False
        self._next_forecast = 0.0
        self._test: list[str] = []
        self._metrics: dict[str, Metric] = {}
        self._advised: set[str] = set()
        self._shown: set[str] = set()

    def __enter__(self) -> Self:
        show_log(self.console)
        if self.jobs > 1:
            self._sweep_bar = self._bars.add_task("sweep", total=self.jobs, figures=[f"{self._noun}s"])
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def log(self, line: RenderableType) -> None:
        """Print `line` above the progress bars."""
        if isinstance(line, str):
            self._shown.add(line.strip())
            if self._unnamed and line.startswith("  "):
                self.console.print(f"{self._number()}{self._unnamed}", markup=False)
                self._unnamed = None
        self.console.print(line, markup=False)

    def advise(self, subject: str, line: str) -> None:
        """Print advice, unless an earlier job of this process had some on the same subject."""
        if subject not in self._advised:
            self._advised.add(subject)
            self.log(line)

    def prepare(self, name: str) -> None:
        """Name a job before its first line, should there be one before it begins: its network may not be built."""
        self._unnamed = name

    def begin(self, run: RunInfo) -> None:
        """Print the job's name and length, and start its progress bar."""
        self._run, self._first_batch, self._last_line = run, None, time.monotonic()
        self._test, self._is_measured = [], False
        self._metrics = known_metrics(run.config)
        self._unnamed = None
        if run.epochs is None:
            resumed = f", resumes after step {run.history[-1]['step']}" if run.history else ""
            self.log(f"{self._number()}{run.name}{resumed}{self._left()}")
            self._job_bar = self._bars.add_task("job", total=None, completed=len(run.history), figures=["reports"])
            return
        resumed = f", resumes after epoch {len(run.history) - 1}" if run.history else ""
        length = f"{_counted(run.epochs, 'epoch')} of {_counted(run.steps_per_epoch, 'batch', 'es')}"
        self.log(f"{self._number()}{run.name}: {length}{resumed}{self._left()}")
        done = len(run.history) * run.steps_per_epoch
        self._job_bar = self._bars.add_task(
            "job", total=run.epochs * run.steps_per_epoch, completed=done, figures=["batches"]
        )

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """Update the progress bar, or print a line every `PLAIN_INTERVAL` seconds where there is none."""
        run = self._run
        assert run is not None
        assert run.epochs is not None
        now, done = time.monotonic(), epoch * run.steps_per_epoch + step + 1
        self._first_batch = self._first_batch or (done, now)
        rate = (done - self._first_batch[0]) / max(1e-9, now - self._first_batch[1])
        images = rate * run.config["data"].get("batch_size", Data.model_fields["batch_size"].default)
        figures = [f"epoch {epoch}/{run.epochs - 1}", f"loss {loss:.4f}"]
        if accuracy == accuracy:  # NaN where targets are numbers
            figures.append(f"accuracy {100 * accuracy:.2f} %")
        if rate:
            figures.append(f"{images:,.0f} images/s")
        if self._job_bar is not None:
            by_importance = [figures[0], *self._test[:1], *figures[1:]]
            self._bars.update(self._job_bar, completed=done, figures=by_importance)
        if not self.console.is_terminal and now - self._last_line >= PLAIN_INTERVAL:
            self._last_line = now
            left = (run.epochs * run.steps_per_epoch - done) / rate if rate else 0.0
            self.log(f"  batch {step + 1}/{run.steps_per_epoch}  {'  '.join(figures)}  {duration(left)} left")
        is_measured = (
            done - self._first_batch[0] >= ESTIMATE_AFTER or now - self._first_batch[1] >= ESTIMATE_AFTER_SECONDS
        )
        if rate and is_measured and not self._is_measured:
            self._is_measured = True
            self._log_estimate(run, run.steps_per_epoch / rate, (run.epochs * run.steps_per_epoch - done) / rate)

    def epoch(self, metrics: Metrics) -> None:
        """Print the epoch's metrics."""
        assert self._run is not None
        self._last_line = time.monotonic()
        if self._run.epochs is None:
            self._report(metrics)
            return
        train, validation, self._test = (_figures(name, metrics) for name in ("train", "val", "test"))
        shown = [f"epoch {metrics['epoch']}/{self._run.epochs - 1}", *train, *validation[:1], *self._test]
        declared = [name for name in declared_metrics(self._run.config) if name in metrics]
        shown += [f"{named(name).label} {self._text(name, metrics[name])}" for name in declared]
        shown += [f"{metrics['images_per_second']:,.0f} images/s", duration(metrics["seconds"])]
        self.log(f"  {'  '.join(shown)}")
        # unlike the steps, an epoch contains the testing
        epochs_left = self._run.epochs - metrics["epoch"] - 1
        self._log_estimate(self._run, metrics["seconds"], epochs_left * metrics["seconds"])

    def _report(self, metrics: Metrics) -> None:
        """Print what a training function reports: every report on a terminal's bar, and at most one line a second."""
        shown = [name for name in metrics if name not in ("step", "seconds")]
        figures = [f"{named(name).label} {self._text(name, metrics[name])}" for name in shown]
        if self._job_bar is not None:
            self._bars.update(self._job_bar, advance=1, figures=figures)
        self.log(f"  step {metrics['step']:g}  {'  '.join(figures)}  {duration(metrics['seconds'])}")

    def _text(self, name: str, value: float) -> str:
        return named(name, self._metrics).text(value)

    def _number(self) -> str:
        return f"[{self.jobs_ended + 1}/{self.jobs}] " if self.jobs > 1 else ""

    def _left(self) -> str:
        """Return what the sweep's remaining jobs take, as a clause; empty before the first has ended."""
        if not self.jobs_ended or self.jobs_ended >= self.jobs:
            return ""
        left = self._seconds_left({}) or 0.0
        about = f"; about {duration(left)} left for {_counted(self.jobs - self.jobs_ended, self._noun)}"
        return about * (left >= WORTH_AN_ESTIMATE)

    def end(self, result: dict[str, Any]) -> None:
        """Print the job's notes that were not shown yet, and its error; remove its progress bar."""
        for note in result.get("notes", []):
            if note not in self._shown:
                self._shown.add(note)
                self.log(f"  Note: {note}")
        error = result.get("error")
        if error:
            told = error["message"]
            if "at" in error:  # in the user's own code, where the message alone may mean nothing
                told = f"{error['type']}: {told} ({error['at']}; the traceback is in {RESULT})"
            self.log(f"  {result['status']}: {told}")
        self.jobs_ended, self._unnamed = self.jobs_ended + 1, None
        self._remove_job_bar()
        if self._sweep_bar is not None:
            self._bars.update(self._sweep_bar, completed=self.jobs_ended)

    def lost(self) -> None:
        """Remove the progress bar of a job that another process has taken over."""
        self._remove_job_bar()

    def _remove_job_bar(self) -> None:
        if self._job_bar is not None:
            self._bars.remove_task(self._job_bar)
            self._job_bar = None

    def count(self, ended: int, seconds_left: Callable[[], float | None]) -> None:
        """Show that `ended` of the sweep's jobs have ended, in any process.

        Args:
            ended: How many have ended.
            seconds_left: Returns the seconds until the last one ends, None if unknown. Called if `ended` has changed.
        """
        has_changed, now = ended != self.jobs_ended, time.monotonic()
        if not has_changed and (not self.console.is_terminal or now < self._next_forecast):
            return
        self.jobs_ended, self._next_forecast = ended, now + BAR_INTERVAL
        left = seconds_left()
        self._show_on_bar(left)
        if has_changed and not self.console.is_terminal:
            about = f"; about {duration(left)} left" if left and left >= WORTH_AN_ESTIMATE else ""
            self.log(f"{ended} of {_counted(self.jobs, self._noun)} ended{about}")

    def _show_on_bar(self, seconds_left: float | None) -> None:
        if self._sweep_bar is not None:
            self._bars.update(self._sweep_bar, completed=self.jobs_ended)
            if seconds_left is not None:
                self._bars.update(self._sweep_bar, ends_at=time.monotonic() + seconds_left)

    def _seconds_left(self, measured: Mapping[str, float]) -> float | None:
        """Return the estimated seconds until the last job ends; None if unknown, or if it is too soon to ask again."""
        started = time.monotonic()
        if self.forecast is None or started < self._next_forecast:
            return None
        left = self.forecast(measured)
        ended = time.monotonic()
        self._next_forecast = ended + (ended - started) / MAX_FORECAST_SHARE
        self._show_on_bar(left)
        return left

    def _log_estimate(self, run: RunInfo, an_epoch: float, this_job: float) -> None:
        """Print once how long all jobs take, or this one, if it is long enough to matter; keep the sweep's bar right.

        Args:
            run: The job.
            an_epoch: Seconds of one of its epochs.
            this_job: Seconds left of it.
        """
        if self._estimated and not self.console.is_terminal:
            return
        left = this_job if self.forecast is None else self._seconds_left({run.name: an_epoch})
        if self._estimated or left is None or left < WORTH_AN_ESTIMATE:
            return
        self._estimated = True
        what = f"this {self._noun} ends" if self.forecast is None else f"all {self._noun}s end"
        is_full = run.config["scale"]["epochs"] >= 1
        advice = "; for a preview in minutes use scale=quick" if left >= LONG and is_full else ""
        self.log(f"  at this rate {what} in about {duration(left)}{advice}")


def _figures(split: str, metrics: Metrics) -> list[str]:
    """Return a split's accuracy and loss in words, what it has of both."""
    accuracy, loss = metrics.get(f"{split}_accuracy"), metrics.get(f"{split}_loss")
    if loss is None:
        return []
    if accuracy is None:
        return [f"{split} loss {loss:.4g}"]
    return [f"{split} {100 * accuracy:.2f} %", f"loss {loss:.4f}"]


def _counted(count: int, noun: str, plural: str = "s") -> str:
    return f"{count} {noun}{plural * (count != 1)}"


class LogLines(logging.Handler):
    """A log handler that prints messages as plain lines, above any progress bars."""

    def __init__(self, console: Console) -> None:
        super().__init__()
        self.console = console

    def emit(self, record: logging.LogRecord) -> None:
        """Print the record's message."""
        self.console.print(record.getMessage(), markup=False)


def show_log(console: Console) -> None:
    """Print this program's log messages (downloads, warnings) on `console` from now on, and only there."""
    logger = logging.getLogger("mnist_resnet")
    for handler in [handler for handler in logger.handlers if isinstance(handler, LogLines)]:
        logger.removeHandler(handler)
    logger.addHandler(LogLines(console))
    logger.setLevel(logging.INFO)
    logger.propagate = False


def plain_console() -> Console:
    """Return a console as wide as the terminal, or `WIDTH` columns wide if stdout is not a terminal."""
    return Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else WIDTH)


def duration(seconds: float) -> str:
    """Format seconds for humans: `4.2 s`, `42 s`, `3 min 20 s`, `5 h 10 min`."""
    whole = round(seconds)
    if whole < 10:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
