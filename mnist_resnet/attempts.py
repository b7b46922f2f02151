"""The attempts at a job, as its folder records them, and whether the process of the last one is still alive.

A job folder has numbered attempts, `attempts/0001.json` and on. The one with the highest number holds the job's lease
(see `jobs.lease`, which creates them). Any process may read its state, without locks and without comparing clocks:

- Its holder touches the file every `HEARTBEAT` seconds. An observer compares the file's time only with what it saw
  there before, and considers a lease expired when nothing has changed for `STALE_AFTER` (90) seconds that it watched.
- On the same machine (same host, boot and process namespace; known on Linux only) the process table decides: a lease
  expires at once if its holder's process is gone, and never while that process exists, even if it is suspended.

On NFS other machines' files are seen some seconds late (attribute cache), up to a minute for a *new* file with the
default mount.
"""

import errno
import os
import re
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import Status, patiently
from mnist_resnet.stored_file import MEGABYTE, RefusedFile, parse_json, read_stored

HEARTBEAT = 5.0
"""Seconds between two heartbeats of a lease's holder."""

STALE_AFTER = 90.0
"""Seconds of watching without a heartbeat after which a lease held on another machine expires.

On a machine with too much to do, a heartbeat may be a minute late.
"""

STALE_VARIABLE = "MNIST_RESNET_STALE_AFTER"
"""Environment variable that replaces `STALE_AFTER`: a larger value for a file server that is often away for longer."""

SHORTEST_WATCH = 4
"""Fewest observations, after the first, before a lease expires: a single gap counts for a quarter of the time at most.

When a file server comes back after minutes, the observer may look before the holder could touch its file.
"""

ATTEMPTS = "attempts"
NUMBERED = re.compile(r"(?!0000)(\d{4}|[1-9]\d{4,})\.json", re.ASCII)
MAX_ATTEMPTS = 10_000
"""Most attempts at a job; a folder with more was made to take time."""
MAX_RECORD = MEGABYTE
"""Largest record of an attempt, in bytes; they have some 600."""
TEXTS = {"status", "owner", "host", "boot", "namespace", "launch", "reason", "commit"}
NUMBERS = {"number", "pid", "process_started", "worker"}
TIMES = {"started", "ended"}
"""Entries of an attempt's record that are text, whole numbers, and times with their zone."""
UNLISTED = {"format", "owner", "boot", "namespace", "process_started"}
"""Entries of an attempt's record that `result.json` does not repeat."""

State = Literal["free", "held", "dead", "released"]
"""State of a lease.

- `free`: never acquired.
- `held`: Its holder is alive, or not known to be dead.
- `dead`: Its holder died without releasing it.
- `released`: Its last holder released it.
"""

held_here: set[str] = set()
"""Owners' tokens of the leases that this process holds; a lease that it abandoned counts as expired."""


class LeaseView(NamedTuple):
    """What an observation of a job folder showed.

    Attributes:
        number: The highest attempt's; 0 if there is none.
        state: Of the lease.
        record: The highest attempt's.
        error: Why the job could not be read, human-readable; empty if it could. Its lease then counts as held.
        given_up: Whether the observer has got nothing but errors for so long that nobody should wait any longer.
    """

    number: int
    state: State
    record: Mapping[str, Any]
    error: str = ""
    given_up: bool = False

    @property
    def holder(self) -> str:
        """Who holds the lease or, if that can't be read, why not; human-readable."""
        return self.error or f"held by process {self.record.get('pid')} on {self.record.get('host')}"


@dataclass(frozen=True)
class _Observation:
    mtime: int | None
    at: float
    silence: float


class LeaseMonitor:
    """Remembers the heartbeats it has seen of holders on other machines; keep one for all folders, and observe often.

    Args:
        stale_after: Seconds; None takes `STALE_AFTER`, or what the environment sets. A single gap between two
            observations counts for a quarter of it at most.

    Raises:
        UsageError: The environment sets no valid number of seconds.
    """

    def __init__(self, stale_after: float | None = None) -> None:
        self.stale_after = _stale_after() if stale_after is None else stale_after
        self._observations: dict[Path, _Observation] = {}
        self._undelivered_since: dict[Path, float] = {}

    @property
    def patient(self) -> bool:
        """Whether a failed read is worth another try at once: not while a file server is known to be away."""
        return not self._undelivered_since

    def state(self, folder: Path) -> State:
        """Return the state of the lease on the job in `folder`, as far as it is known by now."""
        return self.observe(folder).state

    def observe(self, folder: Path) -> LeaseView:
        """Return the lease's state, attempt number and record.

        Raises:
            OSError: The folder can't hold attempts, or this user must not see them.
        """
        number = 0

        def last() -> dict[str, Any]:
            nonlocal number
            number = max(attempt_numbers(folder), default=0)
            return _read(attempt_file(folder, number)) if number else {}

        try:
            record = patiently(last) if self.patient else last()
        except OSError as error:
            if isinstance(error, NotADirectoryError | PermissionError | RefusedFile) and number == 0:
                raise
            # A file server's hiccup says nothing about the holder.
            return self.undelivered(folder, number, f"{folder} can't be read at present ({error.strerror})")
        self.delivered(folder)
        if number == 0:
            return LeaseView(0, "free", {})
        if record.get("ended") is not None:
            return LeaseView(number, "released", record)
        runs = _runs(record)
        if runs is None:
            runs = not self._is_silent(attempt_file(folder, number))
        return LeaseView(number, "held" if runs else "dead", record)

    def undelivered(self, path: Path, number: int, error: str) -> LeaseView:
        """Return how a job counts whose `path` a file server fails to deliver, after the attempt of this number."""
        now = time.monotonic()
        given_up = now - self._undelivered_since.setdefault(path, now) >= self.stale_after
        return LeaseView(number, "held", {}, error, given_up)

    def delivered(self, path: Path) -> None:
        """Take note that `path` could be read."""
        self._undelivered_since.pop(path, None)

    def _is_silent(self, file: Path) -> bool:
        mtime, now = _mtime(file), time.monotonic()
        before = self._observations.get(file)
        silence = 0.0
        if before is not None and before.mtime == mtime:
            silence = before.silence + min(now - before.at, self.stale_after / SHORTEST_WATCH)
        self._observations[file] = _Observation(mtime, now, silence)
        return silence >= self.stale_after


