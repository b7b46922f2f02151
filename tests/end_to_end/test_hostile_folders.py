"""Commands on folders that are damaged or made to mislead: an answer or one line, in bounded time, and nothing run.

`hypothesis` damages one or two files of a stored sweep, and each command reads the folder in this process. The long
form, some thousand folders: `pytest -m slow tests/end_to_end/test_hostile_folders.py`.
"""

import json
import os
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from mnist_resnet import compare, evaluate, predict, publish, restore, resume, sweep, work
from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.comparing.frame import load_sweep
from mnist_resnet.job_folder import UnreadableFolder
from mnist_resnet.jobs.lease import acquire_lease
from mnist_resnet.search.spec import read_spec
from mnist_resnet.search.study import started_trials
from mnist_resnet.search.trials import Trials
from mnist_resnet.sweeps.folder import job_state, read_sweep

FROZEN = Path(__file__).parents[1] / "frozen_sweeps"
Draw = Callable[[st.SearchStrategy[Any]], Any]

SWEEP, SEARCH = "half_done", "half_done_search"
SECONDS = 60
"""Longest time for one command on one folder; they take a tenth of a second where nobody else uses the machine."""
AT_WORK = 1.0
"""Seconds after which a command that has begun to run jobs is asked to end."""
CODES = {"resume": (0, 1, 2, 143), "work": (0, 1, 2, 143)}
"""Exit codes of commands that may be at work when they are asked to end; the others' are 0, 1 and 2."""

READERS_HOME = "home-of-the-reader"
"""Name of the folder in `HOME`, which no folder may find out. A real one may be part of the paths that are shown."""
MARK = Path(tempfile.gettempdir()) / f"built-by-a-stored-folder-{os.getpid()}"
TARGET = {"_target_": "os.mkdir", "path": str(MARK)}
SCALARS = st.sampled_from(
    [
        *(None, True, -1, 0, 1.5, 2**63, 10**29, float("inf"), float("nan")),
        *(
            "",
            "<script>alert(1)</script>",
            "[/red]",
            "[link=file:///etc/passwd]x[/link]",
            "\x1b]0;title\x07\x1b[2J",
            "\u202ex",
        ),
        *("../../etc/passwd", "/etc/passwd", "\udcff", "a\0b", "a\nb", "| a |", r"\input{/etc/passwd}", "x" * 10_000),
        *("${oc.env:HOME}", "completed", "running", "2026-13-45", "1e999", "=1+1"),
    ]
)
VALUES = st.one_of(
    SCALARS,
    st.just(TARGET),
    st.lists(SCALARS, max_size=2),
    st.dictionaries(st.sampled_from(["", "<b>", "a.b"]), SCALARS),
)
BYTES = st.one_of(
    st.binary(max_size=40),
    st.sampled_from([b"[" * 100_000, b'{"format": 1, "a": ' + b"9" * 5_000 + b"}", b'{"a":' * 2_000, b"\xff\xfe"]),
)


