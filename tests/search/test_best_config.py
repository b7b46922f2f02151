"""Tests of the config that a search recommends."""

import json
import re
import shlex
from typing import Any

import pytest

from mnist_resnet.sweeps.folder import read_sweep
from tests.search.small_search import LR
from tests.small_sweeps import CommandResult, Place, Run, result_of, run_in_process, statuses, without_times


def test_best_config_reproduces_the_best_trial(
    search: Run, place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    done = search("s", LR, "model=choice(stem3x3,stem7x7)", "sweep.trials=4", "+optim.foreach=false", "scale=full")
    assert done.code == 0, done.out + done.err
    folder = place.folder / "multirun" / "s"
    assert list(statuses(folder).values()) == ["completed"] * 4
    assert all((folder / name).exists() for name in ("table.md", "results.csv", "dashboard.html"))
    assert not (folder / "search.html").exists(), "all of a search is in the dashboard"
    (data,) = re.findall(r'id="data">(.*?)</script>', (folder / "dashboard.html").read_text(), re.DOTALL)
    shown = json.loads(data)
    assert shown["space"] == [["optim.lr", LR.partition("=")[2]], ["model", "choice(stem3x3,stem7x7)"]]
    assert (shown["search"]["key"], len(shown["search"]["values"]), shown["front"]) == ("val_accuracy", 4, None)
    best = max((result_of(folder / job.name) for job in read_sweep(folder).jobs), key=_val_accuracy)
    assert f"best: {100 * best['last']['val_accuracy']:.2f} %" in done.out
    single = ["--config-dir", str(folder), "experiment=best", f"data.root={place.images}", "data.verify=false"]
    again = run_in_process([*single, "tracking=none", "hydra.run.dir=again"], place, monkeypatch, capfd)
    assert again.code == 0, again.err
    result = result_of(place.folder / "again")
    assert result["signature"] == best["signature"]
    assert without_times([result["last"]]) == without_times([best["last"]])


def _offered(done: CommandResult, place: Place) -> list[str]:
    """Return the arguments of the command that a search prints for its best config, with this place's images."""
    (command,) = re.findall(r"to run it: python \S*train.py (.*)", done.out)
    here = [f"data.root={place.images}", "data.verify=false", "tracking=none", "hydra.run.dir=again"]
    by_key = {argument.partition("=")[0]: argument for argument in [*shlex.split(command), *here]}
    return list(by_key.values())


@pytest.mark.parametrize(
    "override",
    [
        "~optim.betas",
        "~optim.eps",
        "regularization.dropout=0.5 model.dropout=0.0",
        "model.dropout=0.3 regularization=none",
        "+optim.capturable=0 scale=full",
        "--config-dir=mine optim=mine",
    ],
)
def test_offered_command_runs_the_best_config_whatever_the_search_changed(
    search: Run, place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], override: str
) -> None:
    (place.folder / "mine" / "optim").mkdir(parents=True)
    (place.folder / "mine" / "optim" / "mine.yaml").write_text("_target_: torch.optim.Adam\n_partial_: true\nlr: 1\n")
    done = search("s", LR, "sweep.trials=1", "trainer.epochs=1", *override.split())
    assert done.code == 0, done.out + done.err
    (job,) = read_sweep(place.folder / "multirun" / "s").jobs
    assert "experiment=best" in _offered(done, place)
    again = run_in_process(_offered(done, place), place, monkeypatch, capfd)
    assert again.code == 0, again.out + again.err
    assert result_of(place.folder / "again")["signature"] == job.signature


def test_without_a_file_that_composes_to_it_the_best_config_is_offered_by_its_overrides(
    search: Run, place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mnist_resnet.search.best_config.is_same_experiment", lambda *_: False)
    done = search("s", LR, "sweep.trials=1", "trainer.epochs=1", "sweep.retries=0")
    assert done.code == 0, done.out + done.err
    (job,) = read_sweep(place.folder / "multirun" / "s").jobs
    assert not (place.folder / "multirun" / "s" / "experiment" / "best.yaml").exists()
    again = run_in_process(_offered(done, place), place, monkeypatch, capfd)
    assert again.code == 0, again.out + again.err
    assert result_of(place.folder / "again")["signature"] == job.signature


def _val_accuracy(result: dict[str, Any]) -> float:
    return float(result["last"]["val_accuracy"])
