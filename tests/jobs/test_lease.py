"""Leases: exactly one process on all machines holds a job, until it releases it or is known to be dead."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mnist_resnet.attempts import LeaseMonitor, LeaseView, attempts
from mnist_resnet.errors import UsageError
from mnist_resnet.jobs.lease import Lease, LeaseLost, acquire_lease
from tests.jobs.lease_holders import acquired, wait_for, written_elsewhere

REPOSITORY = Path(__file__).parents[2]

HOLD = """
import sys, time
from pathlib import Path
from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.jobs.lease import Lease, LeaseLost, acquire_lease, close_dead_attempt
held = acquire_lease(Path(sys.argv[1]), LeaseMonitor(), heartbeat=0.02)
print("held" if held else "none", flush=True)
sys.stdin.readline()
print("in force" if held.in_force() else "lost", held.lost, flush=True)
try:
    held.release("completed")
except Exception as error:
    print(type(error).__name__, error, flush=True)
"""

# What a process on another machine calls itself; the rest is the real thing.
ELSEWHERE = "import socket; socket.gethostname = lambda: 'elsewhere'\n"

NO_HARD_LINKS = """
import errno, os
def link(*args, **kwargs): raise PermissionError(errno.EPERM, "Operation not permitted")
os.link = link
"""

RACE = """
import random, sys
from pathlib import Path
from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.jobs.lease import Lease, LeaseLost, acquire_lease, close_dead_attempt
folders = sorted(Path(sys.argv[1]).iterdir())
random.Random(sys.argv[2]).shuffle(folders)
monitor = LeaseMonitor()
print("ready", flush=True)
sys.stdin.readline()
held = [lease for lease in (acquire_lease(folder, monitor) for folder in folders[:10] + folders) if lease]
print(*(lease.folder.name for lease in held), flush=True)
sys.stdin.readline()
"""

CHURN = """
import sys
from pathlib import Path
from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.jobs.lease import Lease, LeaseLost, acquire_lease, close_dead_attempt
monitor = LeaseMonitor()
print("ready", flush=True)
while True:
    held = acquire_lease(Path(sys.argv[1]), monitor, heartbeat=0.001)
    held.release("interrupted")
"""

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a real process on a program text; it is killed at the end if it is still there."""
    processes: list[subprocess.Popen[str]] = []

    def start_process(program: str, *arguments: object) -> "subprocess.Popen[str]":
        process = subprocess.Popen(
            [sys.executable, "-c", program, *map(str, arguments)],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start_process
    for process in processes:
        process.kill()
        process.communicate()


def says(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: "subprocess.Popen[str]") -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_a_job_is_free_then_held_then_released(tmp_path: Path) -> None:
    folder, monitor = tmp_path / "job", LeaseMonitor()
    assert monitor.state(folder) == "free"
    held = acquired(folder, monitor, facts={"commit": "abc", "dirty": False})
    assert held.number == 1
    assert held.in_force()
    assert monitor.state(folder) == "held"
    assert acquire_lease(folder, monitor) is None
    assert (
        attempts(folder)[0] | {"commit": "abc", "dirty": False, "pid": os.getpid(), "status": "running"}
        == (attempts(folder)[0])
    )
    held.release("failed")
    assert monitor.state(folder) == "released"
    with acquired(folder, monitor) as again:
        assert again.number == 2
    assert [(attempt["number"], attempt["status"]) for attempt in attempts(folder)] == [(1, "failed"), (2, "completed")]
    assert all(attempt["ended"] for attempt in attempts(folder))


@pytest.mark.parametrize(("error", "status"), [(ValueError(), "failed"), (KeyboardInterrupt(), "interrupted")])
def test_a_job_that_raises_is_released(tmp_path: Path, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)), acquired(tmp_path):
        raise error
    assert LeaseMonitor().state(tmp_path) == "released"
    assert attempts(tmp_path)[0]["status"] == status


