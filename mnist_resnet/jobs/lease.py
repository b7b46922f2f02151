"""Who runs a job: the one mechanism, between processes and between machines on a shared file system.

A job folder has numbered attempts, `attempts/0001.json` and on. The one with the highest number is the claim in force.
Creating the next number is atomic and fails where it exists, so that of all who want a job one gets it. No locks and no
clocks are relied on:

- Its holder touches the file every `HEARTBEAT` seconds. An observer compares the file's time only with what it saw
  there before, and calls a holder dead when nothing changed for `STALE_AFTER` (60) seconds of its own watching.
- On the same machine (host, boot and process namespace are the same; known on Linux alone) the process table decides: a
  holder whose process is gone is dead at once, one whose process is there holds, even when it is stopped.
- A holder that was cut off and comes back finds a higher number: `lost` is set, `check` raises. It must check before
  each write; what it writes in the instant between the two can't be undone, so keep them together.

On NFS other machines' files are seen some seconds late (attribute cache), up to a minute for a *new* file with the
default mount; taking a claim asks the server itself and is exact.
"""

import errno
import json
import os
import re
import secrets
import socket
import tempfile
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import FORMAT, Status, write_atomically

HEARTBEAT = 5.0
"""Seconds between two signs of life of a holder."""

STALE_AFTER = 60.0
"""Seconds without a sign of life, watched, after which a holder on another machine is called dead."""

STALE_VARIABLE = "MNIST_RESNET_STALE_AFTER"
"""Environment variable with other seconds than `STALE_AFTER`: more for a file server that is often away for longer."""

SHORTEST_WATCH = 4
"""Looks that it takes at least, after the first, to call a holder dead: one gap counts for a quarter of `STALE_AFTER`.

When a file server comes back after minutes, the observer may look before the holder could touch its file.
"""

ATTEMPTS = "attempts"
NUMBERED = re.compile(r"(?!0000)(\d{4}|[1-9]\d{4,})\.json", re.ASCII)
UNLISTED = {"format", "owner", "boot", "namespace", "process_started"}
LEFTOVER = re.compile(r"\.\d{4,}\.json\..+", re.ASCII)

# What file systems without hard links (FAT, some FUSE) answer to os.link.
NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK}

State = Literal["free", "held", "dead", "released"]
"""Of a job: never claimed, held (or not known to be dead yet), its holder died, its last holder let it go."""


class LeaseLost(Exception):
    """The job was taken over by a later attempt; its former holder must write nothing more."""


class Lease:
    """A job held by this process, until `release`, or until a later attempt takes over.

    As a context manager it is released on leaving: as `failed` or `interrupted` where an exception passes through, as
    `completed` otherwise, unless `release` was called before.

    Attributes:
        folder: the job folder.
        number: of this attempt, from 1.
    """

    def __init__(self, folder: Path, number: int, record: dict[str, Any], heartbeat: float) -> None:
        self.folder = folder
        self.number = number
        self._file = _attempt_file(folder, number)
        self._record = record
        self._heartbeat = heartbeat
        self._lost = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat of {folder.name}", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether the heartbeat noticed that a later attempt took over; costs nothing, and is up to a beat late."""
        return self._lost.is_set()

    def in_force(self) -> bool:
        """Whether no later attempt has taken over, and the attempt's file is still there: asks the disk."""
        return (
            _read(self._file).get("owner") == self._record["owner"]
            and not _attempt_file(self.folder, self.number + 1).exists()
        )

    def check(self) -> None:
        """To be called before each write to the job folder.

        Raises:
            ClaimLost: the claim is no longer in force.
        """
        if self.lost or not self.in_force():
            self._lost.set()
            successor = _read(_attempt_file(self.folder, self.number + 1))
            by = f"taken over by process {successor.get('pid')} on {successor.get('host')}" if successor else "removed"
            raise LeaseLost(f"{self.folder}: attempt {self.number} of this process was {by}")

    def release(self, status: str) -> None:
        """Let the job go, for good: the attempt's file says how it ended, whatever becomes of this process.

        Raises:
            ClaimLost: the claim was lost before; nothing is written.
        """
        self._stop_beating()
        self.check()
        try:
            write_atomically(self._file, _text(self._record | {"ended": _now(), "status": str(status)}))
        except FileNotFoundError:
            # Taken over after the check, and swept up by the successor.
            self.check()
            raise

    def _beat(self) -> None:
        while not self._stop.wait(self._heartbeat):
            try:
                os.utime(self._file)
                in_force = self.in_force()
            except FileNotFoundError:
                in_force = False
            except OSError:
                # The disk may come back. If it takes too long, somebody takes over, and that is seen here.
                continue
            if not in_force:
                self._lost.set()
                return

    def _stop_beating(self) -> None:
        self._stop.set()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._stop.is_set():
            return
        if error is None:
            self.release(Status.COMPLETED)
            return
        # What is passing through says more than a full disk or a claim that is lost as well.
        with suppress(OSError, LeaseLost):
            self.release(Status.FAILED if isinstance(error, Exception) else Status.INTERRUPTED)
        self._stop_beating()