def _places(content: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to each value in JSON."""
    parts = content.items() if isinstance(content, dict) else enumerate(content) if isinstance(content, list) else ()
    for key, value in parts:
        yield (*place, key)
        yield from _places(value, (*place, key))


def _with_other_value(draw: Draw, content: Any) -> Any:
    """Replace, remove or rename a value somewhere in JSON; values near the top are chosen more often."""
    depth = draw(st.integers(1, 6))
    ways = [way for way in _places(content) if len(way) <= depth]
    if not ways:
        return draw(VALUES)
    *parents, last = draw(st.sampled_from(ways))
    node = content
    for key in parents:
        node = node[key]
    action = draw(st.sampled_from(["replace", "replace", "remove", "rename"]))
    if action == "rename" and isinstance(node, dict):
        node[draw(st.sampled_from(["[/x]<b>", "\x1b[1m", "_target_", ""]))] = node.pop(last)
    elif action == "remove":
        del node[last]
    else:
        node[last] = draw(VALUES)
    return content


def _damage_text(draw: Draw, file: Path) -> None:
    if file.suffix == ".json":
        file.write_text(json.dumps(_with_other_value(draw, json.loads(file.read_text()))))
        return
    lines = file.read_text().splitlines()
    line = draw(st.integers(0, len(lines) - 1))
    lines[line] = json.dumps(_with_other_value(draw, json.loads(lines[line])))
    file.write_text("\n".join([*lines, ""]))


def _damage_bytes(draw: Draw, file: Path) -> None:
    content = file.read_bytes()
    start = draw(st.integers(0, len(content)))
    end = draw(st.one_of(st.just(len(content)), st.integers(start, min(len(content), start + 20))))
    file.write_bytes(content[:start] + draw(BYTES) + content[end:])


def _replace_file(draw: Draw, file: Path) -> None:
    file.unlink()
    make: Callable[[], object] = draw(
        st.sampled_from(
            [
                *(file.mkdir, lambda: os.mkfifo(file), lambda: file.symlink_to("/dev/zero")),
                *(lambda: file.symlink_to(file.name), lambda: file.symlink_to("/etc/hostname"), lambda: None),
            ]
        )
    )
    make()


@contextmanager
def _hostile(draw: Draw, name: str, pattern: str = "*") -> Iterator[Path]:
    """Copy a stored sweep, and damage one or two of its files that match a pattern."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / name
        shutil.copytree(FROZEN / name, folder)
        for _ in range(draw(st.integers(1, 2))):
            files = sorted(path for path in folder.rglob(pattern) if path.is_file() and not path.is_symlink())
            if not files:  # the only one was replaced
                break
            file = draw(st.sampled_from(files))
            is_text = file.suffix in (".json", ".jsonl", ".journal")
            ways = [_damage_bytes, _replace_file, *(3 * [_damage_text] if is_text else [])]
            try:
                draw(st.sampled_from(ways))(draw, file)
            except (ValueError, IndexError, RecursionError):  # it was damaged before
                _damage_bytes(draw, file)
        yield folder


def _too_slow(_: int, __: FrameType | None) -> None:
    raise TimeoutError(f"no answer after {SECONDS} s")


@contextmanager
def _time_limit() -> Iterator[None]:
    before = signal.signal(signal.SIGALRM, _too_slow)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def _asked_to_end(main: Callable[[list[str]], int], folder: Path) -> int:
    """Run a command that runs jobs; ask it to end when it has had time to begin one."""
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    timer = threading.Timer(AT_WORK, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    try:
        return main([str(folder)])
    finally:
        timer.cancel()
        timer.join()
        signal.signal(signal.SIGTERM, before)


def _image(folder: Path) -> Path:
    from PIL import Image

    Image.new("L", (28, 28), 7).save(folder / "image.png")
    return folder / "image.png"


def _commands(folder: Path) -> dict[str, Callable[[], object]]:
    outside = folder.parent
    jobs = sorted(path for path in folder.iterdir() if path.is_dir() and "=" in path.name)
    return {
        "compare": lambda: compare.main([str(folder)]),
        "compare markdown": lambda: compare.main([str(folder), "--format", "markdown"]),
        "compare latex": lambda: compare.main([str(folder), "--format", "latex"]),
        "compare csv": lambda: compare.main([str(folder), "--format", "csv"]),
        "compare html": lambda: compare.main([str(folder), "--format", "html", "--output", str(outside / "page.html")]),
        "compare --pair": lambda: compare.main([str(folder), "--pair", jobs[0].name, jobs[1].name]),
        "load_sweep": lambda: len(load_sweep(folder, epochs=True)) * 0,
        "sweep": lambda: sweep.main([str(folder)]),
        "sweep --watch": lambda: sweep.main([str(folder), "--watch"]),
        "sweep --stop": lambda: sweep.main([str(folder), "--stop"]),
        "resume": lambda: _asked_to_end(resume.main, folder),
        "work": lambda: _asked_to_end(work.main, folder),
        "publish": lambda: publish.main([str(folder), "--output", str(outside / "record")]),
        "publish over": lambda: _publish_over(folder),
        "restore": lambda: restore.main([str(folder), "--output", str(outside / "restored")]),
        "predict": lambda: predict.main([str(jobs[0]), str(_image(outside))]),
        "evaluate": lambda: evaluate.main([str(jobs[0])]),
    }


def _publish_over(record: Path) -> int:
    # No job has run in a record.
    for traces in (record / "launches", *record.glob("*/attempts")):
        shutil.rmtree(traces, ignore_errors=True)
    return publish.main([str(FROZEN / record.name), "--output", str(record)])


def _assert_answers(draw: Draw, capsys: pytest.CaptureFixture[str], commands: int) -> None:
    with _hostile(draw, draw(st.sampled_from([SWEEP, SEARCH]))) as folder:
        named = _commands(folder)
        for name in draw(st.lists(st.sampled_from(list(named)), min_size=1, max_size=commands, unique=True)):
            with _time_limit():
                code = named[name]()
            out, error = capsys.readouterr()
            assert code in CODES.get(name, (0, 1, 2)), name
            assert "Traceback" not in out + error, (name, out, error)
            if code == 2:
                assert error.startswith("error: "), (name, error)
                assert error.count("\n") == 1, (name, error)
                assert len(error) < 15_000, (name, error[:300])
            assert "\x1b" not in out + error, name
            assert READERS_HOME not in out + error, name
            assert not MARK.exists(), name


QUICK = settings(
    deadline=None, phases=(Phase.generate,), suppress_health_check=list(HealthCheck), max_examples=25, database=None
)


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is no file will not be delivered later either, and nobody else runs a job."""
    monkeypatch.setattr("mnist_resnet.job_folder.PAUSES", ())
    monkeypatch.setattr("mnist_resnet.sweep.IDLE_TIMEOUT", 0.5)
    monkeypatch.setenv("MNIST_RESNET_STALE_AFTER", "6")


@pytest.fixture(autouse=True)
def readers_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / READERS_HOME))


@seed(20)
@QUICK
@given(data=st.data())
def test_an_answer_or_one_line(data: st.DataObject, capsys: pytest.CaptureFixture[str]) -> None:
    _assert_answers(data.draw, capsys, commands=2)


@pytest.mark.slow
@settings(QUICK, max_examples=1_500)
@given(data=st.data())
def test_an_answer_or_one_line_whatever_is_damaged(data: st.DataObject, capsys: pytest.CaptureFixture[str]) -> None:
    _assert_answers(data.draw, capsys, commands=10)


@seed(22)
@settings(QUICK, max_examples=40)
@given(data=st.data())
def test_attempts_are_read_whatever_is_damaged(data: st.DataObject, capsys: pytest.CaptureFixture[str]) -> None:
    with _hostile(data.draw, SWEEP, "[0-9]*.json") as folder, _time_limit():
        assert sweep.main([str(folder)]) == 0
        state = LeaseMonitor().state(folder / "launches")
        for job in read_sweep(folder).jobs:
            job_state(read_sweep(folder), job, LeaseMonitor())
            lease = acquire_lease(folder / job.name, LeaseMonitor())
            assert lease is None or not lease.lost
            if lease is not None:
                lease.abandon()
    assert state in ("free", "held", "dead", "released")
    assert "Traceback" not in "".join(capsys.readouterr())


@seed(23)
@settings(QUICK, max_examples=40)
@given(data=st.data())
def test_a_journal_is_read_or_refused_whatever_is_damaged(data: st.DataObject) -> None:
    with _hostile(data.draw, SEARCH, "study.journal") as folder, _time_limit(), suppress(UnreadableFolder):
        trials = Trials(folder, read_spec(folder), LeaseMonitor(), print)
        assert set(trials.states.statuses()) <= {trial.number for trial in started_trials(trials.storage)}


@pytest.mark.parametrize(
    "edit",
    [
        lambda job: job["config"].update(tracking=TARGET),
        lambda job: job.update(name="../outside"),
        lambda job: job.update(config=[]),
        lambda job: job.update(overrides=3),
        lambda job: job["config"].update(trainer=7),
        lambda job: job["config"]["model"].update(width="${oc.env:HOME}"),
    ],
)
def test_resume_runs_nothing_of_a_folder_that_misleads(
    edit: Callable[[dict[str, Any]], object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / SWEEP
    shutil.copytree(FROZEN / SWEEP, folder)
    content = json.loads((folder / "sweep.json").read_text())
    edit(content["jobs"][-1])
    (folder / "sweep.json").write_text(json.dumps(content))
    assert resume.main([str(folder)]) == 2
    error = capsys.readouterr().err
    assert (error.startswith("error: "), error.count("\n")) == (True, 1), error
    assert not MARK.exists()


@pytest.mark.parametrize(
    "edit",
    [
        lambda job: job["config"].update(tracking=TARGET),
        lambda job: job["config"]["model"].update(width="${oc.env:HOME}"),
    ],
)
def test_no_command_on_a_search_passes_a_trial_that_misleads(
    edit: Callable[[dict[str, Any]], object], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / SEARCH
    shutil.copytree(FROZEN / SEARCH, folder)
    content = json.loads((folder / "sweep.json").read_text())
    edit(content["jobs"][0])
    (folder / "sweep.json").write_text(json.dumps(content))
    before = set(_tree(folder))
    for main, options in ((resume.main, []), (work.main, []), (sweep.main, ["--workers", "1"])):
        assert main([str(folder), *options]) == 2
        error = capsys.readouterr().err
        assert (error.startswith("error: "), error.count("\n")) == (True, 1), error
    assert set(_tree(folder)) == before
    assert not MARK.exists()


@pytest.mark.parametrize(
    ("name", "entry"),
    [
        *((SWEEP, entry) for entry in ("launches", "figures", "wandb", "model=lean,seed=2")),
        *(
            (SWEEP, f"model=lean,seed=2/{entry}")
            for entry in ("train.log", "attempts", ".hydra", ".hydra/config.yaml", "environment", "wandb")
        ),
        *((SEARCH, entry) for entry in ("study.journal", "experiment")),
    ],
)
def test_nothing_is_written_through_a_link_in_a_folder(
    name: str, entry: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / name
    shutil.copytree(FROZEN / name, folder)
    linked, outside = folder / entry, tmp_path / "outside"
    if linked.exists():
        linked.rename(outside)
    elif linked.suffix:
        outside.write_text("mine\n")
    else:
        outside.mkdir()
    linked.parent.mkdir(exist_ok=True)
    linked.symlink_to(outside)
    before = _tree(outside)
    for main, options in ((resume.main, []), (work.main, []), (sweep.main, ["--workers", "1"])):
        assert main([str(folder), *options]) == 2
        error = capsys.readouterr().err
        assert (error.startswith("error: "), error.count("\n")) == (True, 1), error
        assert f"{linked.name} is a link" in error
    assert _tree(outside) == before


def test_record_is_not_written_through_a_link(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record, outside = tmp_path / "record", tmp_path / "outside"
    assert publish.main([str(FROZEN / SWEEP), "--output", str(record)]) == 0
    (record / "model=lean,seed=1").rename(outside)
    (record / "model=lean,seed=1").symlink_to(outside)
    before = _tree(outside)
    assert publish.main([str(FROZEN / SWEEP), "--output", str(record)]) == 2
    assert "model=lean,seed=1 is a link" in capsys.readouterr().err
    assert _tree(outside) == before


def test_restore_shows_no_command_that_is_none(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(FROZEN / SWEEP, tmp_path / SWEEP)
    content = json.loads((tmp_path / SWEEP / "sweep.json").read_text())
    (tmp_path / SWEEP / "sweep.json").write_text(json.dumps(content | {"command": ["train.py", {"a": 1}]}))
    assert restore.main([str(tmp_path / SWEEP), "--output", str(tmp_path / "restored")]) == 2
    assert capsys.readouterr().err == f"error: {tmp_path / SWEEP / 'sweep.json'}: command is no list of words\n"


def test_restore_reads_no_device(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(FROZEN / SWEEP, tmp_path / SWEEP)
    checkpoint = tmp_path / SWEEP / "model=lean,seed=2" / "checkpoint.pt"
    checkpoint.unlink()
    checkpoint.symlink_to("/dev/zero")
    with _time_limit():
        assert restore.main([str(tmp_path / SWEEP), "--output", str(tmp_path / "restored")]) == 2
    assert capsys.readouterr().err == f"error: {checkpoint}: can't be read (not a regular file)\n"
    assert not (tmp_path / "restored").exists()


def _tree(path: Path) -> dict[Path, tuple[int, bytes | None]]:
    """Return the time and the content of a file, or of all that a folder holds."""
    files = [path, *path.rglob("*")]
    return {file: (file.stat().st_mtime_ns, file.read_bytes() if file.is_file() else None) for file in files}
