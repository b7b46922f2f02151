"""Every option of every config group trains, and queries such as `--help` do not import PyTorch."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from mnist_resnet.job_folder import BATCH_LOSSES, read_metrics
from tests.idx_files import write_idx_files
from tests.small_sweeps import (
    CHECKOUT,
    CommandResult,
    Place,
    make_place,
    python_path,
    result_of,
    run_in_process,
    statuses,
)

CONF = CHECKOUT / "conf"
MY_CONF = str(CHECKOUT / "tests" / "end_to_end" / "my_project" / "conf")
STEP = ("data.train_size=16", "data.test_size=16", "trainer.epochs=1", "schedule=constant")
FASHION = "FashionMNIST"

NOT_FOR_A_CLASSIFIER = {"several", "binary_cross_entropy", "mean_squared_error"}
"""A tracker that a user's file inherits, and losses of other targets (`tests/data/test_kinds_of_data.py`)."""


def options(group: str) -> list[str]:
    return sorted(file.stem for file in (CONF / group).glob("*.yaml") if file.stem not in NOT_FOR_A_CLASSIFIER)


def job_folder(place: Place) -> Path:
    return next(place.folder.glob("outputs/*/*"))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = make_place(tmp_path)
    write_idx_files(place.images, data_set=FASHION)
    return place