def test_the_heartbeat_ends_with_the_lease(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    held = acquired(tmp_path, heartbeat=0.01)
    beating = set(threading.enumerate()) - before
    assert len(beating) == 1
    held.release("completed")
    assert not beating & set(threading.enumerate())


@pytest.mark.parametrize("machine", ["", NO_HARD_LINKS], ids=["hard links", "no hard links"])
def test_of_eight_processes_one_gets_each_job(tmp_path: Path, start: Start, machine: str) -> None:
    for number in range(50):
        (tmp_path / str(number)).mkdir()
    processes = [start(machine + RACE, tmp_path, number) for number in range(8)]
    for process in processes:
        assert says(process) == "ready"
    for process in processes:
        tell(process)
    won = [name for process in processes for name in says(process).split()]
    assert sorted(won) == sorted(folder.name for folder in tmp_path.iterdir())
    assert {file.name for file in tmp_path.glob("*/attempts/*")} == {"0001.json"}


def test_a_killed_holder_on_this_machine_is_noticed_at_once(tmp_path: Path, start: Start) -> None:
    holder = start(HOLD, tmp_path)
    assert says(holder) == "held"
    assert LeaseMonitor().state(tmp_path) == "held"
    holder.kill()
    # Not waited for: a process that nobody has asked after is still in the table, and dead all the same.
    assert wait_for(lambda: LeaseMonitor().state(tmp_path) == "dead")
    holder.wait()
    assert LeaseMonitor().state(tmp_path) == "dead"
    assert acquired(tmp_path).number == 2
    assert [attempt["status"] for attempt in attempts(tmp_path)] == ["interrupted", "running"]


def test_a_stopped_holder_on_this_machine_holds(tmp_path: Path, start: Start) -> None:
    holder, monitor = start(HOLD, tmp_path), LeaseMonitor(stale_after=0.05)
    assert says(holder) == "held"
    holder.send_signal(signal.SIGSTOP)
    assert not wait_for(lambda: monitor.state(tmp_path) != "held", 0.3)
    holder.send_signal(signal.SIGCONT)
    tell(holder)
    assert says(holder) == "in force False"


def test_a_process_id_used_again_is_not_the_holder(tmp_path: Path) -> None:
    held = acquired(tmp_path)
    file = tmp_path / "attempts" / "0001.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"process_started": record["process_started"] - 1}))
    assert LeaseMonitor().state(tmp_path) == "dead"
    held.release("interrupted")


def test_a_silent_holder_elsewhere_is_dead_after_the_time_stated_and_not_before(tmp_path: Path) -> None:
    written_elsewhere(tmp_path)
    monitor, begun = LeaseMonitor(stale_after=0.4), time.monotonic()
    assert acquire_lease(tmp_path, monitor) is None
    assert wait_for(lambda: monitor.state(tmp_path) == "dead")
    assert time.monotonic() - begun >= 0.4
    assert LeaseMonitor(stale_after=0.4).state(tmp_path) == "held"
    assert acquired(tmp_path, monitor).number == 2


def test_one_long_gap_between_two_looks_kills_nobody(tmp_path: Path) -> None:
    written_elsewhere(tmp_path)
    monitor = LeaseMonitor(stale_after=0.1)
    assert monitor.state(tmp_path) == "held"
    time.sleep(0.2)
    assert monitor.state(tmp_path) == "held"


@pytest.mark.parametrize("clock", [-600, 600])
def test_a_beating_holder_elsewhere_lives_whatever_its_clock_says(tmp_path: Path, clock: int) -> None:
    file, monitor = written_elsewhere(tmp_path), LeaseMonitor(stale_after=0.2)
    until = time.monotonic() + 0.6
    while time.monotonic() < until:
        os.utime(file, (time.time() + clock, time.time() + clock))
        assert monitor.state(tmp_path) == "held"
        time.sleep(0.02)
    assert wait_for(lambda: monitor.state(tmp_path) == "dead")


def test_a_real_holder_elsewhere_beats(tmp_path: Path, start: Start) -> None:
    holder, monitor = start(ELSEWHERE + HOLD, tmp_path), LeaseMonitor(stale_after=1.0)
    assert says(holder) == "held"
    assert not wait_for(lambda: monitor.state(tmp_path) != "held", 2.0)
    holder.kill()
    assert monitor.state(tmp_path) == "held"
    assert wait_for(lambda: monitor.state(tmp_path) == "dead")


def test_a_holder_that_was_cut_off_finds_its_job_taken(tmp_path: Path, start: Start) -> None:
    holder, monitor = start(ELSEWHERE + HOLD, tmp_path), LeaseMonitor(stale_after=0.2)
    assert says(holder) == "held"
    holder.send_signal(signal.SIGSTOP)
    assert wait_for(lambda: monitor.state(tmp_path) == "dead")
    successor = acquired(tmp_path, monitor)
    holder.send_signal(signal.SIGCONT)
    tell(holder)
    assert says(holder).startswith("lost")
    assert says(holder).startswith("LeaseLost")
    assert successor.in_force()
    successor.release("completed")
    assert [attempt["status"] for attempt in attempts(tmp_path)] == ["interrupted", "completed"]


def test_the_heartbeat_notices_a_successor(tmp_path: Path) -> None:
    held = acquired(tmp_path, heartbeat=0.01)
    assert not held.lost
    written_elsewhere(tmp_path, number=2)
    assert wait_for(lambda: held.lost)
    with pytest.raises(LeaseLost, match=r"attempt 1 .* taken over by process 1 on elsewhere"):
        held.check()


def test_a_lease_whose_folder_was_removed_is_lost(tmp_path: Path) -> None:
    held = acquired(tmp_path / "job", heartbeat=0.01)
    (tmp_path / "job").rename(tmp_path / "old")
    again = acquired(tmp_path / "job")
    assert again.number == 1
    with pytest.raises(LeaseLost):
        held.check()
    assert wait_for(lambda: held.lost)
    again.check()


def test_an_error_is_not_hidden_by_the_loss_of_the_lease(tmp_path: Path) -> None:
    held = acquired(tmp_path)
    written_elsewhere(tmp_path, number=2)
    with pytest.raises(ValueError, match="the job's"), held:
        raise ValueError("the job's")


def test_a_decision_from_an_old_observation_takes_over_from_no_holder(tmp_path: Path) -> None:
    class Slow(LeaseMonitor):
        def observe(self, folder: Path) -> LeaseView:
            """Another process acquires between this observation and what follows from it."""
            seen = super().observe(folder)
            rivals.append(acquired(folder))
            return seen

    rivals: list[Lease] = []
    assert acquire_lease(tmp_path, Slow()) is None
    (rival,) = rivals
    assert rival.in_force()


def test_kill_at_any_moment_leaves_a_job_that_can_be_acquired(tmp_path: Path, start: Start) -> None:
    for _ in range(8):
        process = start(CHURN, tmp_path)
        assert says(process) == "ready"
        time.sleep(random.uniform(0, 0.03))
        process.kill()
        process.wait()
        with acquired(tmp_path):
            # Whatever was left beside is gone, and every attempt that can be seen is whole.
            assert not list(tmp_path.glob("attempts/.*"))
        listed = attempts(tmp_path)
        assert [attempt["number"] for attempt in listed] == list(range(1, len(listed) + 1))
        assert all("host" in attempt for attempt in listed)


def test_foreign_files_are_left_alone_and_leftovers_of_killed_processes_are_not(tmp_path: Path) -> None:
    folder = tmp_path / "attempts"
    folder.mkdir()
    (folder / ".0001.json.k3j2x_1a").write_text("{")
    foreign = ["notes.txt", "1.json", "0000.json", "00001.json", "0001.json.bak", ".DS_Store", "٠٠٠١.json"]
    for name in foreign:
        (folder / name).write_text("mine")
    with acquired(tmp_path) as held:
        assert held.number == 1
    assert all((folder / name).read_text() == "mine" for name in foreign)
    assert {file.name for file in folder.iterdir()} == {*foreign, "0001.json"}
    assert len(attempts(tmp_path)) == 1


def test_numbers_go_on_past_four_digits(tmp_path: Path) -> None:
    written_elsewhere(tmp_path, number=9999, ended="2026-11-24T20:00:00+00:00")
    acquired(tmp_path).release("completed")
    assert acquired(tmp_path).number == 10001


def test_a_full_disk_acquires_nothing(tmp_path: Path, start: Start) -> None:
    program = """
import resource, sys
from pathlib import Path
from mnist_resnet.errors import UsageError
from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.jobs.lease import Lease, LeaseLost, acquire_lease, close_dead_attempt
resource.setrlimit(resource.RLIMIT_FSIZE, (20, 20))
try:
    acquire_lease(Path(sys.argv[1]), LeaseMonitor())
except UsageError as error:
    print(error, flush=True)
sys.stdin.readline()
"""
    assert str(tmp_path) in says(start(program, tmp_path))
    assert LeaseMonitor().state(tmp_path) == "free"
    assert not list((tmp_path / "attempts").iterdir())


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "attempts").touch()
    with pytest.raises(UsageError, match=str(tmp_path)):
        acquire_lease(tmp_path, LeaseMonitor())


