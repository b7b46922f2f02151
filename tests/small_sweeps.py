"""Sweeps small enough to be run by the dozen: the real program, on a few made-up images and a tiny network."""

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
class Ended:
    """How a command ended.

    Attributes:
        code: its exit code.
        out: what it printed.
        err: what it said of errors.
    """

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Place:
    """A folder to run sweeps in, with images.

    Attributes:
        folder: where `multirun/` and `outputs/` are made.
        images: `data.root`.
    """

    folder: Path
    images: Path

    @property
    def common(self) -> list[str]:
        """Overrides that make a job small: 4 steps an epoch, no weights kept, no tracker."""
        return [
            *("data=mnist", f"data.root={self.images}", "data.verify=false", "data.batch_size=16"),
            *("model.width=2", "model.blocks=[1]", "trainer.precision=fp32", "trainer.threads=1"),
            *("trainer.epochs=2", "tracking=none", "sweep.keep=none"),
        ]

    def sweep(self, name: str | None, *overrides: str) -> list[str]:
        """The arguments of a small sweep; of several values for a key the last one counts."""
        last = {override.partition("=")[0]: override for override in [*self.common, *overrides]}
        # Hydra takes options before the overrides or after them, not in their midst.
        given = sorted(last.values(), key=lambda argument: not argument.startswith("-"))
        return ["-m", *given, *([f"sweep.name={name}"] if name else [])]

    def begin(self, arguments: Sequence[str], log: str = "log", limit: int | None = None) -> "Begun":
        """Begin `train.py` in a process of its own, where no file may grow beyond `limit` bytes if that is given."""
        file = self.folder / f"{log}.txt"
        file.touch()
        process = _PROCESSES.Process(target=_train, args=(list(arguments), self.folder, file, limit))
        process.start()
        return Begun(process, file)


@dataclass(frozen=True)
class Begun:
    """A process that runs `train.py`.

    Attributes:
        process: of the operating system; `pid` is its number.
        log: the file with what it prints.
    """

    process: BaseProcess
    log: Path

    def kill(self, signal_number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self.process.is_alive() and self.process.pid:
            os.kill(self.process.pid, signal_number)

    def ended(self, timeout: float = 120) -> Ended:
        """Wait for its end."""
        self.process.join(timeout)
        assert self.process.exitcode is not None, f"still running:\n{self.log.read_text()}"
        return Ended(self.process.exitcode, self.log.read_text(), "")

    def wait_for(self, what: Callable[[], object], timeout: float = 60) -> None:
        """Wait until `what` gives something true."""
        until = time.monotonic() + timeout
        while not what():
            assert self.process.is_alive(), f"ended early:\n{self.log.read_text()}"
            assert time.monotonic() < until, f"waited in vain:\n{self.log.read_text()}"
            time.sleep(0.01)


# A server that has imported what is slow forks each process, within milliseconds.
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(
    [
        *("hydra.main", "torch.export", "torch._dynamo", "mnist_resnet.sweeps.launch", "mnist_resnet.sweeps.runner"),
        *("mnist_resnet.comparing.dashboard", "mnist_resnet.comparing.figures"),
    ]
)


def _train(arguments: list[str], folder: Path, log: Path, limit: int | None) -> None:
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
    os.chdir(folder)
    sys.argv = ["train.py", *arguments]
    runpy.run_path(str(CHECKOUT / "train.py"), run_name="__main__")


def make_place(folder: Path) -> Place:
    """A place in `folder`, with 64 training and 32 test images."""
    write_idx_files(folder / "images")
    return Place(folder, folder / "images")


def run_here(
    arguments: Sequence[str], place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Ended:
    """Run `train.py` in this process, which saves the seconds that importing torch takes."""
    monkeypatch.chdir(place.folder)
    monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
    # The program sets it for itself, and takes it for the user's wish where it is there before.
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)
    capfd.readouterr()
    code = 0
    try:
        runpy.run_path(str(CHECKOUT / "train.py"), run_name="__main__")
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    said = capfd.readouterr()
    return Ended(code, said.out, said.err)


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own, as large as `size` says ("8m"); skips the test where mounting one is not allowed."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small file system is not possible here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def result_of(folder: Path) -> dict[str, Any]:
    """What a job folder's `result.json` says."""
    content: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return content


def statuses(sweep: Path) -> dict[str, str]:
    """Each begun job's status by its name."""
    return {file.parent.name: json.loads(file.read_text())["status"] for file in sorted(sweep.glob("*/result.json"))}


def attempts(sweep: Path) -> dict[str, int]:
    """How many attempts each begun job has had."""
    return {file.parent.name: len(list(file.parent.glob("attempts/*.json"))) for file in sweep.glob("*/result.json")}


def without_times(epochs: list[Metrics]) -> list[Metrics]:
    """Metrics but for what a clock measured."""
    return [{key: value for key, value in epoch.items() if key not in TIMES} for epoch in epochs]


def assert_same_job(one: Path, other: Path) -> None:
    """Two job folders hold the same computation, bit by bit: metrics but for times, batch losses, weights if kept."""
    assert without_times(read_metrics(one)) == without_times(read_metrics(other))
    assert np.load(one / BATCH_LOSSES).tobytes() == np.load(other / BATCH_LOSSES).tobytes()
    assert (one / EXPORTED_MODEL).exists() == (other / EXPORTED_MODEL).exists()
    if (one / EXPORTED_MODEL).exists():
        weights, others = (torch.export.load(folder / EXPORTED_MODEL).state_dict for folder in (one, other))
        assert weights.keys() == others.keys()
        for key, value in weights.items():
            assert torch.equal(value, others[key]), key
