"""A user's own model, data set, optimiser and tracker work by config alone; a stored sweep runs them if told to."""

import subprocess
import sys
from pathlib import Path

from tests.small_sweeps import CHECKOUT, result_of

PROJECT = Path(__file__).parent / "my_project"
OWN = ["model=linear", "data=stripes", "optim=sign", "tracking=diary", "trainer.threads=1", "trainer.precision=fp32"]


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    paths = f"{PROJECT}:{CHECKOUT}"
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(folder), "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, *command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def train(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run(folder, str(CHECKOUT / "train.py"), "--config-dir", str(PROJECT / "conf"), *arguments)


def test_a_single_run(tmp_path: Path) -> None:
    done = train(tmp_path, *OWN, "trainer.epochs=8", f"hydra.run.dir={tmp_path / 'run'}")
    assert done.returncode == 0, done.stderr
    result = result_of(tmp_path / "run")
    assert result["choices"]["model"] == "linear"
    assert result["last"]["test_accuracy"] == 1.0
    assert (tmp_path / "run" / "diary.txt").read_text().splitlines()[1:] == [
        *(f"epoch {epoch}" for epoch in range(8)),
        "completed",
    ]
    assert f"a diary is in {tmp_path / 'run'}" in done.stdout


def test_a_sweep_is_finished_elsewhere_only_by_who_trusts_it(tmp_path: Path) -> None:
    done = train(tmp_path, "-m", *OWN, "trainer.epochs=1", "optim.lr=0.01,0.1", "sweep.name=own")
    assert done.returncode == 0, done.stderr
    sweep = tmp_path / "multirun" / "own"
    assert (sweep / "diary.txt").read_text() == "2 jobs"
    for lost in ("result.json", "diary.txt"):
        (sweep / "optim.lr=0.1" / lost).unlink()

    refused = run(tmp_path, "-m", "mnist_resnet.resume", str(sweep))
    assert refused.returncode == 2
    assert refused.stderr.startswith("error: ")
    assert "my_lab.Linear" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not (sweep / "optim.lr=0.1" / "result.json").exists()

    trust = [f"--trust=my_lab.{name}" for name in ("Linear", "stripes", "SignDescent", "Diary")]
    resumed = run(tmp_path, "-m", "mnist_resnet.resume", str(sweep), *trust)
    assert resumed.returncode == 0, resumed.stderr
    assert (sweep / "optim.lr=0.1" / "diary.txt").exists()
