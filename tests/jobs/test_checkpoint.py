"""Checkpoints: always a valid one, never waited for, never of another job, and nothing in them is run."""

import pickle
import subprocess
import sys
import threading
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy
import pytest
import torch

from mnist_resnet.job_folder import CHECKPOINT, PREVIOUS_CHECKPOINT
from mnist_resnet.jobs import checkpoint
from mnist_resnet.jobs.checkpoint import PLAIN_STATE, Checkpoints, State, load_checkpoint
from mnist_resnet.jobs.weights import drop_checkpoints
from tests.small_training import REPOSITORY

MINE = "my job"


def keeper(folder: Path, **options: Any) -> Checkpoints:
    wanted: dict[str, Any] = {"interval": 0.0, "every": None, "may_write": lambda: None}
    return Checkpoints(folder, MINE, **(wanted | options))


def numbered(number: int) -> Callable[[], State]:
    return lambda: {"number": number, "weights": torch.full((1000,), float(number))}


def found(folder: Path) -> tuple[int | None, list[str]]:
    state, remarks = load_checkpoint(folder, MINE)
    return None if state is None else state["number"], remarks


def cut(path: Path, to: float) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * to)])


def flip_a_weight(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[content.index(torch.full((100,), 2.0).numpy().tobytes()) + 2] ^= 1
    path.write_bytes(content)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    for number in (1, 2):
        keeper(tmp_path).write_now(numbered(number))
    return tmp_path


def test_the_newest_is_loaded_and_the_one_before_kept(two: Path) -> None:
    assert found(two) == (2, [])
    (two / CHECKPOINT).unlink()
    assert found(two) == (1, [])
    (two / PREVIOUS_CHECKPOINT).unlink()
    assert found(two) == (None, [])


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_a_truncated_one_is_passed_over_for_the_one_before(two: Path, share: float) -> None:
    cut(two / CHECKPOINT, share)
    number, remarks = found(two)
    assert number == 1
    (remark,) = remarks
    assert remark.startswith("checkpoint.pt can't be read and was passed over")
    assert "\n" not in remark


def test_one_flipped_bit_of_a_weight_is_noticed(two: Path) -> None:
    flip_a_weight(two / CHECKPOINT)
    number, remarks = found(two)
    assert (number, len(remarks)) == (1, 1)


@pytest.mark.parametrize("content", [b"", b"no archive", pickle.dumps({"signature": MINE})])
def test_a_file_that_is_none_of_ours_is_passed_over(two: Path, content: bytes) -> None:
    (two / CHECKPOINT).write_bytes(content)
    number, remarks = found(two)
    assert (number, len(remarks)) == (1, 1)


def test_a_tensor_alone_is_no_checkpoint(two: Path) -> None:
    torch.save(torch.zeros(3), two / CHECKPOINT)
    number, remarks = found(two)
    assert (number, len(remarks)) == (1, 1)


def test_with_both_broken_the_job_starts_over_and_nothing_is_deleted(two: Path) -> None:
    cut(two / CHECKPOINT, 0.5)
    cut(two / PREVIOUS_CHECKPOINT, 0.5)
    number, remarks = found(two)
    assert number is None
    assert [remark.split()[0] for remark in remarks] == [CHECKPOINT, PREVIOUS_CHECKPOINT]
    assert {path.name for path in two.iterdir()} == {CHECKPOINT, PREVIOUS_CHECKPOINT}


def test_one_of_another_job_is_passed_over(two: Path) -> None:
    torch.save({"signature": "another job", **numbered(7)()}, two / CHECKPOINT)
    number, remarks = found(two)
    assert number == 1
    assert remarks == ["checkpoint.pt is of another job or version and was passed over"]


class Malicious:
    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.victim,)


def test_a_pickle_that_would_run_something_is_refused(two: Path) -> None:
    victim = two / "was here"
    torch.save({"signature": MINE, "number": Malicious(victim)}, two / CHECKPOINT)
    number, remarks = found(two)
    assert (number, len(remarks)) == (1, 1)
    assert not victim.exists()
    torch.load(two / CHECKPOINT, weights_only=False)
    assert victim.exists(), "it would have run"


def _list_of_lists(levels: int) -> list[Any]:
    """Return a list of two to the power of `levels` values that takes a few bytes for each level."""
    inner: list[Any] = [0]
    for _ in range(levels):
        inner = [inner, inner]
    return inner


