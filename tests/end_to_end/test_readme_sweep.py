"""The README's first command at toy scale, in a separate process: folders, table and W&B files."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mnist_resnet.job_folder import read_metrics
from mnist_resnet.tracking.wandb_files import unsent_runs
from tests.idx_files import write_idx_files
from tests.small_sweeps import CHECKOUT, result_of
from tests.wandb_history import begun, history

SMALLER = (
    *("model.width=4", "model.blocks=[1,1]", "data.train_size=192", "data.test_size=100", "trainer.epochs=10"),
    *("scale=quick", "trainer.threads=1", "trainer.precision=fp32", "tracking.mode=offline"),
)

JOBS = {
    f"model={stem},optim.lr={lr}": {"model": stem, "optim.lr": float(lr)}
    for stem in ("stem3x3", "stem7x7")
    for lr in ("0.02", "0.001")
}

JOB_FILES = {
    *(".hydra/config.yaml", ".hydra/overrides.yaml", "result.json", "metrics.jsonl", "batch_losses.npy"),
    *("model.pt", "model.pt2", "predictions.npz", "environment/freeze.txt", "train.log"),
}
"""Of DESIGN.md's table, all but the checkpoint, which is not kept, and W&B's own."""


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """The folder in which the command was run, and its output."""
    folder = tmp_path_factory.mktemp("readme")
    data = ["data.root=images", "data.verify=false"]
    if "MNIST_RESNET_DATA" in os.environ:
        data = []
    else:
        write_idx_files(folder / "images", train=192, test=100)
    swept = ["optim.lr=0.02,0.001", "model=stem3x3,stem7x7"]
    without_wandb = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    ended = subprocess.run(
        [sys.executable, str(CHECKOUT / "train.py"), "-m", *swept, *SMALLER, *data],
        cwd=folder,
        env=without_wandb | {"OMP_NUM_THREADS": "1", "NETRC": "/nonexistent"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert ended.stderr == ""
    return folder, ended.stdout


@pytest.fixture(scope="module")
def sweep(done: tuple[Path, str]) -> Path:
    (folder,) = (done[0] / "multirun").iterdir()
    return folder


def test_only_the_sweep_folder_is_created(done: tuple[Path, str]) -> None:
    assert {path.name for path in done[0].iterdir()} <= {"multirun", "images"}


def test_progress_of_every_job_is_printed(done: tuple[Path, str]) -> None:
    lines = done[1].splitlines()
    for number, job in enumerate(JOBS_IN_ORDER, 1):
        start = next(index for index, line in enumerate(lines) if line.startswith(f"[{number}/4] {job}: 2 epochs"))
        assert any(line.startswith("  epoch 1/1  train ") for line in lines[start : start + 6])


JOBS_IN_ORDER = [f"model={stem},optim.lr={lr}" for lr in ("0.02", "0.001") for stem in ("stem3x3", "stem7x7")]


def test_each_job_has_a_folder_with_every_file(sweep: Path) -> None:
    assert {path.parent.name for path in sweep.glob("*/result.json")} == JOBS.keys()
    for job, swept in JOBS.items():
        folder = sweep / job
        files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
        assert files >= JOB_FILES, job
        assert not any("checkpoint" in name for name in files)
        result = result_of(folder)
        assert (result["status"], result["swept"], result["error"]) == ("completed", swept, None)
        assert result["config"]["optim"]["lr"] == swept["optim.lr"]
        assert result["choices"]["scale"] == "quick"
        assert [epoch["epoch"] for epoch in read_metrics(folder)] == [0, 1]
        assert np.load(folder / "batch_losses.npy").shape == (2 * 3,)
        assert np.load(folder / "predictions.npz")["label"].shape == (100,)


def test_jobs_are_frozen_in_the_sweep_folder(sweep: Path) -> None:
    frozen = json.loads((sweep / "sweep.json").read_text())
    assert [job["name"] for job in frozen["jobs"]] == JOBS_IN_ORDER
    assert frozen["swept"] == ["optim.lr", "model"]
    assert frozen["command"][1:3] == ["-m", "optim.lr=0.02,0.001"]
    assert [job["config"] for job in frozen["jobs"]] == [result_of(sweep / job)["config"] for job in JOBS_IN_ORDER]


def test_table_is_printed_and_written_to_the_folder(done: tuple[Path, str], sweep: Path) -> None:
    table = pd.read_csv(sweep / "results.csv")
    assert table["name"].tolist() == JOBS_IN_ORDER
    markdown = (sweep / "table.md").read_text()
    for job in JOBS_IN_ORDER:
        last = result_of(sweep / job)["last"]
        row = table[table["name"] == job].iloc[0]
        assert row["test_accuracy"] == last["test_accuracy"]
        assert row["train_accuracy"] == last["train_accuracy"]
        accuracy = f"{100 * last['test_accuracy']:.2f}"
        assert accuracy in markdown
        assert accuracy in done[1]
    assert "4 jobs: 4 completed." in done[1]
    assert f"written to {sweep.relative_to(done[0])}: table.md, results.csv" in done[1]


def test_each_job_is_a_separate_wandb_run(sweep: Path) -> None:
    ids = set()
    for job in JOBS:
        (run,) = unsent_runs(sweep / job)
        record = begun(run)
        ids.add(record["run_id"])
        assert (record["display_name"], record["run_group"], record["project"]) == (job, sweep.name, "mnist-resnet")
        config = {key: value for key, value in record["config"]["update"].items() if key != "_wandb"}
        assert config == result_of(sweep / job)["config"]
        rows = [row for row in history(run) if "epoch" in row]
        logged = [{key: row[key] for key in ("epoch", "test_accuracy", "train_loss")} for row in rows]
        assert logged == [
            {key: epoch[key] for key in ("epoch", "test_accuracy", "train_loss")} for epoch in read_metrics(sweep / job)
        ]
    assert len(ids) == 4


def test_summary_run_holds_the_table_and_the_sync_command_is_printed(done: tuple[Path, str], sweep: Path) -> None:
    (run,) = unsent_runs(sweep)
    (table,) = run.glob("files/media/table/*.table.json")
    assert len(json.loads(table.read_text())["data"]) == 4
    folder = sweep.relative_to(done[0])
    assert (
        f"upload to W&B: wandb sync --yes {folder}/wandb/offline-run-* {folder}/*/wandb/offline-run-*"
        in done[1].splitlines()
    )
