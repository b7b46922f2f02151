"""The progress bars on terminals of different widths, and what is said of the time that is left."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mnist_resnet.launchers.worker import WorkerConsole
from mnist_resnet.tracking.callback import RunInfo
from mnist_resnet.tracking.console import ProgressConsole, TimeLeft

METRICS: dict[str, Any] = {
    "epoch": 0,
    "train_accuracy": 0.9,
    "train_loss": 0.3,
    "test_accuracy": 0.91,
    "test_loss": 0.2,
    "images_per_second": 12345.0,
    "seconds": 2.0,
}


@pytest.mark.parametrize(("width", "kept"), [(60, ["epoch 1/9"]), (80, ["epoch 1/9", "test 91.00 %"])])
def test_count_and_time_left_are_shown_on_narrow_terminals(width: int, kept: list[str]) -> None:
    console = Console(width=width, file=StringIO(), force_terminal=True, soft_wrap=True)
    run = RunInfo("0" * 16, "job", "sweep", [], Path(), {"data": {"batch_size": 64}, "scale": {"epochs": 1}}, 938, 10)
    progress = ProgressConsole(2, console)
    with progress:
        progress.begin(run)
        progress.epoch(METRICS)
        for step in range(3):
            progress.batch(1, step, 0.1234, 0.95)
        lines = console.render_lines(progress._bars.get_renderable(), console.options)
        sweep, job = ("".join(segment.text for segment in line) for line in lines)
    assert "941/9380" in job
    assert ":" in job.split("9380")[1], "the time left"
    assert job.count("━") >= 9
    assert [figure for figure in kept if figure not in job] == []
    assert "0/2" in sweep


class Clock:
    """The console's clock, which stands still unless it is moved."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr("mnist_resnet.tracking.console.time.monotonic", lambda: self.now)

    def train(self, console: ProgressConsole, name: str, seconds_a_step: float, epochs: int, testing: float) -> None:
        """Show a job of `epochs` of 100 steps, reported every tenth step, of which the first is trained."""
        config = {"data": {"batch_size": 64}, "scale": {"epochs": 0.2}}
        console.begin(RunInfo("id", name, None, [], Path(), config, 100, epochs))
        for step in range(0, 100, 10):
            self.now += (10 if step else 1) * seconds_a_step
            console.batch(0, step, 1.0, 0.5)
        self.now += testing
        console.epoch(METRICS | {"seconds": 100 * seconds_a_step + testing})