@pytest.mark.parametrize(
    "value", [_list_of_lists(40), torch.zeros(1).expand(1_000_000, 1_000_000), ["x" * 10_000] * 1_000]
)
def test_one_that_grows_when_it_is_unpacked_is_passed_over(two: Path, value: Any) -> None:
    torch.save({"signature": MINE, "number": 3, "value": value}, two / CHECKPOINT)
    number, (remark,) = found(two)
    assert number == 1
    assert "it unpacks to far more than its own size" in remark


def test_one_that_claims_many_objects_takes_no_memory_for_them(two: Path) -> None:
    # NONE, LONG_BINPUT: the object with this number is None.
    claims = b"\x80\x02Nr" + (100_000_000).to_bytes(4, "little") + b"."
    with zipfile.ZipFile(two / CHECKPOINT, "w") as archive:
        archive.writestr(PLAIN_STATE, claims)
    tracemalloc.start()
    number, remarks = found(two)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (number, len(remarks)) == (1, 1)
    assert most < 50_000_000


def test_only_whole_files_ever_bear_the_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keeper(tmp_path).write_now(numbered(1))

    def save_half(_: State, file: BinaryIO) -> None:
        file.write(b"half")
        raise MemoryError

    monkeypatch.setattr("mnist_resnet.jobs.checkpoint._save", save_half)
    with pytest.raises(MemoryError):
        keeper(tmp_path).write_now(numbered(2))
    assert found(tmp_path) == (1, [])
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_training_goes_on_while_one_is_written_and_no_second_is_begun(tmp_path: Path) -> None:
    released, begun = threading.Event(), threading.Semaphore(0)

    def may_write() -> None:
        begun.release()
        assert released.wait(60)

    keep, asked = keeper(tmp_path, may_write=may_write), []

    def state(number: int) -> Callable[[], State]:
        return lambda: asked.append(number) or numbered(number)()  # type: ignore[func-returns-value]

    with keep.closing():
        keep.epoch_ended(state(1))
        assert begun.acquire(timeout=60)
        keep.epoch_ended(state(2))
        assert not (tmp_path / CHECKPOINT).exists()
        released.set()
    assert found(tmp_path) == (1, [])
    assert asked == [1], "the state is not even copied while another one is written"


def test_what_is_written_is_the_state_of_the_moment_though_training_goes_on(tmp_path: Path) -> None:
    released = threading.Event()
    keep = keeper(tmp_path, may_write=lambda: None if released.wait(60) else pytest.fail("never released"))
    weights, history = torch.ones(5), [{"epoch": 0}]
    with keep.closing():
        keep.epoch_ended(lambda: {"weights": weights, "history": history})
        weights.zero_()
        history[0]["epoch"] = 9
        history.append({"epoch": 1})
        released.set()
    state, _ = load_checkpoint(tmp_path, MINE)
    assert state is not None
    assert state["weights"].tolist() == [1] * 5
    assert state["history"] == [{"epoch": 0}]


LARGE = """
import resource, sys
from pathlib import Path
import torch
from mnist_resnet.jobs.checkpoint import Checkpoints
weights = [torch.full((20_000_000,), float(number)) for number in range(3)]
keep = Checkpoints(Path(sys.argv[1]), "my job", 0.0, None, lambda: None)
keep.write_now(lambda: {"weights": torch.zeros(2**19)})
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
with keep.closing():
    keep.epoch_ended(lambda: {"number": 1, "weights": weights})
    [tensor.fill_(9.0) for tensor in weights]
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < 80_000_000)
"""


def test_a_large_state_is_that_of_the_moment_and_takes_no_memory_for_a_copy(tmp_path: Path) -> None:
    command = [sys.executable, "-c", LARGE, str(tmp_path)]
    told = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert told.stdout == "True\n"
    state, _ = load_checkpoint(tmp_path, MINE)
    assert state is not None
    assert [(tensor.min().item(), tensor.max().item()) for tensor in state["weights"]] == [(0, 0), (1, 1), (2, 2)]


def test_large_tensors_that_share_memory_are_restored_each_by_itself(tmp_path: Path) -> None:
    whole = torch.arange(2.0**20)
    state: State = {"whole": whole, "bits": whole.view(torch.int32), "part": whole[:3], "turned": whole.view(2, -1).T}
    keeper(tmp_path).write_now(lambda: state)
    restored, _ = load_checkpoint(tmp_path, MINE)
    assert restored is not None
    assert all(torch.equal(restored[name], tensor) for name, tensor in state.items())
    assert len({restored[name].data_ptr() for name in state}) == 4
    assert (tmp_path / CHECKPOINT).stat().st_size < 3.1 * 4 * 2**20, "not all of it for three numbers"


