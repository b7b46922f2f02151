"""A launch tries each distinct recipe before the first job starts."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.sweeps.recipes import _distinct
from tests.small_sweeps import CHECKOUT, make_place, python_path, run_in_process, statuses

PARTS = f"hydra.searchpath=[file://{CHECKOUT / 'examples' / 'parts' / 'conf'}]"
LINE = "optim=lbfgs will fail: optim._target_=torch.optim.LBFGS: "

OWN = """
import time
import torch

def build(**_):
    if torch.get_default_device().type != "meta":  # where parameters are only counted
        time.sleep(60)
    return torch.nn.Flatten()

def forgotten(**_):
    pass
"""


def test_a_recipe_that_fails_is_said_in_one_line_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    place = make_place(tmp_path)
    sweep = [*place.sweep("tried", "optim=lbfgs,adam"), PARTS]
    refused = run_in_process([*sweep, "sweep.on_failure=stop"], place, monkeypatch, capfd)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "optim=lbfgs: optim._target_=torch.optim.LBFGS: " in refused.err
    assert not (tmp_path / "multirun" / "tried").exists()

    done = run_in_process(sweep, place, monkeypatch, capfd)
    assert done.code == 1
    assert done.out.index(LINE) < done.out.index("epoch 0")
    assert statuses(tmp_path / "multirun" / "tried") == {"optim=adam": "completed", "optim=lbfgs": "failed"}

    single = [*place.common, "optim=lbfgs", "hydra.run.dir=single", PARTS]
    refused = run_in_process(single, place, monkeypatch, capfd)
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "optim._target_=torch.optim.LBFGS: " in refused.err
    assert not (tmp_path / "single").exists()

    untried = run_in_process([*sweep, "sweep.try_recipes=false"], place, monkeypatch, capfd)
    assert LINE not in untried.out


def test_a_network_that_takes_long_is_not_said_to_fail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "own_network.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("mnist_resnet.sweeps.recipes.BUDGET", 4.0)
    sweep = make_place(tmp_path).sweep("own", "model._target_=own_network.forgotten,own_network.build")
    planned = run_in_process([*sweep, "sweep.dry_run=true"], make_place(tmp_path), monkeypatch, capfd)
    assert planned.code == 0
    assert "own_network.build: two images took longer than " in planned.out
    assert planned.out.count("will fail") == 1
    assert "own_network.forgotten: must return a torch.nn.Module, returned a NoneType" in planned.out


def test_recipes_that_differ_in_more_than_numbers_are_tried_first() -> None:
    rates = [("sgd", 0.1, 1), ("sgd", 0.1, 2), ("sgd", 0.2, 1), ("adam", 0.1, 1)]
    jobs = [
        JobSpec(f"{kind} {lr} {seed}", {"seed": seed, "optim": {"_target_": kind, "lr": lr}}, [], {}, {}, "")
        for kind, lr, seed in rates
    ]
    assert [job.name for job in _distinct(jobs)] == ["sgd 0.1 1", "adam 0.1 1", "sgd 0.2 1"]


LAUNCH = """
import runpy, sys
sys.argv = ["train.py", *sys.argv[1:]]
try:
    runpy.run_path({script!r}, run_name="__main__")
finally:
    print("PyTorch is imported:", "torch" in sys.modules)
"""

CRASHING = """
import os, signal
def network(**settings):
    os.kill(os.getpid(), signal.SIGSEGV)
"""


def launched(folder: Path, arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    """Run `train.py` with these arguments in a new process, which says at its end whether PyTorch is imported."""
    # The program sets HYDRA_FULL_ERROR; other tests run it in this process.
    inherited = {name: value for name, value in os.environ.items() if name != "HYDRA_FULL_ERROR"}
    return subprocess.run(
        [sys.executable, "-c", LAUNCH.format(script=str(CHECKOUT / "train.py")), *arguments],
        cwd=folder,
        env={**inherited, "PYTHONPATH": python_path(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems try recipes in the launching process")
def test_a_launcher_whose_workers_run_the_jobs_survives_a_recipe_and_keeps_nothing_of_it(tmp_path: Path) -> None:
    sweep = [*make_place(tmp_path).sweep(None, "seed=1,2", "trainer.epochs=1"), "hydra/launcher=workers"]
    done = launched(tmp_path, [*sweep, "sweep.name=s"])
    assert done.returncode == 0, done.stdout + done.stderr
    assert statuses(tmp_path / "multirun" / "s") == {"seed=1": "completed", "seed=2": "completed"}
    assert done.stdout.splitlines()[-1] == "PyTorch is imported: False"

    (tmp_path / "crashing.py").write_text(CRASHING)
    crashed = launched(tmp_path, [*sweep, "sweep.name=t", "model._target_=crashing.network"])
    assert crashed.returncode == 2
    assert "the process that tried the jobs was ended by SIGSEGV" in crashed.stderr
    assert not (tmp_path / "multirun" / "t").exists()
