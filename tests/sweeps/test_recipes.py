"""A launch tries each distinct recipe before the first job starts."""

from pathlib import Path

import pytest

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.sweeps.recipes import _distinct
from tests.small_sweeps import CHECKOUT, make_place, run_in_process, statuses

PARTS = f"hydra.searchpath=[file://{CHECKOUT / 'examples' / 'parts' / 'conf'}]"
LINE = "optim=lbfgs will fail: optim._target_=torch.optim.LBFGS: "


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

    untried = run_in_process([*sweep, "sweep.try_recipes=false"], place, monkeypatch, capfd)
    assert LINE not in untried.out


def test_recipes_that_differ_in_more_than_numbers_are_tried_first() -> None:
    rates = [("sgd", 0.1, 1), ("sgd", 0.1, 2), ("sgd", 0.2, 1), ("adam", 0.1, 1)]
    jobs = [
        JobSpec(f"{kind} {lr} {seed}", {"seed": seed, "optim": {"_target_": kind, "lr": lr}}, [], {}, {}, "")
        for kind, lr, seed in rates
    ]
    assert [job.name for job in _distinct(jobs)] == ["sgd 0.1 1", "adam 0.1 1", "sgd 0.2 1"]
