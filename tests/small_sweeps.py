"""Helpers for small sweeps: the real program on a few generated images with a tiny network."""

import io
import json
import multiprocessing
import os
import resource
import runpy
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mnist_resnet.job_folder import BATCH_LOSSES, EXPORTED_MODEL, Metrics, read_metrics
from tests.idx_files import write_idx_files

CHECKOUT = Path(__file__).parents[1]
TIMES = {"seconds", "training_seconds", "images_per_second"}


@dataclass(frozen=True)
class CommandResult:
    """Result of a finished command.

    Attributes:
        code: exit code.
        out: standard output.
        err: standard error.
    """

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        # A fault in a part of the table ends neither the sweep nor, without this, a test.
        assert "by a fault of this program" not in self.out, self.out


Run = Callable[..., CommandResult]
"""Runs a small command with the arguments given."""


@dataclass(frozen=True)
class Place:
    """A folder with images, to run sweeps in.

    Attributes:
        folder: working directory, in which `multirun/` and `outputs/` are created.
        images: value of `data.root`.
    """

    folder: Path
    images: Path

    @property
    def common(self) -> list[str]:
        """Overrides for a small job: 4 steps per epoch, no weights kept, no tracker."""
        return [
            *("data=mnist", f"data.root={self.images}", "data.verify=false", "data.batch_size=16"),
            *("model.width=2", "model.blocks=[1]", "trainer.precision=fp32", "trainer.threads=1"),
            *("trainer.epochs=2", "tracking=none", "sweep.keep=none"),
        ]

    @property
    def multirun(self) -> Path:
        """The folder of sweeps."""
        return self.folder / "multirun"

    def sweep(self, name: str | None, *overrides: str) -> list[str]:
        """Return the arguments of a small sweep; if a key is given several times, the last value counts."""
        by_key = {override.partition("=")[0]: override for override in [*self.common, *overrides]}
        # Hydra accepts options before or after the overrides, but not between them.
        arguments = sorted(by_key.values(), key=lambda argument: not argument.startswith("-"))
        return ["-m", *arguments, *([f"sweep.name={name}"] if name else [])]

    def start(
        self, arguments: Sequence[str], log: str = "log", limit: int | None = None, seconds_a_step: float = 0.0
    ) -> "RunningCommand":
        """Start `train.py` in a new process.

        Args:
            arguments: its arguments.
            log: name of the file that gets its output.
            limit: largest size of each file that it writes, in bytes.
            seconds_a_step: what a `SlowResNet` waits in each step, so that what is to meet a job half done does.
        """
        file = self.folder / f"{log}.txt"
        file.touch()
        options = (list(arguments), self.folder, file, limit, seconds_a_step)
        process = _PROCESSES.Process(target=_train, args=options)
        process.start()
        return RunningCommand(process, file)


@dataclass(frozen=True)
class RunningCommand:
    """A process that runs `train.py`.

    Attributes:
        process: the operating system's process.
        log: file with the process's output.
    """

    process: BaseProcess
    log: Path

    def kill(self, signal_number: int) -> None:
        """Send a signal to the process, unless it has ended."""
        if self.process.is_alive() and self.process.pid:
            os.kill(self.process.pid, signal_number)

    def wait(self, timeout: float = 600) -> CommandResult:
        """Wait for the process to end."""
        self.process.join(timeout)
        assert self.process.exitcode is not None, f"still running:\n{self.log.read_text()}"
        return CommandResult(self.process.exitcode, self.log.read_text(), "")

    def wait_for(self, condition: Callable[[], object], timeout: float = 300) -> None:
        """Wait until `condition` returns something true; timeout in seconds."""
        deadline = time.monotonic() + timeout
        while not condition():
            assert self.process.is_alive(), f"ended early:\n{self.log.read_text()}"
            assert time.monotonic() < deadline, f"timed out:\n{self.log.read_text()}"
            time.sleep(0.01)


# A fork server that has already imported the slow modules starts each process within milliseconds.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    [
        *("hydra.main", "torch.export", "torch._dynamo", "mnist_resnet.sweeps.launch", "mnist_resnet.sweeps.runner"),
        *("mnist_resnet.comparing.dashboard", "mnist_resnet.comparing.figures"),
    ]
)


def _train(arguments: list[str], folder: Path, log: Path, limit: int | None, seconds_a_step: float) -> None:
    with log.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    if limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    for name in [name for name in os.environ if name.startswith(("WANDB", "HYDRA"))]:
        del os.environ[name]
    os.environ["NETRC"] = "/nonexistent"
    os.environ["SECONDS_A_STEP"] = str(seconds_a_step)
    os.chdir(folder)
    sys.argv = ["train.py", *arguments]
    runpy.run_path(str(CHECKOUT / "train.py"), run_name="__main__")


def python_path(*folders: Path | str) -> str:
    """Return `PYTHONPATH` with these folders before its own, in which another version of Hydra may be."""
    return os.pathsep.join([*map(str, folders), *filter(None, [os.environ.get("PYTHONPATH")])])


def make_place(folder: Path) -> Place:
    """Create a place in `folder` with 64 training and 32 test images."""
    write_idx_files(folder / "images")
    return Place(folder, folder / "images")


def run_in_process(
    arguments: Sequence[str], place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> CommandResult:
    """Run `train.py` in this process, which saves the seconds needed to import torch."""
    monkeypatch.chdir(place.folder)
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    # train.py sets this variable itself; if it is already set, train.py shows full tracebacks.
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    # A new process allows nothing that an earlier command composed.
    monkeypatch.setattr("mnist_resnet.config.allowed_targets._allowed_here", set())
    capfd.readouterr()
    code = 0
    try:
        runpy.run_path(str(CHECKOUT / "train.py"), run_name="__main__")
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else int(exit_.code is not None)
    printed = capfd.readouterr()
    return CommandResult(code, printed.out, printed.err)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a file system of the given size, such as "8m"; skip the test if mounting is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not possible here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def result_of(folder: Path) -> dict[str, Any]:
    """Return the content of a job folder's `result.json`."""
    content: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return content


def statuses(sweep: Path) -> dict[str, str]:
    """Return the status of each started job by its name."""
    return {file.parent.name: json.loads(file.read_text())["status"] for file in sorted(sweep.glob("*/result.json"))}


def attempts(sweep: Path) -> dict[str, int]:
    """Return the number of attempts of each started job by its name."""
    return {file.parent.name: len(list(file.parent.glob("attempts/*.json"))) for file in sweep.glob("*/result.json")}


def without_times(epochs: list[Metrics]) -> list[Metrics]:
    """Return the metrics without measured times and speeds."""
    return [{key: value for key, value in epoch.items() if key not in TIMES} for epoch in epochs]


def assert_same_job(one: Path, other: Path) -> None:
    """Assert that two jobs are bitwise the same in metrics (without times), batch losses, and weights if kept."""
    assert without_times(read_metrics(one)) == without_times(read_metrics(other))
    assert np.load(one / BATCH_LOSSES).tobytes() == np.load(other / BATCH_LOSSES).tobytes()
    assert (one / EXPORTED_MODEL).exists() == (other / EXPORTED_MODEL).exists()
    if (one / EXPORTED_MODEL).exists():
        weights, others = (torch.export.load(folder / EXPORTED_MODEL).state_dict for folder in (one, other))
        assert weights.keys() == others.keys()
        for key, value in weights.items():
            assert torch.equal(value, others[key]), key
