"""A command imports only what it needs: what takes seconds to import is most of a short command's time."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_sweeps import CHECKOUT, make_place, run_in_process

LISTING = """
import atexit, json, runpy, sys
atexit.register(lambda: print(json.dumps(sorted(sys.modules)), file=sys.stderr))
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def modules(arguments: list[str], folder: Path) -> set[str]:
    """Return the modules that `train.py` has imported when it ends."""
    command = [sys.executable, "-c", LISTING, str(CHECKOUT / "train.py"), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return set(json.loads(done.stderr.splitlines()[-1]))


def test_a_finished_sweep_needs_no_pytorch_and_a_dry_run_no_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    place = make_place(tmp_path)
    arguments = [one for one in place.sweep("done", "seed=1,2,3", "trainer.epochs=1") if "data." not in one]
    digits = [
        *(one for one in arguments if one != "data=mnist"),
        "data=digits",
        "data.train_size=64",
        "data.test_size=32",
    ]
    assert run_in_process(digits, place, monkeypatch, capfd).code == 0
    imported = modules(digits, place.folder)
    assert "pandas" in imported
    assert not imported & {"torch", "scipy.stats", "matplotlib", "sklearn"}
    shutil.rmtree(place.folder / "multirun" / "done" / "seed=2")
    planned = modules([*digits, "sweep.dry_run=true"], place.folder)
    assert "torch" in planned
    assert not planned & {"torch._dynamo", "torchvision"}
    assert "mnist_resnet.comparing.table" not in planned  # scikit-learn, whose images these are, imports pandas