def test_a_disk_that_keeps_training_waiting_is_written_to_meanwhile_from_then_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_resnet.jobs.checkpoint.SLOW_SECONDS", 0.0)
    monkeypatch.setattr("mnist_resnet.jobs.checkpoint.SLOW_BYTES", 1e18)
    weights, writers = torch.ones(2**20), []
    original = checkpoint._save

    def save(state: State, file: BinaryIO) -> None:
        writers.append(threading.current_thread() is threading.main_thread())
        original(state, file)

    monkeypatch.setattr("mnist_resnet.jobs.checkpoint._save", save)
    keep = keeper(tmp_path)
    for _ in range(3):
        with keep.closing():
            keep.epoch_ended(lambda: {"weights": weights})
            weights.add_(1.0)
    assert writers == [True, False, False]
    state, _ = load_checkpoint(tmp_path, MINE)
    assert state is not None
    assert state["weights"].unique().tolist() == [3.0]


def test_none_comes_sooner_than_the_interval(tmp_path: Path) -> None:
    keep = keeper(tmp_path, interval=1e6)
    with keep.closing():
        keep.epoch_ended(numbered(1))
        keep.step_ended(1, numbered(2))
    assert list(tmp_path.iterdir()) == []
    keep.write_now(numbered(3))
    assert found(tmp_path) == (3, [])


@pytest.mark.parametrize(
    ("every", "interval", "written"),
    [(None, 1e6, []), (None, 0.0, [1, 2, 3, 4, 5, 6]), (1, 1e6, [1, 2, 3, 4, 5, 6]), (3, 1e6, [3, 6]), (7, 0.0, [])],
)
def test_steps_are_saved_by_the_clock_or_by_their_number(
    tmp_path: Path, every: int | None, interval: float, written: list[int]
) -> None:
    there = []
    for step in range(1, 7):
        keep = keeper(tmp_path, every=every, interval=interval)
        with keep.closing():
            keep.step_ended(step, numbered(step))
        there.append(found(tmp_path)[0])
    assert sorted(set(there) - {None}, key=str) == written


def test_the_end_of_an_epoch_is_saved_where_steps_are_counted(tmp_path: Path) -> None:
    keep = keeper(tmp_path, every=1000, interval=1e6)
    with keep.closing():
        keep.epoch_ended(numbered(938))
    assert found(tmp_path) == (938, [])


def test_a_minute_counts_from_the_last_one_in_the_middle_of_an_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, saved = [1000.0], []
    monkeypatch.setattr("mnist_resnet.jobs.checkpoint.time.monotonic", lambda: now[0])
    keep = keeper(tmp_path, interval=60.0)
    for step in range(1, 100):
        now[0] += 7.0
        with keep.closing():
            keep.step_ended(step, lambda step=step: saved.append(step) or numbered(step)())  # type: ignore[misc,func-returns-value]
    assert saved[:4] == [1, 9, 18, 27], "the first step's is only checked"


def one_that_reports(folder: Path) -> tuple[Checkpoints, list[str]]:
    lines: list[str] = []
    return keeper(folder, report=lines.append), lines


def test_a_state_that_can_not_be_restored_is_named_once_and_before_the_first_step(tmp_path: Path) -> None:
    keep, lines = one_that_reports(tmp_path)

    def state() -> State:
        return {"weights": torch.zeros(3), "schedule": {"anneal": [0.1, tmp_path]}}

    keep.check(state)
    (line,) = lines
    kind = f"{type(tmp_path).__module__}.PosixPath"
    assert line == (
        f"no checkpoints, a job that is interrupted starts over: schedule.anneal.1 is of type {kind}, "
        f"which can't be restored"
    )
    with keep.closing():
        keep.epoch_ended(state)
        keep.step_ended(1, state)
        keep.write_now(state)
    assert len(lines) == 1
    assert list(tmp_path.iterdir()) == []
    assert keep.seconds_at_risk is None