@dataclass(frozen=True)
class _Look:
    mtime: int | None
    at: float
    silence: float


class LeaseView(NamedTuple):
    """What a look at a job folder showed: its highest attempt (0: none), that one's state, and its record."""

    number: int
    state: State
    record: Mapping[str, Any]


class LeaseMonitor:
    """Remembers what an observer has seen of holders on other machines; keep one for all folders, and look often.

    Args:
        stale_after: seconds; None: `STALE_AFTER`, or what the environment says. A single gap between two looks counts
            for a quarter of it at most.

    Raises:
        UsageError: the environment says no number of seconds.
    """

    def __init__(self, stale_after: float | None = None) -> None:
        self.stale_after = _stale_after() if stale_after is None else stale_after
        self._looks: dict[Path, _Look] = {}

    def state(self, folder: Path) -> State:
        """Who has the job in `folder`, as far as is known by now."""
        return self.observe(folder).state

    def observe(self, folder: Path) -> LeaseView:
        """The state and the number of the attempt that it is the state of."""
        number = max(_numbers(folder), default=0)
        if number == 0:
            return LeaseView(0, "free", {})
        file = _attempt_file(folder, number)
        record = _read(file)
        if record.get("ended") is not None:
            return LeaseView(number, "released", record)
        runs = _runs(record)
        if runs is None:
            runs = not self._is_silent(file)
        return LeaseView(number, "held" if runs else "dead", record)

    def _is_silent(self, file: Path) -> bool:
        mtime, now = _mtime(file), time.monotonic()
        before = self._looks.get(file)
        silence = 0.0
        if before is not None and before.mtime == mtime:
            silence = before.silence + min(now - before.at, self.stale_after / SHORTEST_WATCH)
        self._looks[file] = _Look(mtime, now, silence)
        return silence >= self.stale_after


def acquire_lease(
    folder: Path,
    monitor: LeaseMonitor,
    facts: Mapping[str, Any] | None = None,
    heartbeat: float = HEARTBEAT,
    after: int | None = None,
) -> Lease | None:
    """Take the job in `folder`, unless somebody holds it; the folder is made if it is missing.

    A job that was released can be claimed again. Whether it should be is the caller's to decide, from `result.json` as
    it is *after* claiming: another may have completed the job since it was last read.

    Args:
        folder: the job folder.
        monitor: the observer's memory; the same in every call.
        facts: more to be said in the attempt's record, such as the commit.
        heartbeat: seconds between two signs of life.
        after: the attempt that must still be the last one (0: none), as the caller has seen what it came to.

    Returns:
        The claim, or None: somebody living, or not yet known to be dead, holds the job or was faster.

    Raises:
        UsageError: the folder can't be written.
    """
    try:
        seen = monitor.observe(folder)
        if seen.state == "held" or after not in (None, seen.number):
            return None
        number = seen.number + 1
        record = dict(facts or {}) | _new_record(number)
        (folder / ATTEMPTS).mkdir(parents=True, exist_ok=True)
        if not _create(_attempt_file(folder, number), record):
            return None
    except OSError as error:
        raise UsageError(f"{folder}: no job can run there ({error.strerror}); choose a folder to write in") from None
    _tidy(folder / ATTEMPTS)
    return Lease(folder, number, record, heartbeat)


def attempts(folder: Path) -> list[dict[str, Any]]:
    """All attempts at the job in `folder`, the first one first, as `result.json` lists them.

    `status` is what the attempt was released with; an attempt that never was is `interrupted`, and the last one
    `running`: whether it really runs, a `LeaseMonitor` says.
    """
    numbers = sorted(_numbers(folder))
    listed = []
    for number in numbers:
        record = _read(_attempt_file(folder, number))
        shown = {key: value for key, value in record.items() if key not in UNLISTED}
        unended = Status.RUNNING if number == numbers[-1] else Status.INTERRUPTED
        listed.append(shown | {"number": number, "status": record.get("status") or unended.value})
    return listed