@pytest.fixture
def run(place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> "Run":
    return Run(place, monkeypatch, capfd)


class Run:
    """Runs the program in the test's folder; by default with few images and a tiny network."""

    def __init__(self, place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
        self._place, self._monkeypatch, self._capfd = place, monkeypatch, capfd
        for name in [name for name in os.environ if name.startswith("WANDB")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("NETRC", "/nonexistent")

    def __call__(self, *overrides: str, sweep: str | None = None) -> CommandResult:
        words = self._place.sweep(sweep, *overrides)
        if sweep is None:
            words.remove("-m")
        return run_in_process(words, self._place, self._monkeypatch, self._capfd)


@pytest.mark.parametrize(
    "group",
    [
        *("model", "regularization", "optim", "schedule", "augmentation", "loss", "averaging"),
        *("data", "trainer", "scale", "tracking"),
    ],
)
def test_every_option_trains_a_step(group: str, place: Place, run: Run) -> None:
    names = options(group)
    step = [override for override in STEP if not override.startswith(f"{group}=")]
    ended = run(*step, f"{group}={','.join(names)}", "tracking.mode=offline", sweep="options")
    assert ended.code == 0, ended.out + ended.err
    sweep = place.folder / "multirun" / "options"
    assert list(statuses(sweep).values()) == ["completed"] * len(names)
    results = [result_of(file.parent) for file in sweep.glob("*/result.json")]
    assert sorted(result["choices"][group] for result in results) == names
    assert {result["epochs_completed"] for result in results} == {1}


def test_every_experiment_trains_a_step(place: Place, run: Run) -> None:
    names = options("experiment")
    ended = run(*STEP, f"experiment={','.join(names)}", sweep="experiments")
    assert ended.code == 0, ended.out + ended.err
    sweep = place.folder / "multirun" / "experiments"
    assert statuses(sweep) == dict.fromkeys((f"experiment={name}" for name in names), "completed")
    results = {result["choices"]["experiment"]: result for result in map(result_of, sweep.glob("*=*"))}
    assert results["report_a_stem7x7"]["choices"]["model"] == "stem7x7"
    assert results["report_a_stem7x7"]["config"]["optim"]["lr"] == 0.02
    assert results["report_d_block_norm"]["config"]["model"]["block_norm"] == "after_repeats"


def test_debug_step_runs_one_step_of_everything(place: Place, run: Run) -> None:
    ended = run("debug=step", "sweep.keep=model", "trainer.epochs=1")
    assert ended.code == 0, ended.out + ended.err
    folder = job_folder(place)
    assert len(np.load(folder / BATCH_LOSSES)) == 1
    assert len(read_metrics(folder)) == 1
    assert result_of(folder)["notes"] == []
    assert (folder / "model.pt").exists()
    assert (folder / "model.pt2").exists()
    assert (folder / "predictions.npz").exists()


def test_debug_overfit_memorizes_its_batch(place: Place, run: Run) -> None:
    words = ["data=mnist", f"data.root={place.images}", "data.verify=false", "data.batch_size=32", "debug=overfit"]
    small = ["model.width=8", "model.blocks=[1,1]", "trainer.precision=fp32", "trainer.threads=1", "sweep.keep=none"]
    ended = run_in_process([*words, *small, "optim.lr=0.01"], place, run._monkeypatch, run._capfd)
    assert ended.code == 0, ended.out + ended.err
    result = result_of(job_folder(place))
    assert result["choices"]["regularization"] == "none"
    assert len(np.load(job_folder(place) / BATCH_LOSSES)) == result["epochs"] > 10
    assert result["last"]["train_accuracy"] == 1.0


EXPLODING = ("schedule._target_=tests.small_training.exploding", "+schedule.at=0")


def test_debug_anomaly_stops_at_the_operation_with_the_first_nan(place: Place, run: Run) -> None:
    assert run(*EXPLODING, "debug=anomaly", "trainer.log_interval=1000").code == 1
    error = result_of(job_folder(place))["error"]
    assert result_of(job_folder(place))["status"] == "failed"
    assert "returned nan values" in error["message"]
    assert "detect_anomaly" not in error["type"]
    assert error["type"] == "RuntimeError"


def test_without_debug_anomaly_the_same_job_diverges(place: Place, run: Run) -> None:
    run(*EXPLODING)
    assert result_of(job_folder(place))["status"] == "diverged"


def test_debug_profile_writes_a_trace(place: Place, run: Run) -> None:
    ended = run("debug=profile", "data.train_size=32", "data.test_size=16", "trainer.epochs=1")
    assert ended.code == 0, ended.out + ended.err
    trace = json.loads((job_folder(place) / "trace.json").read_text())
    names = {event.get("name") for event in trace["traceEvents"]}
    assert "aten::convolution" in names
    assert any("Adam.step" in str(name) for name in names)


WITHOUT_TORCH = """
import sys
class RefuseImports:
    def find_spec(self, name, path=None, target=None):
        package = name.partition(".")[0]
        if package in ("torch", "torchvision", "pandas", "wandb", "plotly", "scipy", "sklearn", "statsmodels") or (
            name.startswith("mnist_resnet.comparing")
        ):
            raise AssertionError(f"{name} is imported")
sys.meta_path.insert(0, RefuseImports())
"""


def run_without_torch(
    arguments: list[str], folder: Path, line: str = "train.py optim="
) -> "subprocess.CompletedProcess[str]":
    (folder / "sitecustomize.py").write_text(WITHOUT_TORCH)
    # The program sets HYDRA_FULL_ERROR; other tests run it in this process.
    inherited = {name: value for name, value in os.environ.items() if name != "HYDRA_FULL_ERROR"}
    return subprocess.run(
        [sys.executable, str(CHECKOUT / "train.py"), *arguments],
        cwd=folder,
        env={**inherited, "PYTHONPATH": python_path(folder), "COMP_LINE": line, "COMP_POINT": str(len(line))},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("query", "answers"),
    [
        (["--help"], ["python train.py -m optim.lr=0.02,0.001", "optim: adam, adamw, sgd", "log_interval: 10"]),
        (
            ["--config-dir", str(CHECKOUT / "tests" / "end_to_end" / "my_project" / "conf"), "--help"],
            ["perceptron, stem3x3", "tracking: diary, none, several"],
        ),
        (["--hydra-help"], ["--multirun"]),
        (["--cfg", "job", "--resolve", "optim=sgd"], ["_target_: torch.optim.SGD", "channels: 1"]),
        (["--cfg", "hydra"], ["AblationSweeper", "SequentialLauncher"]),
        (["--cfg", "all", "experiment=report_a_stem7x7"], ["stem: 7x7"]),
        (["--info"], ["Search path", "ablation"]),
        (["--info", "defaults"], ["optim/adam", "hydra/sweeper/ablation"]),
        (["--info", "plugins"], ["AblationSweeper", "SequentialLauncher"]),
        (["--shell-completion", "query=bash"], ["optim=adam", "optim=adamw", "optim=sgd"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_query_is_answered_without_pytorch(query: list[str], answers: list[str], tmp_path: Path) -> None:
    done = run_without_torch(query, tmp_path)
    assert done.returncode == 0, done.stderr
    assert "is imported" not in done.stderr
    assert [answer for answer in answers if answer not in done.stdout] == []
    assert [path.name for path in tmp_path.iterdir() if "__pycache__" not in path.name] == ["sitecustomize.py"]


def test_output_that_nobody_reads_is_no_error(tmp_path: Path) -> None:
    shown = f"{sys.executable} {CHECKOUT / 'train.py'} --help | true"
    done = subprocess.run(["bash", "-c", shown], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_invalid_value_is_reported_without_pytorch(tmp_path: Path) -> None:
    done = run_without_torch(["optim.lr=abc"], tmp_path)
    assert (done.returncode, done.stderr) == (2, "error: optim.lr=abc: must be a number\n")


def test_import_of_pytorch_is_detected(tmp_path: Path) -> None:
    done = run_without_torch(["trainer.device=cuda:99"], tmp_path)
    assert "torch is imported" in done.stderr


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("-m model=lean,st", "model=lean,stem3x3 model=lean,stem7x7"),
        ("-m seed=1,2 optim=adam,", "optim=adam,adamw optim=adam,sgd"),
        ("-m seed=1,", ""),
        (f"--config-dir {MY_CONF} model=perc", "model=perceptron"),
        (f"--config-dir={MY_CONF} -m model=lean,perc", "model=lean,perceptron"),
        ("-m seed=[1 optim=adam,sg", "optim=adam,sgd"),
        ("--foo optim.l", "optim.lr="),
        ("optim.lr.x", ""),
    ],
)
def test_each_level_of_a_sweep_is_completed(typed: str, completed: str, tmp_path: Path) -> None:
    done = run_without_torch(["--shell-completion", "query=bash"], tmp_path, f"train.py {typed}")
    assert (done.stdout.strip(), done.stderr) == (completed, "")


def test_sweeper_that_can_not_work_is_not_completed(tmp_path: Path) -> None:
    line = "train.py hydra/sweeper="
    done = run_without_torch(["--shell-completion", "query=bash"], tmp_path, line)
    assert done.stdout.split() == ["hydra/sweeper=ablation", "hydra/sweeper=search"]