def test_what_the_first_step_adds_to_the_state_is_checked_then(tmp_path: Path) -> None:
    lines: list[str] = []
    keep = keeper(tmp_path, interval=1e6, report=lines.append)
    keep.check(lambda: {"optimizer": {}})
    assert lines == []
    for step in (1, 2):
        keep.step_ended(step, lambda: {"optimizer": {"state": iter("ab")}})
    (line,) = lines
    assert "starts over: optimizer.state is of type builtins.str_" in line


def test_the_first_one_is_read_back_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep, lines = one_that_reports(tmp_path)
    monkeypatch.setattr("mnist_resnet.jobs.checkpoint.pack", lambda value, *_: value)
    with keep.closing():
        keep.epoch_ended(lambda: {"a": 1, "lr": (1, numpy.float64(0.1))})  # PyTorch writes it and never reads it
    (line,) = lines
    assert ": state.lr.1 is of type numpy.float64, which can't be restored" in line
    assert list(tmp_path.iterdir()) == []


def test_values_that_read_back_as_others_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep, lines = one_that_reports(tmp_path)
    monkeypatch.setattr("mnist_resnet.jobs.checkpoint._read", lambda *_, **__: {"optimizer": {"betas": [0.9, 0.99]}})
    with keep.closing():
        keep.epoch_ended(lambda: {"optimizer": {"betas": (0.9, 0.99)}})
    (line,) = lines
    assert "optimizer.betas is of type tuple, and reads back as list" in line
    assert list(tmp_path.iterdir()) == []


def test_only_the_first_one_is_read_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = keeper(tmp_path)
    keep.write_now(numbered(1))
    monkeypatch.setattr("mnist_resnet.jobs.checkpoint._read", lambda _: pytest.fail("read again"))
    keep.write_now(numbered(2))


def test_an_error_in_the_background_surfaces_at_the_end(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    folder.mkdir()
    keep = keeper(folder)
    folder.rmdir()
    with pytest.raises(FileNotFoundError), keep.closing():
        keep.epoch_ended(numbered(1))


def save_until_it_raises(keep: Checkpoints) -> None:
    while True:  # the writer's thread may need a moment more to end
        keep.epoch_ended(numbered(2))


def test_an_error_in_the_background_surfaces_at_the_next_checkpoint(tmp_path: Path) -> None:
    lost = threading.Event()

    def may_write() -> None:
        lost.set()
        raise LookupError("another process has the job")

    keep = keeper(tmp_path, may_write=may_write)
    keep.epoch_ended(numbered(1))
    assert lost.wait(60)
    with pytest.raises(LookupError, match="another process has the job"):
        save_until_it_raises(keep)
    assert list(tmp_path.iterdir()) == []


def test_the_error_that_ends_a_run_is_not_hidden_by_a_checkpoint_s(tmp_path: Path) -> None:
    keep = keeper(tmp_path / "not there")
    keep.epoch_ended(numbered(1))
    with pytest.raises(ZeroDivisionError), keep.closing():
        raise ZeroDivisionError


FULL = """
import resource, sys
from pathlib import Path
import torch
from mnist_resnet.jobs.checkpoint import Checkpoints
keep = Checkpoints(Path(sys.argv[1]), "my job", 0.0, None, lambda: None)
keep.write_now(lambda: {"number": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
try:
    with keep.closing():
        keep.epoch_ended(lambda: {"number": 2, "weights": torch.zeros(1_000_000)})
except OSError as error:
    print(type(error).__name__, error)
"""


def test_a_file_that_the_disk_has_no_room_for_is_called_that_and_the_one_before_stays(tmp_path: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-c", FULL, str(tmp_path)], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert told.stdout == "OSError [Errno 27] File too large\n"
    assert found(tmp_path) == (1, [])
    assert [path.name for path in tmp_path.iterdir()] == [CHECKPOINT]


def test_what_a_killed_writer_left_is_removed_by_the_next_and_with_the_checkpoints(two: Path) -> None:
    left_over = two / f".{CHECKPOINT}.123"
    left_over.write_bytes(b"half of one")
    keeper(two)
    assert not left_over.exists()
    left_over.write_bytes(b"half of one")
    (two / "metrics.jsonl").touch()
    drop_checkpoints(two)
    assert [path.name for path in two.iterdir()] == ["metrics.jsonl"]
    drop_checkpoints(two)


def test_files_are_archives_that_hold_no_code(two: Path) -> None:
    with zipfile.ZipFile(two / CHECKPOINT) as archive:
        assert archive.testzip() is None
        assert not [name for name in archive.namelist() if name.endswith(".py")]