def attempts(folder: Path) -> list[dict[str, Any]]:
    """Return all attempts at the job in `folder`, the first one first, as `result.json` lists them.

    `status` is what the attempt was released with; an attempt that never was is `interrupted`, and the last one
    `running`: whether it really runs, a `LeaseMonitor` tells.

    Raises:
        OSError: A record exists but can't be read.
    """
    numbers = sorted(attempt_numbers(folder))
    listed = []
    for number in numbers:
        record = read_attempt(attempt_file(folder, number))
        shown = {key: value for key, value in record.items() if key not in UNLISTED}
        unended = Status.RUNNING if number == numbers[-1] else Status.INTERRUPTED
        listed.append(shown | {"number": number, "status": record.get("status") or unended.value})
    return listed


def attempt_file(folder: Path, number: int) -> Path:
    """Return the path of an attempt's record in a job folder."""
    return folder / ATTEMPTS / f"{number:04d}.json"


def attempt_numbers(folder: Path) -> list[int]:
    """Return the numbers of all attempts, in no order; foreign files are ignored.

    Raises:
        RefusedFile: There are more than `MAX_ATTEMPTS`.
        OSError: The folder can't be read.
    """
    try:
        with os.scandir(folder / ATTEMPTS) as entries:
            matches = (NUMBERED.fullmatch(entry.name) for entry in entries)
            numbers = [int(match[1]) for match in islice(filter(None, matches), MAX_ATTEMPTS + 1)]
    except FileNotFoundError:
        return []
    if len(numbers) > MAX_ATTEMPTS:
        raise RefusedFile(errno.EFBIG, f"more than {MAX_ATTEMPTS:,} attempts")
    return numbers


def read_attempt(file: Path) -> dict[str, Any]:
    """Return an attempt's record; empty if the file is missing or unfinished. Tries for some seconds to read it.

    Raises:
        OSError: The file exists but can't be read, which is not the same as missing.
    """
    return patiently(lambda: _read(file))


def _read(file: Path) -> dict[str, Any]:
    """Read a record once, without entries that are damaged; opening the file makes NFS ask the server."""
    try:
        record = parse_json(read_stored(file, MAX_RECORD))
    except (FileNotFoundError, ValueError):
        return {}
    return {key: value for key, value in record.items() if _is_valid(key, value)} if isinstance(record, dict) else {}


def _is_valid(key: str, value: Any) -> bool:
    if value is None or key not in TEXTS | NUMBERS | TIMES:
        return True
    if key in NUMBERS:
        return isinstance(value, int)
    if not isinstance(value, str):
        return False
    if key in TEXTS:
        return True
    with suppress(ValueError):
        return datetime.fromisoformat(value).tzinfo is not None
    return False


@cache
def this_machine() -> dict[str, str | None]:
    """Return what identifies the process table that this process is in; None where a system does not tell."""
    boot = namespace = None
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        namespace = str(Path("/proc/self/ns/pid").readlink())
    return {"host": socket.gethostname(), "boot": boot, "namespace": namespace}


class Process(NamedTuple):
    """State and start time (clock ticks after boot) of a process."""

    state: str
    started: int


def process(pid: int) -> Process | None:
    """Look up a process of this machine, from fields 3 and 22 of proc(5)'s stat; None if there is none, or no /proc."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    # The second field is the program's name in brackets, and may hold anything.
    fields = stat.rpartition(b")")[2].split()
    return Process(fields[0].decode(), int(fields[19]))


def _stale_after() -> float:
    given = os.environ.get(STALE_VARIABLE, str(STALE_AFTER))
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not HEARTBEAT < seconds < float("inf"):
        raise UsageError(f"{STALE_VARIABLE}={given}: must be a number of seconds above {HEARTBEAT:g}")
    return seconds


def _mtime(file: Path) -> int | None:
    try:
        return file.stat().st_mtime_ns
    except OSError:
        return None


def _runs(record: dict[str, Any]) -> bool | None:
    """Return whether the process that wrote `record` is running; None where this machine can't know."""
    here, pid, started = this_machine(), record.get("pid"), record.get("process_started")
    if None in here.values() or any(record.get(key) != value for key, value in here.items()):
        return None
    if not isinstance(pid, int) or not isinstance(started, int) or pid <= 0:
        return None
    if pid == os.getpid() and record.get("owner") not in held_here:
        return False
    found = process(pid)
    if found is not None:
        return found.started == started and found.state not in {"Z", "X"}
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):
        pass
    # It exists but is hidden (/proc mounted with hidepid).
    return None