def close_dead_attempt(folder: Path, number: int, reason: str) -> None:
    """Say in its own record how an attempt ended whose process can't any more.

    Args:
        folder: the job folder.
        number: of the attempt.
        reason: for people.
    """
    file = _attempt_file(folder, number)
    ended = {"ended": _now(), "status": Status.INTERRUPTED.value, "reason": reason}
    # A successor sweeps up what it finds unfinished; then it knows enough.
    with suppress(FileNotFoundError):
        write_atomically(file, _text(_read(file) | ended))


def _stale_after() -> float:
    said = os.environ.get(STALE_VARIABLE, str(STALE_AFTER))
    try:
        seconds = float(said)
    except ValueError:
        seconds = 0.0
    if not HEARTBEAT < seconds < float("inf"):
        raise UsageError(f"{STALE_VARIABLE}={said}: must be a number of seconds above {HEARTBEAT:g}")
    return seconds


def _attempt_file(folder: Path, number: int) -> Path:
    return folder / ATTEMPTS / f"{number:04d}.json"


def _numbers(folder: Path) -> list[int]:
    """Of all attempts, in no order; files that are none of ours are passed over."""
    try:
        names = [file.name for file in (folder / ATTEMPTS).iterdir()]
    except FileNotFoundError:
        return []
    return [int(match[1]) for match in map(NUMBERED.fullmatch, names) if match]


def _new_record(number: int) -> dict[str, Any]:
    pid = os.getpid()
    process = _process(pid)
    return {
        "format": FORMAT,
        "number": number,
        "owner": secrets.token_hex(16),
        **_machine(),
        "pid": pid,
        "process_started": process.started if process else None,
        "started": _now(),
        "ended": None,
        "status": None,
    }


def _create(file: Path, record: dict[str, Any]) -> bool:
    """Put `record` at `file`, whole from the first moment that it is seen; False if somebody was faster."""
    descriptor, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as opened:
            opened.write(_text(record))
            opened.flush()
            os.fsync(opened.fileno())
        beside.chmod(0o644)
        file.hardlink_to(beside)
    except FileExistsError:
        # NFS repeats a request whose answer was lost, and then the link that is in the way is our own.
        return bool(_read(file).get("owner") == record["owner"])
    except FileNotFoundError:
        # Swept away by a faster one, or the folder is gone.
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return _create_in_place(file, record)
    finally:
        beside.unlink(missing_ok=True)
    return True


def _create_in_place(file: Path, record: dict[str, Any]) -> bool:
    """Without hard links: exclusive all the same, but a reader may meet it unfinished, and takes it for a holder."""
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.write(_text(record))
            opened.flush()
            os.fsync(opened.fileno())
    except FileExistsError:
        return False
    except OSError:
        file.unlink(missing_ok=True)
        raise
    return True


def _tidy(folder: Path) -> None:
    """After winning: remove what killed or slower claimers left beside."""
    # The claim holds whether or not this works, so that failing here must not leave it without its heartbeat.
    with suppress(OSError):
        for file in folder.iterdir():
            if LEFTOVER.fullmatch(file.name):
                file.unlink(missing_ok=True)


def _text(record: dict[str, Any]) -> str:
    return json.dumps(record, indent=1) + "\n"


def _read(file: Path) -> dict[str, Any]:
    """The record in `file`; empty if there is none to be read. Opening it makes NFS ask the server what is there."""
    try:
        record = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _mtime(file: Path) -> int | None:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


@cache
def _machine() -> dict[str, str | None]:
    """What names the process table that this process is in; None where a system does not tell."""
    boot = namespace = None
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return {"host": socket.gethostname(), "boot": boot, "namespace": namespace}


class _Process(NamedTuple):
    state: str
    started: int


def _process(pid: int) -> _Process | None:
    """State and start time (clock ticks after boot) of a process of this machine: fields 3 and 22 of proc(5)'s stat."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The second field is the program's name in brackets, and may hold anything.
    fields = stat.rpartition(b")")[2].split()
    return _Process(fields[0].decode(), int(fields[19]))


def _runs(record: dict[str, Any]) -> bool | None:
    """Whether the process that wrote `record` is running; None where this machine can't know."""
    here, pid, started = _machine(), record.get("pid"), record.get("process_started")
    if None in here.values() or any(record.get(key) != value for key, value in here.items()):
        return None
    if not isinstance(pid, int) or not isinstance(started, int) or pid <= 0:
        return None
    process = _process(pid)
    if process is not None:
        return process.started == started and process.state not in {"Z", "X"}
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    # It is there but hidden (/proc mounted with hidepid).
    return None
