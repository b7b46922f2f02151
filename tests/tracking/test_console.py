"""The progress bars on terminals of different widths, and what is said of the time that is left."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mnist_resnet.launchers.worker import WorkerConsole
from mnist_resnet.tracking.callback import RunInfo
from mnist_resnet.tracking.console import ProgressConsole

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


def printed(seconds_a_step: float, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return what is printed of two jobs of 200 steps, the first of which ends, reported every tenth step."""
    now, output = [0.0], StringIO()
    monkeypatch.setattr("mnist_resnet.tracking.console.time.monotonic", lambda: now[0])
    config = {"data": {"batch_size": 64}, "scale": {"epochs": 0.2}}
    console = ProgressConsole(2, Console(file=output, width=120))
    for name in ("first", "second"):
        console.begin(RunInfo("id", name, None, [], Path(), config, 100, 2))
        for step in range(0, 100, 10):
            now[0] += (10 if step else 1) * seconds_a_step
            console.batch(0, step, 1.0, 0.5)
            if name == "second":
                return output.getvalue().splitlines()
        now[0] += 100 * seconds_a_step
        console.end({"status": "completed"})
    raise AssertionError


def test_a_slow_machine_is_told_within_ten_seconds_how_long_it_takes_and_again_at_each_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = printed(0.6, monkeypatch)
    assert lines[:2] == ["[1/2] first: 2 epochs of 100 batches", "  at this rate these 2 jobs take about 3 min 53 s"]
    assert lines[-1] == "[2/2] second: 2 epochs of 100 batches; about 1 min 55 s left for 1 job"


@pytest.mark.parametrize(
    ("launch", "said"),
    [
        ((5, 2), "first: at this rate these 5 jobs on 2 workers take about 5 min 53 s"),
        ((2, 2), "first: at this rate these 2 jobs on 2 workers take about 1 min 53 s"),
        ((1, 1), "first: at this rate this takes about 1 min 53 s"),
        (None, "first: at this rate this takes about 1 min 53 s"),
    ],
)
def test_the_first_worker_says_how_long_all_jobs_of_its_launch_take(
    launch: tuple[int, int] | None, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr("mnist_resnet.tracking.console.time.monotonic", lambda: now[0])
    config = {"data": {"batch_size": 64}, "scale": {"epochs": 0.2}}
    worker = WorkerConsole(launch)
    worker.begin(RunInfo("id", "first", None, [], Path(), config, 100, 2))
    for step in range(0, 40, 10):
        now[0] += 6.0 if step else 0.6
        worker.batch(0, step, 1.0, 0.5)
    assert said in capsys.readouterr().out.splitlines()


@pytest.mark.parametrize(("left", "said"), [(90.0, "; about 1 min 30 s left"), (5.0, ""), (None, "")])
def test_a_job_that_ends_elsewhere_tells_what_is_left(left: float | None, said: str) -> None:
    output = StringIO()
    console = ProgressConsole(4, Console(file=output, width=120))
    for ended in (0, 1, 1):
        console.count(ended, lambda: left)
    assert output.getvalue().splitlines() == [f"1 of 4 jobs ended{said}"]


def test_a_fast_machine_is_told_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not [line for line in printed(0.01, monkeypatch) if "about" in line]


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
