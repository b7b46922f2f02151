"""A published record is small, readable by `compare`, and free of private details."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_resnet.comparing.frame import load_sweep
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import UnreadableFolder
from mnist_resnet.publish import publish
from tests.synthetic_sweep import SyntheticSweep


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    folder = tmp_path / "sweep"
    SyntheticSweep().write(folder)
    return folder


def test_record_agrees_with_the_sweep(sweep: Path, tmp_path: Path) -> None:
    publish(sweep, tmp_path / "record")
    ours, theirs = load_sweep(sweep), load_sweep(tmp_path / "record")
    assert theirs["test_accuracy"].tolist() == ours["test_accuracy"].tolist()
    assert theirs["seed"].tolist() == ours["seed"].tolist()
    assert (tmp_path / "record" / "table.md").stat().st_size > 0
    assert list((tmp_path / "record" / "figures").glob("*.svg"))


def test_record_omits_weights_predictions_and_paths(sweep: Path, tmp_path: Path) -> None:
    for result in sweep.glob("*/result.json"):
        content = json.loads(result.read_text())
        content["config"].setdefault("data", {})["root"] = "/home/somebody"
        content["overrides"] = [*content["overrides"], "data.root=/home/somebody"]
        content["swept"]["data.root"] = "/home/somebody"
        content["error"] = {"type": "E", "message": "m", "traceback": "File /home/somebody/code.py"}
        result.write_text(json.dumps(content))
    listed = json.loads((sweep / "sweep.json").read_text())
    listed["command"] = ["/home/somebody/train.py", "-m", "data.root=/home/somebody"]
    listed["jobs"][0]["overrides"] = ["data.root=/home/somebody"]
    (sweep / "sweep.json").write_text(json.dumps(listed))
    publish(sweep, tmp_path / "record")
    kept = [path for path in (tmp_path / "record").rglob("*") if path.is_file()]
    assert {path.suffix for path in kept} <= {".json", ".jsonl", ".md", ".csv", ".txt", ".png", ".svg", ".npy"}
    assert "predictions.npz" not in {path.name for path in kept}
    assert not [path for path in kept if b"/home/somebody" in path.read_bytes()]
    assert json.loads((tmp_path / "record" / "sweep.json").read_text())["command"] == ["train.py", "-m"]


def test_job_name_cannot_leave_the_record(sweep: Path, tmp_path: Path) -> None:
    listed = json.loads((sweep / "sweep.json").read_text())
    listed["jobs"][0]["name"] = "../elsewhere"
    (sweep / "sweep.json").write_text(json.dumps(listed))
    with pytest.raises(UnreadableFolder, match="elsewhere"):
        publish(sweep, tmp_path / "records" / "record")
    assert not (tmp_path / "records").exists()


def test_existing_record_is_not_overwritten(sweep: Path, tmp_path: Path) -> None:
    publish(sweep, tmp_path / "record")
    with pytest.raises(UsageError, match="record already"):
        publish(sweep, tmp_path / "record")


def test_folder_without_a_sweep_prints_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mnist_resnet.publish", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
