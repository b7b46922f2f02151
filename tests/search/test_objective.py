"""Tests of what a search is judged by: one objective or several, and constraints."""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from mnist_resnet.config.objective import CONSTRAINT, objective_of
from mnist_resnet.job_folder import JOURNAL
from mnist_resnet.search.study import (
    load_study,
    make_study,
    open_storage,
)
from tests.search.small_search import LR, OBJECTIVE
from tests.small_sweeps import Place, Run


def test_objective_is_of_the_last_or_the_best_epoch() -> None:
    history = [{"val_accuracy": 0.5, "val_loss": 1.0}, {"val_accuracy": 0.7, "val_loss": 0.4}, {"val_accuracy": 0.6}]
    for line in history:
        line["training_seconds"] = 2.0

    def values(objective: Any, epoch: str, constraints: Sequence[str] = ()) -> list[float] | None:
        sweep = {"objective": objective, "objective_epoch": epoch, "constraints": constraints}
        return objective_of({"sweep": sweep}).values(history)

    assert values("val_accuracy", "last") == [0.6]
    assert values("val_accuracy", "best") == [0.7]
    assert values("val_loss", "best") == [0.4]
    assert values(["val_accuracy", "training_seconds"], "last") == [0.6, 6.0]
    assert values(["val_accuracy", "val_loss"], "best") == [0.7, 0.4], "of one epoch"
    history.clear()
    assert values("val_loss", "last") is None


@pytest.mark.parametrize(
    ("constraint", "is_kept"),
    [
        ("reward>=-200", True),
        ("reward >= -1e+2", False),
        ("reward<=.5", True),
        ("length<=9", True),
        ("other<=9", False),
    ],
)
def test_constraints_take_any_number_and_an_unreported_metric_breaks_them(constraint: str, is_kept: bool) -> None:
    assert CONSTRAINT.fullmatch(constraint)
    sweep = {"objective": "reward", "objective_epoch": "last", "constraints": ["reward<=0", constraint]}
    metrics = {name: {"better": "higher"} for name in ("reward", "length")}
    objective = objective_of({"task": {"_target_": "my.fit"}, "metrics": metrics, "sweep": sweep})
    assert objective.is_feasible([{"length": 1.0}, {"reward": -150.0}]) is is_kept


def test_several_objectives_end_in_a_pareto_front(search: Run, place: Place) -> None:
    several = ("sweep.objective=[val_loss,training_seconds]", "sweep.constraints=['training_seconds>=0']")
    for trials in (3, 5):
        done = search("s", LR, "model.width=2,4", *several, f"sweep.trials={trials}", "trainer.epochs=1")
        assert done.code == 0, done.out + done.err
    folder = place.folder / "multirun" / "s"
    study = load_study(open_storage(folder))
    best = study.best_trials
    found = f"{len(best)} trial{'' if len(best) == 1 else 's'}"
    assert f"Pareto front: {found} (val_loss of the last epoch, training_seconds of all epochs" in done.out
    (section,) = [section for section in (folder / "table.md").read_text().split("## ") if "Pareto" in section[:10]]
    values = sorted(f"{trial.values[0]:.4g}" for trial in best)
    assert sorted(re.findall(r"\| ([\d.]+) \| [\d.]+ \|$", section, re.MULTILINE)) == values
    assert {file.stem for file in (folder / "experiment").iterdir()} == {f"trial_{trial.number}" for trial in best}
    assert all(trial.constraints["training_seconds>=0"] < 0 for trial in study.trials)
    (data,) = re.findall(r'id="data">(.*?)</script>', (folder / "dashboard.html").read_text(), re.DOTALL)
    shown = json.loads(data)["front"]
    assert [objective["name"] for objective in shown["objectives"]] == ["val_loss", "training, s"]
    assert len(shown["front"]) == len(best)
    assert sorted(f"{shown['values'][job][0]:.4g}" for job in shown["front"]) == values
    (command,) = re.findall(r"to run .*?: python \S*train\.py (.*)", done.out)
    assert "experiment=trial_" in command


def test_trials_that_break_a_constraint_are_not_recommended(search: Run, place: Place) -> None:
    limit = "sweep.constraints=['training_seconds<=0']"
    done = search("s", LR, limit, "sweep.trials=1", "trainer.epochs=1")
    assert done.code == 0, done.out + done.err
    assert "no completed trial keeps all of sweep.constraints" in done.out
    assert not (place.folder / "multirun" / "s" / "experiment").exists()


def test_optunas_dashboard_shows_the_journal_while_the_search_runs(tmp_path: Path) -> None:
    pytest.importorskip("optuna_dashboard", reason="optuna-dashboard is not installed (extra `test`)")
    make_study(open_storage(tmp_path), OBJECTIVE)
    study = load_study(open_storage(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    program = str(Path(sys.executable).parent / "optuna-dashboard")
    with subprocess.Popen([program, str(tmp_path / JOURNAL), f"--port={port}"], stderr=subprocess.DEVNULL) as dashboard:
        try:
            assert _shown(port, "api/studies")["study_summaries"][0]["study_name"] == "search"
            study.tell(study.ask(), 0.5)
            deadline = time.monotonic() + 60
            while not (trials := _shown(port, "api/studies/0?after=0")["trials"]) and time.monotonic() < deadline:
                time.sleep(0.5)
            assert [trial["values"] for trial in trials] == [[0.5]]
        finally:
            dashboard.terminate()


def _shown(port: int, path: str) -> Any:
    """Return what the dashboard answers, as soon as it does."""
    deadline = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{path}", timeout=30) as answer:
                return json.load(answer)
        except OSError:
            assert time.monotonic() < deadline
            time.sleep(0.3)
