"""Sweeps small enough to be run by the dozen: the real program, on a few made-up images and a tiny network."""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mnist_resnet.job_folder import BATCH_LOSSES, EXPORTED_MODEL, Metrics, read_metrics
from tests.idx_files import write_idx_files

CHECKOUT = Path(__file__).parents[1]
TIMES = {"seconds", "images_per_second"}


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
        """The arguments of a small sweep; what is given replaces what makes it small."""
        replaced = {override.partition("=")[0] for override in overrides}
        common = [override for override in self.common if override.partition("=")[0] not in replaced]
        return ["-m", *common, *([f"sweep.name={name}"] if name else []), *overrides]

    def start(self, arguments: Sequence[str], **environment: str) -> subprocess.Popen[str]:
        """Start `train.py` in a process of its own."""
        return start([str(CHECKOUT / "train.py"), *arguments], self.folder, **environment)


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


def start(command: Sequence[str], folder: Path, **environment: str) -> subprocess.Popen[str]:
    """Start a Python program with one thread and no W&B account, its output joined."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=folder,
        env=clean | {"OMP_NUM_THREADS": "1", "NETRC": "/nonexistent", "PYTHONUNBUFFERED": "1"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def ended(process: subprocess.Popen[str], timeout: float = 120) -> Ended:
    """Wait for a process that `start` started."""
    out, _ = process.communicate(timeout=timeout)
    return Ended(process.returncode, out, "")


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
