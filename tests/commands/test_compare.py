"""The compare command on folders in every state."""

import csv
import importlib.util
import json
import os
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest

from mnist_resnet.compare import main
from mnist_resnet.job_folder import RESULT, SWEEP, Status
from tests.synthetic_sweep import SyntheticSweep


def compare(*arguments: str | Path, encoding: str = "utf-8") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mnist_resnet.compare", *map(str, arguments)]
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, encoding="utf-8", check=False)


def test_compare_process_reads_a_partial_sweep_of_mixed_versions(tmp_path: Path) -> None:
    statuses = {1: Status.RUNNING, 2: None, 3: Status.DIVERGED}
    folder = SyntheticSweep(statuses=statuses, predictions=False).write(tmp_path / "sweep")
    newer = folder / "optim.lr=0.02,model=stem3x3,seed=1" / RESULT
    newer.write_text(json.dumps({"format": 99, "status": "completed"}))
    done = compare(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "12 jobs: 8 completed" in done.stdout
    for status in ("running after", "queued", "diverged after", "unreadable"):
        assert status in done.stdout
    assert "format 99" in done.stdout


def test_ascii_terminal_is_supported(tmp_path: Path) -> None:
    done = compare(SyntheticSweep(statuses={0: None}, predictions=False).write(tmp_path / "sweep"), encoding="ascii")
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("kind", ["empty folder", "empty sweep", "torn sweep", "no sweep file", "foreign"])
def test_folders_without_jobs_are_reported(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    content = {
        "empty sweep": '{"format": 1, "jobs": []}',
        "torn sweep": '{"for',
        "no sweep file": None,
        "foreign": "[]",
    }
    if text := content.get(kind):
        (tmp_path / SWEEP).write_text(text)
    for style in ("rich", "markdown", "csv", "latex", "html"):
        assert main([str(tmp_path), "--format", style]) == 2, style
        captured = capsys.readouterr()
        assert (captured.out, captured.err.count("\n")) == ("", 1)
        assert captured.err.startswith(f"error: {tmp_path}")


def test_broken_folder_does_not_hide_a_valid_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sound = SyntheticSweep(predictions=False).write(tmp_path / "sound")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / SWEEP).write_text("{")
    assert main([str(sound), str(tmp_path / "broken"), "--format", "csv"]) == 0
    captured = capsys.readouterr()
    assert len(list(csv.DictReader(StringIO(captured.out)))) == 12
    assert "broken" in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "nowhere"),
        (["SWEEP", "--by", "modle"], "modle"),
        (["SWEEP", "--metric", "beauty"], "beauty"),
        (["SWEEP", "--pair", "seed=1", "seed=77"], "seed=77"),
        (["SWEEP", "--pair", "seed=1", "seed=2"], "no predictions.npz"),
        (["SWEEP", "--pair", "model=stem3x3,seed=1", "model=stem3x3,seed=1"], "2 jobs are on both sides"),
        (["SWEEP", "--pair", "model=stem3x3,seed=1", "optim.lr=0.02"], "the job optim.lr=0.02,model=stem3x3,seed=1 is"),
        (["SWEEP", "--pair", "seed=1", "seed=2", "--pair", "seed=2", "seed=3"], "--pair: given twice; give it once"),
        (["SWEEP", "--smallest-effect", "1", "--smallest-effect", "2"], "--smallest-effect: given twice"),
        (["SWEEP", "--format", "csv", "--format", "latex"], "--format: given twice"),
        (["SWEEP", "--output", "a.md", "--output", "b.md"], "--output: given twice"),
        (["SWEEP", "--format", "markdown", "--output", "/nowhere/table.md"], "there is no folder /nowhere"),
        (["SWEEP", "--format", "html", "--output", "/nowhere/page.html"], "there is no folder /nowhere"),
        (["SWEEP", "--format", "html", "--output", "SWEEP"], "is a folder; give the name of a file"),
        (["SWEEP/sweep.json"], "a file, not a folder"),
        (["SWEEP", "--metric", "best_picked_on"], "best_picked_on: these jobs have no such metric"),
        (["SWEEP", "--format", "html", "--by", "model"], "--by: does not apply to --format html"),
        (["SWEEP", "--format", "html", "--metric", "test_loss"], "--metric: does not apply to --format html"),
        (["SWEEP", "--format", "html", "--pair", "seed=1", "seed=2"], "--pair: does not apply to --format html"),
        (["SWEEP", "--format", "png", "--pair", "seed=1", "seed=2"], "--pair: does not apply to --format png"),
        (["SWEEP", "--format", "png", "--metric", "test_loss"], "--metric: does not apply to --format png"),
        (["SWEEP", "--format", "csv", "--by", "model"], "--by: does not apply to --format csv"),
        (["SWEEP", "--format", "csv", "--metric", "test_loss"], "--metric: does not apply to --format csv"),
        (["SWEEP", "--format", "html", "--smallest-effect", "1"], "--smallest-effect: does not apply"),
        (["SWEEP", "--smallest-effect", "0"], "--smallest-effect: 0 is no size; give one above 0"),
        (["SWEEP", "--smallest-effect", "nan"], "--smallest-effect: nan is no size; give one above 0"),
        (["SWEEP", "--wandb", "--format", "csv"], "--wandb: goes without"),
        (["SWEEP", "--wandb", "--output", "table.md"], "--wandb: goes without"),
        (["EMPTY", "--format", "html"], "neither a sweep nor a job folder"),
        (["SWEEP", "OTHER", "--format", "html"], "--output FILE.html is needed for several folders"),
        (["SWEEP", "OTHER", "--format", "png"], "--output FOLDER is needed for several folders"),
        (["SWEEP", "OTHER", "--format", "svg"], "--output FOLDER is needed for several folders"),
        (["SWEEP", "--output", "curves.png"], "the name of a file, but there are several figures"),
        (["SWEEP", "--output", "page.html", "--by", "model"], "--by: does not apply to --format html"),
        (["RECORD", "--format", "html"], "--output FILE.html is needed for a published record"),
        (["RECORD", "--format", "png"], "--output FOLDER is needed for a published record"),
    ],
)
def test_bad_input_prints_one_line_and_exits_with_2(
    tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = {name: tmp_path / name.lower() for name in ("SWEEP", "OTHER", "RECORD", "EMPTY")}
    for name in ("SWEEP", "OTHER", "RECORD"):
        SyntheticSweep(predictions=False).write(folders[name])
    (folders["RECORD"] / "freeze.txt").touch()
    folders["EMPTY"].mkdir()
    before = sorted(tmp_path.rglob("*"))
    words = [argument.partition("/") for argument in arguments]
    assert main(["".join([str(folders.get(first, first)), *rest]) for first, *rest in words]) == 2
    assert sorted(tmp_path.rglob("*")) == before
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize(
    ("style", "expected"), [("markdown", "| --- |"), ("latex", "\\midrule"), ("rich", "Over seeds")]
)
def test_formats_are_printed_or_written_to_a_file(
    tmp_path: Path, style: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = SyntheticSweep(predictions=False).write(tmp_path / "sweep")
    assert main([str(folder), "--format", style]) == 0
    assert expected in capsys.readouterr().out
    assert main([str(folder), "--format", style, "--output", str(tmp_path / "out")]) == 0
    assert expected in (tmp_path / "out").read_text()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("page.html", "<!doctype html>"),
        ("table.md", "| --- |"),
        ("Table.TEX", "\\midrule"),
        ("jobs.csv", "name,sweep,status"),
        ("notes.txt", "Over seeds"),
        ("notes", "Over seeds"),
    ],
)
def test_format_is_that_of_the_output_file(tmp_path: Path, name: str, expected: str) -> None:
    folder = SyntheticSweep(predictions=False).write(tmp_path / "sweep")
    assert main([str(folder), "--output", str(tmp_path / name)]) == 0
    written = (tmp_path / name).read_text()
    assert expected in written
    assert ("<html" in written) == name.endswith(".html")
    assert main([str(folder), "--format", "rich", "--output", str(tmp_path / name)]) == 0
    assert "Over seeds" in (tmp_path / name).read_text(), "a format that is given is kept"


