"""The progress bars on terminals of different widths."""

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

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
