"""Records of attempts that are torn, damaged or can't be read at present, and the leases that stand in them."""

import errno
import json
import os
import time
from pathlib import Path

import pytest

from mnist_resnet.attempts import LeaseMonitor, attempt_file, attempts, read_attempt
from mnist_resnet.job_folder import UnreadableFolder
from mnist_resnet.jobs.lease import close_dead_attempt, wait_for_lease
from mnist_resnet.stored_file import read_stored
from tests.jobs.lease_holders import acquired, wait_for, written_elsewhere


@pytest.mark.parametrize("content", ["", "{", "[]", '{"pid": "x"}', "\x00\xff", '{"pid": -1, "process_started": 1}'])
def test_a_torn_attempt_is_taken_for_a_holder_that_may_live(tmp_path: Path, content: str) -> None:
    file = written_elsewhere(tmp_path)
    file.write_text(content)
    monitor = LeaseMonitor(stale_after=0.05)
    assert monitor.state(tmp_path) == "held"
    assert wait_for(lambda: monitor.state(tmp_path) == "dead")
    acquired(tmp_path, monitor).release("completed")
    assert [attempt["status"] for attempt in attempts(tmp_path)] == ["interrupted", "completed"]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("started", "yesterday"), ("started", "2026-11-29T10:00:00"), ("ended", ["x"]), ("ended", 3)),
        *(("status", []), ("host", {}), ("pid", "1"), ("worker", [1])),
    ],
)
def test_a_damaged_entry_of_a_record_counts_as_missing(tmp_path: Path, key: str, value: object) -> None:
    acquired(tmp_path, facts={"worker": 1}).release("completed")
    file = attempt_file(tmp_path, 1)
    file.write_text(json.dumps(read_attempt(file) | {key: value}))
    assert key not in read_attempt(file)
    assert [attempt["number"] for attempt in attempts(tmp_path)] == [1]


class Unreadable:
    """A file server that answers each read of a record with an error, as long as it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.error: int | None = None

        def read(path: Path, most: int) -> bytes:
            if self.error is not None:
                raise OSError(self.error, os.strerror(self.error))
            return read_stored(path, most)

        monkeypatch.setattr("mnist_resnet.attempts.read_stored", read)
        monkeypatch.setattr("mnist_resnet.job_folder.PAUSES", (0.01,))


@pytest.mark.parametrize("error", [errno.EIO, errno.ESTALE, errno.EMFILE])
def test_a_record_that_cannot_be_read_is_not_a_lost_lease(
    error: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk, held = Unreadable(monkeypatch), acquired(tmp_path, heartbeat=0.01)
    disk.error = error
    time.sleep(0.1)
    held.verify()
    assert not held.lost
    with pytest.raises(OSError, match=os.strerror(error)):
        held.check()
    disk.error = None
    held.check()
    held.release("completed")


def test_a_record_that_cannot_be_read_is_not_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written_elsewhere(tmp_path)
    disk, monitor = Unreadable(monkeypatch), LeaseMonitor(stale_after=0.05)
    disk.error = errno.EIO
    assert not wait_for(lambda: monitor.state(tmp_path) != "held", 0.3)
    assert "can't be read at present" in monitor.observe(tmp_path).error
    disk.error = None
    assert wait_for(lambda: monitor.state(tmp_path) == "dead")


def test_a_lease_that_can_never_be_read_is_given_up_after_the_time_stated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written_elsewhere(tmp_path)
    disk, monitor = Unreadable(monkeypatch), LeaseMonitor(stale_after=0.3)
    disk.error = errno.EIO
    seen = monitor.observe(tmp_path)
    assert (seen.state, seen.given_up) == ("held", False)
    assert seen.holder == f"{tmp_path} can't be read at present (Input/output error)"
    assert wait_for(lambda: monitor.observe(tmp_path).given_up)
    assert monitor.observe(tmp_path).state == "held", "nobody takes what can't be read"
    disk.error = None
    assert not monitor.observe(tmp_path).given_up
    disk.error = errno.EIO
    assert not monitor.observe(tmp_path).given_up, "the time starts again"


def test_waiting_for_a_lease_names_the_holder_and_ends_if_it_cannot_be_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mnist_resnet.jobs.lease.SILENT_WAIT", 0.05)
    written_elsewhere(tmp_path)
    lines: list[str] = []
    taken = wait_for_lease(tmp_path, LeaseMonitor(stale_after=0.3), lines.append)
    assert (taken.number, lines) == (2, ["held by process 1 on elsewhere"])
    taken.release("completed")
    Unreadable(monkeypatch).error = errno.EIO
    with pytest.raises(UnreadableFolder, match=r"can't be read at present \(Input/output error\)"):
        wait_for_lease(tmp_path, LeaseMonitor(stale_after=0.3), lines.append)
    assert lines[1:] == [f"{tmp_path} can't be read at present (Input/output error)"]


def test_what_cannot_be_read_is_neither_counted_nor_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = written_elsewhere(tmp_path, status="interrupted", reason="out of memory", ended="2026-11-24T20:01:00+00:00")
    before, disk = file.read_text(), Unreadable(monkeypatch)
    disk.error = errno.EIO
    with pytest.raises(OSError, match="Input/output"):
        attempts(tmp_path)
    with pytest.raises(OSError, match="Input/output"):
        close_dead_attempt(tmp_path, 1, "died")
    assert file.read_text() == before