def test_two_jobs_are_compared_image_by_image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = SyntheticSweep(factors={"model": ["stem3x3", "stem7x7"]}, test_images=300).write(tmp_path / "sweep")
    assert main([str(folder)]) == 0
    assert "McNemar's test" in capsys.readouterr().out


def test_two_sweeps_are_compared_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [SyntheticSweep(name=name, luck=luck).write(tmp_path / name) for luck, name in enumerate(("one", "two"))]
    assert main([*map(str, folders)]) == 0
    assert "12 jobs completed in both" in capsys.readouterr().out


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is None, reason="the plots extra is not installed")
def test_figures_are_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    claims = [{"metric": "test_accuracy", "value": 0.99, "words": "99 %"}]
    folder = SyntheticSweep(claims=claims, predictions=False).write(tmp_path / "sweep")
    assert main([str(folder), "--format", "svg"]) == 0
    written = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert [path.name for path in written] == ["curves.svg", "claims.svg", "effects.svg"]
    assert all("<svg" in path.read_text() for path in written)


@pytest.mark.skipif(importlib.util.find_spec("matplotlib") is not None, reason="the plots extra is installed")
def test_figures_without_the_extra_name_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = SyntheticSweep(predictions=False).write(tmp_path / "sweep")
    assert main([str(folder), "--format", "png"]) == 2
    assert "[plots]" in capsys.readouterr().err


def test_dashboard_is_written_to_the_sweep_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = SyntheticSweep(predictions=False).write(tmp_path / "sweep")
    assert main([str(folder), "--format", "html"]) == 0
    assert capsys.readouterr().out.strip() == str(folder / "dashboard.html")
    assert (folder / "dashboard.html").stat().st_size > 1000


def test_page_on_two_sweeps_leaves_their_own_pages_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = [SyntheticSweep(name=name, predictions=False).write(tmp_path / name) for name in ("one", "two")]
    (folders[0] / "dashboard.html").write_text("its own")
    assert main([*map(str, folders), "--format", "html"]) == 2
    assert main([*map(str, folders), "--format", "html", "--output", str(tmp_path / "both.html")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "both.html")
    assert (folders[0] / "dashboard.html").read_text() == "its own"


def test_metrics_given_one_by_one_are_all_summarised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = SyntheticSweep(predictions=False).write(tmp_path / "sweep")
    outputs = []
    for names in (["test_loss", "--metric", "seconds"], ["test_loss", "seconds"]):
        assert main([str(folder), "--by", "model", "--by", "optim.lr", "--metric", *names]) == 0
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert main([str(folder), "--by", "model", "optim.lr", "--metric", "seconds"]) == 0
    assert capsys.readouterr().out != outputs[0]


def test_times_can_be_summarised(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = SyntheticSweep(predictions=False).write(tmp_path / "sweep")
    assert main([str(folder), "--metric", "seconds"]) == 0
    assert "Over seeds" in capsys.readouterr().out


def test_smallest_effect_is_given_in_percentage_points(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = SyntheticSweep(predictions=False).write(tmp_path / "sweep")
    assert main([str(folder), "--smallest-effect", "0.25", "--format", "markdown"]) == 0
    assert "none larger than the smallest one of interest, 0.25 (--smallest-effect)" in capsys.readouterr().out
