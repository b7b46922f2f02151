"""Files that may come from anywhere are read in bounded time and memory, and control no terminal."""

import io
import os
import socket
import zipfile
from pathlib import Path

import numpy as np
import pytest

from mnist_resnet.comparing.figures import write_figures
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.predictions import read_arrays
from mnist_resnet.data.idx_dataset import BadFile, _decompressed
from mnist_resnet.job_folder import METRICS, RESULT, UnreadableFolder, read_json, read_metrics
from mnist_resnet.stored_file import MAX_DEPTH, RefusedFile, append_stored, parse_json, read_stored
from tests.made_up_jobs import write_job


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def _itself(path: Path) -> None:
    path.symlink_to(path.name)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(os.path.relpath(path))


def _folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [_pipe, _endless, _itself, _socket, _folder])
def test_what_is_no_regular_file_is_refused_at_once(
    make: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert callable(make)
    job = write_job(tmp_path / "job")
    for name in (RESULT, METRICS):
        (job / name).unlink()
        make(job / name)
    with pytest.raises(UnreadableFolder, match=r"job/result\.json: can't be read"):
        read_json(job / RESULT)
    assert read_metrics(job) == []
    jobs, remarks = load_jobs([tmp_path])
    assert (jobs, len(remarks)) == ([], 1 if make is _itself else 2)


def test_a_file_that_is_too_large_is_not_read(tmp_path: Path) -> None:
    file = tmp_path / "huge"
    with file.open("wb") as opened:
        opened.truncate(1 << 40)
    with pytest.raises(OSError, match="larger than 64 MB"):
        read_stored(file)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * (MAX_DEPTH + 1) + "]" * (MAX_DEPTH + 1), "nested more than"),
        ("[" * 1_000_000, "nested more than"),
        ('{"a":' * 5000 + "1" + "}" * 5000, "nested more than"),
        ("9" * 4000, "a number of 4,000 digits"),
    ],
)
def test_json_that_no_program_of_ours_writes_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


def test_more_values_than_memory_holds_are_refused_before_they_are_read() -> None:
    with pytest.raises(ValueError, match="more than 20,000,000 values"):
        parse_json("[" + "[]," * 10_000_000 + "0]")


@pytest.mark.parametrize("count", [100_001, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_a_sweep_of_a_million_jobs_is_refused_in_one_line(tmp_path: Path, count: int) -> None:
    job = '{"name": "a", "config": {}, "overrides": [], "swept": {}, "choices": {}, "signature": ""}'
    (tmp_path / "sweep.json").write_text(f'{{"format": 1, "name": "s", "jobs": [{",".join([job] * count)}]}}')
    with pytest.raises(UnreadableFolder, match=f"lists {count:,} jobs; a sweep has 100,000 at most"):
        read_json(tmp_path / "sweep.json")
    jobs, remarks = load_jobs([tmp_path])
    assert jobs == []
    assert f"lists {count:,} jobs" in remarks[0]


def test_an_epoch_has_what_is_a_number_in_it(tmp_path: Path) -> None:
    (tmp_path / METRICS).write_text('{"epoch": 0, "seconds": {"a": 1}, "test_accuracy": 0.5, "lr": "x", "ok": true}\n')
    assert read_metrics(tmp_path) == [{"epoch": 0, "test_accuracy": 0.5}]


def test_strings_control_no_terminal_whether_escaped_or_not() -> None:
    text = '{"a\\u001b[31m": ["b\x9b2J", "\\u202egnp.exe", "line\\nline\\ttab", "é 数"]}'
    assert parse_json(text) == {"a�[31m": ["b�2J", "�gnp.exe", "line\nline\ttab", "é 数"]}


def test_an_archive_that_grows_is_not_unpacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnist_resnet.comparing.predictions.MAX_ARRAYS", 1_000_000)
    np.savez_compressed(tmp_path / "grows.npz", label=np.zeros(10_000_000, np.uint8))
    assert (tmp_path / "grows.npz").stat().st_size < 20_000
    with pytest.raises(UnreadableFolder, match="unpacks to more than 1,000,000 bytes"):
        read_arrays(tmp_path / "grows.npz")


def test_a_model_file_that_grows_is_not_unpacked(tmp_path: Path) -> None:
    from mnist_resnet.models.safe_load import refuse_foreign_code

    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * 20_000_000)
    for name in ("model.pt", "model.pt2"):
        with pytest.raises(UnreadableFolder, match=f"{name}: can't be read .it unpacks to more than"):
            refuse_foreign_code(tmp_path / name, content.getvalue())


def test_an_idx_file_that_grows_is_not_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    import gzip

    monkeypatch.setattr("mnist_resnet.data.idx_dataset.MAX_ARRAYS", 1_000_000)
    with pytest.raises(BadFile, match="larger than 1,000,000 bytes when uncompressed"):
        _decompressed(gzip.compress(b"\0" * 10_000_000))


def test_lines_are_appended_to_a_regular_file_alone(tmp_path: Path) -> None:
    for line in ("one\n", "two\n"):
        with append_stored(tmp_path / "log") as file:
            file.write(line)
    assert (tmp_path / "log").read_text() == "one\ntwo\n"
    (tmp_path / "link").symlink_to(tmp_path / "log")
    (tmp_path / "new").symlink_to(tmp_path / "not yet")
    os.mkfifo(tmp_path / "pipe")
    for name in ("link", "new", "pipe"):
        with pytest.raises(RefusedFile):
            append_stored(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "log", "new", "pipe"]


def test_plots_replace_a_link_and_not_what_it_leads_to(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="not installed (extra `plots`)")
    jobs, _ = load_jobs([write_job(tmp_path / "sweep" / "job").parent])
    (tmp_path / "mine").write_text("mine")
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "curves.svg").symlink_to(tmp_path / "mine")
    assert tmp_path / "figures" / "curves.svg" in write_figures(jobs, tmp_path / "figures", "svg")
    assert (tmp_path / "mine").read_text() == "mine"
    assert not (tmp_path / "figures" / "curves.svg").is_symlink()