def test_a_read_only_folder_is_named() -> None:
    user = os.geteuid()
    with tempfile.TemporaryDirectory() as there:
        folder = Path(there) / "job"
        folder.mkdir()
        folder.chmod(0o555)
        Path(there).chmod(0o755)
        # Root may write anywhere.
        os.seteuid(65534 if user == 0 else user)
        try:
            with pytest.raises(UsageError, match=f"{folder}: .*Permission denied"):
                acquire_lease(folder, LeaseMonitor())
        finally:
            os.seteuid(user)


def test_job_is_not_acquired_on_an_outdated_view_of_its_last_attempt(tmp_path: Path) -> None:
    folder = tmp_path / "job"
    first = acquire_lease(folder, LeaseMonitor(), after=0)
    assert first is not None
    first.release("completed")
    assert acquire_lease(folder, LeaseMonitor(), after=0) is None
    second = acquire_lease(folder, LeaseMonitor(), after=1)
    assert second is not None
    assert second.number == 2
    second.release("completed")


def test_a_lease_given_up_without_a_release_is_dead_in_its_own_process_too(tmp_path: Path) -> None:
    acquired(tmp_path).abandon()
    assert LeaseMonitor().state(tmp_path) == "dead"
    assert acquired(tmp_path).number == 2


def test_verifying_asks_the_disk_only_if_the_last_answer_is_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = acquired(tmp_path)
    written_elsewhere(tmp_path, number=2)
    held.verify()
    monkeypatch.setattr("mnist_resnet.jobs.lease.VERIFY_AFTER", 0.0)
    with pytest.raises(LeaseLost, match="taken over by process 1 on elsewhere"):
        held.verify()