@pytest.mark.parametrize("console_of", [ProgressConsole, WorkerConsole], ids=["one process", "a worker"])
@pytest.mark.parametrize(
    ("a_step", "epochs", "testing", "of_all", "said"),
    [
        (0.6, 2, 0.0, True, "all jobs end in about 20 h 0 min"),
        (0.6, 2, 0.0, False, "this job ends in about 1 min 53 s"),
        (0.1, 5, 0.0, False, None),
        (0.1, 5, 20.0, False, "this job ends in about 2 min 0 s"),
        (0.001, 5, 0.0, True, "all jobs end in about 2 min 0 s"),
        (0.0001, 5, 0.0, True, None),
    ],
)
def test_a_slow_machine_is_told_once_how_long_it_takes(
    console_of: type[ProgressConsole],
    a_step: float,
    epochs: int,
    testing: float,
    of_all: bool,
    said: str | None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    clock, console = Clock(monkeypatch), console_of()
    if of_all:
        console.forecast = lambda measured: 1200 * measured["first"]
    clock.train(console, "first", a_step, epochs, testing)
    estimates = [line.split("at this rate ")[1] for line in capsys.readouterr().out.splitlines() if "at this" in line]
    assert estimates == ([said] if said else [])


def test_what_all_jobs_take_is_told_where_only_a_later_one_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, console = Clock(monkeypatch), ProgressConsole(1, Console(file=StringIO(), width=120))
    clock.train(console, "short", 0.01, 1, 0.0)
    console.end({"status": "completed"})
    clock.train(console, "long", 0.01, 200, 0.0)
    assert "  at this rate this job ends in about 3 min 20 s" in console.console.file.getvalue()  # type: ignore[attr-defined]


@pytest.mark.parametrize(("left", "said"), [(115.0, "; about 1 min 55 s left for 3 trials"), (5.0, ""), (None, "")])
def test_each_job_tells_what_is_left_when_it_begins(left: float | None, said: str) -> None:
    console = ProgressConsole(4, Console(file=StringIO(), width=120), noun="trial")
    console.forecast, console.jobs_ended = lambda _: left, 1
    console.begin(RunInfo("id", "second", None, [], Path(), {}, 100, 2))
    assert console.console.file.getvalue() == f"[2/4] second: 2 epochs of 100 batches{said}\n"  # type: ignore[attr-defined]


def test_a_terminal_shows_what_is_left_of_jobs_that_run_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    monkeypatch.setattr(TimeLeft, "max_refresh", None)
    console = Console(width=80, file=StringIO(), force_terminal=True, soft_wrap=True)
    progress = ProgressConsole(4, console)
    with progress:
        for now, left in ((0.0, None), (6.0, 200.0), (8.0, 500.0)):  # the last comes too soon after the one before
            clock.now = now
            progress.count(0, lambda left=left: left)  # type: ignore[misc]
        (sweep,) = console.render_lines(progress._bars.get_renderable(), console.options)
    assert "0:03:18" in "".join(segment.text for segment in sweep)


@pytest.mark.parametrize(("left", "said"), [(90.0, "; about 1 min 30 s left"), (5.0, ""), (None, "")])
def test_a_job_that_ends_elsewhere_tells_what_is_left(left: float | None, said: str) -> None:
    output = StringIO()
    console = ProgressConsole(4, Console(file=output, width=120))
    for ended in (0, 1, 1):
        console.count(ended, lambda: left)
    assert output.getvalue().splitlines() == [f"1 of 4 jobs ended{said}"]


@pytest.mark.parametrize(
    ("metrics", "line"),
    [
        (METRICS, "epoch 0/9  train 90.00 %  loss 0.3000  test 91.00 %  loss 0.2000  12,345 images/s  2.0 s"),
        (
            METRICS | {"val_accuracy": 0.5, "val_loss": 1.0, "test_f1": 0.875, "test_recall_0": 0.1},
            "epoch 0/9  train 90.00 %  loss 0.3000  val 50.00 %  test 91.00 %  loss 0.2000  test f1 87.50 %  "
            "12,345 images/s  2.0 s",
        ),
        (
            {key: value for key, value in METRICS.items() if "accuracy" not in key} | {"val_loss": 31.25},
            "epoch 0/9  train loss 0.3  val loss 31.25  test loss 0.2  12,345 images/s  2.0 s",
        ),
    ],
    ids=["classes", "a metric that is declared and one that is not", "numbers"],
)
def test_an_epochs_line_has_what_was_measured(metrics: dict[str, Any], line: str) -> None:
    output = StringIO()
    config = {"data": {"batch_size": 64}, "metrics": {"test_f1": {"better": "higher", "scale": "share"}}}
    console = ProgressConsole(console=Console(file=output, width=200))
    console.begin(RunInfo("id", "job", None, [], Path(), config, 100, 10))
    console.epoch(metrics)
    assert output.getvalue().splitlines()[-1].strip() == line


@pytest.mark.parametrize(
    ("console_of", "lines"),
    [
        (ProgressConsole, ["second", "  damaged: checkpoint.pt", "  failed: no such layer"]),
        (WorkerConsole, ["second: damaged: checkpoint.pt", "second: failed: no such layer"]),
    ],
)
def test_a_job_that_fails_before_it_begins_is_named(
    console_of: type[ProgressConsole], lines: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    console = console_of()
    console.begin(RunInfo("id", "first", None, [], Path(), {"scale": {"epochs": 1}}, 100, 1))
    console.end({"name": "first", "status": "completed"})
    capfd.readouterr()
    console.prepare("second")
    console.log("  damaged: checkpoint.pt")
    console.end({"name": "second", "status": "failed", "error": {"message": "no such layer"}})
    assert capfd.readouterr().out.splitlines() == lines
