"""A user's model, data set, optimiser and tracker, from the user's own package and config folder."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_sweeps import CHECKOUT, Place, attempts, python_path, result_of, run_in_process, statuses
from tests.wandb_history import history

HERE = Path(__file__).parent
CONF = HERE / "my_project" / "conf"
OWN = ["model=perceptron", "data=stripes", "optim=sign", "tracking=diary"]
SMALL = ["trainer.epochs=3", "trainer.precision=fp32", "trainer.device=cpu", "trainer.threads=1"]
TARGETS = {
    "my_project.network.perceptron",
    "my_project.images.stripes",
    "my_project.optimizer.SignDescent",
    "my_project.tracker.Diary",
}


@pytest.fixture(autouse=True)
def importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the user's package importable, as if it were installed."""
    monkeypatch.syspath_prepend(str(HERE))


def tracker_calls(folder: Path) -> list[str]:
    return [json.loads(line)["what"] for line in (folder / "diary.jsonl").read_text().splitlines()]


def test_custom_components_train(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    words = [*OWN, *SMALL, "--config-dir", str(CONF)]
    ended = run_in_process(words, Place(tmp_path, tmp_path), monkeypatch, capfd)
    assert ended.code == 0, ended.out + ended.err
    folder = next(tmp_path.glob("outputs/*/*"))
    result = result_of(folder)
    assert result["status"] == "completed"
    assert result["notes"] == []
    assert result["last"]["test_accuracy"] > 0.9
    assert {result["config"][group]["_target_"] for group in ("model", "data", "optim", "tracking")} == TARGETS
    assert result["parameters"] == 3 * 28 * 28 * 16 + 16 + 16 * 4 + 4
    assert (folder / "model.pt").exists()
    assert (folder / "model.pt2").exists()
    assert tracker_calls(folder) == ["begin", *["batch", "epoch"] * 3, "end"]


def test_custom_components_are_swept_and_only_resumed_if_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    place = Place(tmp_path, tmp_path)
    words = ["-m", f"hydra.searchpath=[file://{CONF}]", "sweep.name=own", *OWN[1:], *SMALL]
    words += ["model=perceptron,stem3x3", "regularization=none,dropout"]
    words += ["sweep.exclude=['model=stem3x3']", "sweep.keep=none"]
    ended = run_in_process(words, place, monkeypatch, capfd)
    assert ended.code == 0, ended.out + ended.err
    sweep = tmp_path / "multirun" / "own"
    names = {"model=perceptron,regularization=dropout", "model=perceptron,regularization=none"}
    assert statuses(sweep) == dict.fromkeys(names, "completed")
    assert json.loads((sweep / "diary.jsonl").read_text()) == {"jobs": 2}
    assert f"the diary lies in {Path('multirun/own/diary.jsonl')}" in ended.out

    shutil.rmtree(sweep / "model=perceptron,regularization=none")
    refused = resume(sweep)
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: _target_=")
    assert refused.stderr.count("\n") == 1
    assert all(f"--trust {target}" in refused.stderr for target in TARGETS)
    assert len(statuses(sweep)) == 1

    resumed = resume(sweep, *(word for target in sorted(TARGETS) for word in ("--trust", target)))
    assert resumed.returncode == 0, resumed.stdout + resumed.stderr
    assert statuses(sweep) == dict.fromkeys(names, "completed")
    assert attempts(sweep) == dict.fromkeys(names, 1)


def resume(sweep: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "mnist_resnet.resume", str(sweep), *arguments],
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": python_path(HERE), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model=perceptorn", "model=perceptorn: no such choice; did you mean perceptron? one of "),
        ("model.hiden=3", "model.hiden: no such key; did you mean model.hidden?"),
        ("+model.depth=3", "model._target_=my_project.network.perceptron: got an unexpected keyword argument 'depth'"),
        ("~model.hidden", "model._target_=my_project.network.perceptron: missing a required argument: 'hidden'"),
        ("~data.count", "data._target_=my_project.images.stripes: missing a required argument: 'count'"),
        ("data.classes=3", "data.classes=3: there is a label 3; labels count from 0"),
        ("data.channels=1", "data.channels=1: the images have 3"),
        ("data._target_=my_project.network.perceptron", "missing a required argument: 'hidden'; it takes hidden, chan"),
        ("tracking.mode=loud", "tracking.mode=loud: must be 'auto', 'online' or 'offline'"),
        ("~optim._partial_", "optim._partial_: must be given"),
        (
            "schedule._target_=torch.optim.lr_scheduler.StepLR",
            "schedule._target_=torch.optim.lr_scheduler.StepLR: missing a required argument: 'step_size'; it takes",
        ),
    ],
)
def test_custom_components_are_validated_like_built_in_ones(
    override: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    own = [word for word in OWN if not override.startswith(word.partition("=")[0] + "=")]
    ended = run_in_process(
        [*own, *SMALL, override, "--config-dir", str(CONF)], Place(tmp_path, tmp_path), monkeypatch, capfd
    )
    assert ended.code == 2
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("call", ["__init__", "epoch"])
def test_several_trackers_at_once_get_everything_though_one_of_them_fails(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mnist_resnet.tracking.wandb_mode._warned", set())
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "no_settings"))
    own = [*OWN[:-1], "tracking=several_at_once", f"tracking.trackers.broken.fails_in={call}"]
    words = ["--config-dir", str(CONF), "-m", *own, *SMALL, "seed=1,2", "sweep.name=tracked", "sweep.keep=none"]
    ended = run_in_process(words, Place(tmp_path, tmp_path), monkeypatch, capfd)
    assert ended.code == 0, ended.out + ended.err
    sweep = tmp_path / "multirun" / "tracked"
    assert list(statuses(sweep).values()) == ["completed", "completed"]
    for seed in (1, 2):
        job = sweep / f"seed={seed}"
        (mirrored,) = job.glob("wandb/offline-run-*")
        assert [row["epoch"] for row in history(mirrored) if "epoch" in row] == [0, 1, 2]
        assert "end" in tracker_calls(job)
        assert not [group for group in result_of(job)["choices"] if "@" in group]
    assert (ended.out + ended.err).count("my_project.tracker.Unreliable failed and is disabled (on purpose)") == 1
    assert f"the diary lies in {Path('multirun/tracked/diary.jsonl')}" in ended.out
    assert "upload to W&B: " in ended.out


def test_several_trackers_must_be_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = run_in_process([*SMALL, "data=digits", "tracking=several"], Place(tmp_path, tmp_path), monkeypatch, capfd)
    assert (ended.code, ended.err.count("\n")) == (2, 1)
    assert "tracking.trackers: has none; add some" in ended.err


@pytest.mark.parametrize("call", ["__init__", "begin", "batch", "epoch", "end", "sweep_ended", "hint"])
def test_failing_custom_tracker_does_not_affect_jobs_or_the_sweep(
    call: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("mnist_resnet.tracking.wandb_mode._warned", set())
    own = [*OWN, "tracking._target_=my_project.tracker.Unreliable", f"+tracking.fails_in={call}"]
    words = ["-m", *own, *SMALL, "seed=1,2", "sweep.name=unreliable", "sweep.keep=none", "--config-dir", str(CONF)]
    ended = run_in_process(words, Place(tmp_path, tmp_path), monkeypatch, capfd)
    assert ended.code == 0, ended.out + ended.err
    assert list(statuses(tmp_path / "multirun" / "unreliable").values()) == ["completed", "completed"]
    warning = "my_project.tracker.Unreliable failed and is disabled (on purpose)"
    assert (ended.out + ended.err).count(warning) == 1
    assert "Traceback" not in ended.out + ended.err
