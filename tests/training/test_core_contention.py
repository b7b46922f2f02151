"""A run says if its threads wait for cores that other processes use."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console

from mnist_resnet.tracking.callback import RunInfo
from mnist_resnet.tracking.console import ProgressConsole
from mnist_resnet.training import core_contention
from mnist_resnet.training.core_contention import CoreContention

RUN: dict[str, Any] = {"id": "", "name": "", "group": None, "tags": [], "folder": Path(), "config": {}}


@contextmanager
def busy_cores() -> Iterator[None]:
    """Keep each core busy with two other processes."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def lines_of_two_jobs(threads: int) -> list[str]:
    """Compute with so many threads until two jobs' first seconds are judged, twice each, and return what is said."""
    shown = StringIO()
    console = ProgressConsole(console=Console(file=shown, width=1000))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        for contention in [CoreContention(threads, console.advise) for _ in range(2)]:
            contention.begin(RunInfo(**RUN, steps_per_epoch=1, epochs=1))
            deadline = time.monotonic() + 2 * core_contention.MEASURED_SECONDS
            while time.monotonic() < deadline:
                torch.mm(torch.ones(500, 500), torch.ones(500, 500))
                contention.batch(0, 0, 0.0, 0.0)
    finally:
        torch.set_num_threads(before)
    return shown.getvalue().splitlines()


@pytest.mark.skipif(not Path("/proc/self/schedstat").exists(), reason="Linux tells how long threads wait")
def test_threads_that_wait_for_cores_are_said_once_and_a_single_thread_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_contention, "MEASURED_SECONDS", 1.0)
    with busy_cores():
        (line,) = lines_of_two_jobs(threads=2)
        assert "the 2 threads waited for one" in line
        assert "trainer.threads=1" in line
        assert not lines_of_two_jobs(threads=1)
