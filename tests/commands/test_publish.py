"""A published record is small, readable by `compare`, and free of private details."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mnist_resnet.comparing.frame import load_sweep
from mnist_resnet.job_folder import Status, UnreadableFolder
from mnist_resnet.publish import main
from mnist_resnet.sweeps.public_form import public_command
from mnist_resnet.sweeps.record import publish
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
    listed["jobs"][0]["overrides"] = ["data.root=/home/somebody", "+data={root:/home/somebody}"]
    (sweep / "sweep.json").write_text(json.dumps(listed))
    publish(sweep, tmp_path / "record")
    kept = [path for path in (tmp_path / "record").rglob("*") if path.is_file()]
    assert {path.suffix for path in kept} <= {".json", ".jsonl", ".md", ".csv", ".txt", ".png", ".svg", ".npy"}
    assert "predictions.npz" not in {path.name for path in kept}
    assert not [path for path in kept if b"/home/somebody" in path.read_bytes()]
    assert json.loads((tmp_path / "record" / "sweep.json").read_text())["command"] == ["train.py", "-m"]


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("--config-dir /home/me/conf", "--config-dir CONFIG_DIR"),
        ("--config-dir=/home/me/conf", "--config-dir=CONFIG_DIR"),
        ("-cd /home/me/conf -cp=/home/me", "-cd CONFIG_DIR -cp=CONFIG_DIR"),
        ("--config-dir conf", "--config-dir conf"),
        ("hydra.searchpath=[pkg://mine,file:///home/me]", "hydra.searchpath=[pkg://mine,file://CONFIG_DIR]"),
        ("hydra.searchpath=['/home/me,you',file://conf]", "hydra.searchpath=[file://CONFIG_DIR,file://conf]"),
        ("hydra.searchpath=/home/me", "hydra.searchpath=[file://CONFIG_DIR]"),
        ("hydra.searchpath=[/home/me", "hydra.searchpath=[file://CONFIG_DIR]"),
        ("hydra.searchpath=[pkg://mine]", "hydra.searchpath=[pkg://mine]"),
        ("++data.root=/home/me seed=1", "seed=1"),
        ("+data={root:/home/me} hydra={sweep:{dir:/home/me}}", "+data={} hydra={sweep:{}}"),
        ("++data={root:/home/me,a:[1,true,'x,y']}", "++data={a:[1,true,'x,y']}"),
        ("+data={a:/public} +data={root:/a},{root:/b}", "+data={a:/public} +data={}"),
    ],
)
def test_command_is_kept_with_gaps_for_folders(typed: str, kept: str) -> None:
    assert public_command(["/home/me/train.py", *typed.split()]) == ["train.py", *kept.split()]


def test_names_of_jobs_tell_no_path(tmp_path: Path) -> None:
    folders = ["/home/me/one", "/home/me/two"]
    sweep = SyntheticSweep(factors={"data.root": folders, "seed": [1, 2]}, predictions=False).write(tmp_path / "sweep")
    publish(sweep, tmp_path / "record")
    listed = json.loads((tmp_path / "record" / "sweep.json").read_text())
    assert [job["name"] for job in listed["jobs"]] == [
        f"data.root={folder},seed={seed}" for folder in ("one", "two") for seed in (1, 2)
    ]
    assert len(load_sweep(tmp_path / "record")["test_accuracy"].dropna()) == 4
    assert not [path for path in (tmp_path / "record").rglob("*") if path.is_file() and b"home" in path.read_bytes()]


def test_unfinished_search_is_copied_to_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = SyntheticSweep(statuses={2: None}, predictions=False).write(tmp_path / "sweep")
    (sweep / "search.json").write_text("{}")
    assert main([str(sweep), "--output", str(tmp_path / "record")]) == 0
    said = capsys.readouterr().out
    assert "to go on elsewhere: copy the sweep folder, a record has no study" in said
    assert "mnist_resnet.restore" not in said


def test_job_name_cannot_leave_the_record(sweep: Path, tmp_path: Path) -> None:
    listed = json.loads((sweep / "sweep.json").read_text())
    listed["jobs"][0]["name"] = "../elsewhere"
    (sweep / "sweep.json").write_text(json.dumps(listed))
    with pytest.raises(UnreadableFolder, match="elsewhere"):
        publish(sweep, tmp_path / "records" / "record")
    assert not (tmp_path / "records").exists()


def test_record_of_another_sweep_prints_one_line(
    sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [str(sweep), "--output", str(tmp_path / "record")]
    assert main(arguments) == main(arguments) == 0
    SyntheticSweep(name="other").write(sweep)
    capsys.readouterr()
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert "lr_vs_stem, created 2026-11-24T20:00:00+00:00; this one is other" in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)


@pytest.mark.parametrize(
    ("output", "says"),
    [
        ("sweep", "is the sweep itself"),
        ("link/../sweep", "is the sweep itself"),
        ("link", "is the sweep itself"),
        ("sweep/record", "holds a sweep, job or record"),
        ("link/optim.lr=0.02,model=stem3x3,seed=1/a/b", "holds a sweep, job or record"),
        ("other", "jobs run there"),
    ],
)
def test_no_record_is_written_where_jobs_run(
    output: str, says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = SyntheticSweep(predictions=False).write(tmp_path / "sweep")
    shutil.copytree(sweep, tmp_path / "other")
    (tmp_path / "other" / "launches").mkdir()
    (tmp_path / "link").symlink_to("sweep")
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert main([str(sweep), "--output", str(tmp_path / output)]) == 2
    printed = capsys.readouterr()
    assert says in printed.err
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_unfinished_sweep_is_said_in_the_first_line_and_the_last(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = SyntheticSweep(statuses={2: Status.RUNNING, 3: None}).write(tmp_path / "sweep")
    record = tmp_path / "record"
    assert main([str(sweep), "--output", str(record)]) == 0
    unfinished = "not finished: 2 of 12 jobs are running or queued"
    assert capsys.readouterr().out.splitlines() == [
        f"{sweep}: {unfinished}",
        f"written to {record} ({unfinished}); to go on elsewhere: python -m mnist_resnet.restore {record}",
    ]
    assert (record / "table.md").read_text().splitlines()[0] == f"# lr_vs_stem ({unfinished})"


def test_finished_sweep_prints_one_line(sweep: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(sweep), "--output", str(tmp_path / "record")]) == 0
    assert capsys.readouterr().out == f"written to {tmp_path / 'record'}\n"


def test_folder_without_a_sweep_prints_one_line(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mnist_resnet.publish", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert done.stderr.count("\n") == 1
