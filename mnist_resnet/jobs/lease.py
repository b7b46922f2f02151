"""Job leases, shared between processes and between machines on a shared file system: one process runs a job.

A lease is an attempt's numbered file (see `mnist_resnet.attempts`, also for when it expires); the highest number is in
force. Creating the next number is atomic and fails where it exists, so exactly one process acquires the job, without
locks and clocks. A holder that was cut off and comes back finds a higher number: `lost` is set, `check` raises. It must
check before each write; what it writes in the instant between the two can't be undone, so keep them together.

On NFS, acquiring a lease goes to the server and is exact.
"""

import errno
import json
import math
import os
import re
import secrets
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mnist_resnet.attempts import (
    ATTEMPTS,
    HEARTBEAT,
    LeaseMonitor,
    attempt_file,
    held_here,
    process,
    read_attempt,
    this_machine,
)
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import (
    DISK_FULL,
    ENVIRONMENT,
    FORMAT,
    HYDRA,
    LOG,
    WANDB,
    Status,
    UnreadableFolder,
    write_atomically,
)
from mnist_resnet.stored_file import refuse_links

SILENT_WAIT = 3.0
"""Seconds of waiting for a lease after which the holder is named."""

POLL = 0.05
"""Seconds between two attempts to take a lease that is held for a moment only."""

VERIFY_AFTER = 2.0
"""Seconds for which a lease that was confirmed on the disk need not be confirmed again."""

LEFTOVER = re.compile(r"\.\d{4,}\.json\..+", re.ASCII)

NO_LINKS = {errno.EPERM, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EMLINK}
"""Errors of os.link on file systems without hard links (FAT, some FUSE)."""


HYDRA_FILES = ("config.yaml", "hydra.yaml", "overrides.yaml")
"""Files that Hydra itself writes into `.hydra/`, in place."""


class LeaseLost(Exception):
    """A later attempt took the job over; the former holder must write nothing more."""


class Lease:
    """This process's hold on a job, until `release` or until a later attempt takes over.

    As a context manager it is released on leaving: as `failed` or `interrupted` if an exception passes through, as
    `completed` otherwise, unless `release` was called before.

    Attributes:
        folder: The job folder.
        number: Of this attempt, from 1.
    """

    def __init__(self, folder: Path, number: int, record: dict[str, Any], heartbeat: float) -> None:
        self.folder = folder
        self.number = number
        self._file = attempt_file(folder, number)
        self._record = record
        self._heartbeat = heartbeat
        self._lost = threading.Event()
        self._stop = threading.Event()
        self._confirmed = time.monotonic()
        held_here.add(record["owner"])
        self._thread = threading.Thread(target=self._beat, name=f"heartbeat of {folder.name}", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> bool:
        """Whether the heartbeat noticed a later attempt; costs nothing, and is up to one heartbeat late."""
        return self._lost.is_set()

    def in_force(self) -> bool:
        """Check on disk that the attempt's file is still there and no later attempt has taken over.

        Raises:
            OSError: An I/O error; the lease may still be valid.
        """
        return (
            read_attempt(self._file).get("owner") == self._record["owner"]
            and not attempt_file(self.folder, self.number + 1).exists()
        )

    def check(self) -> None:
        """Check before a write to the job folder that the lease is in force.

        Raises:
            LeaseLost: It is not.
            OSError: The disk does not answer.
        """
        if self.lost or not self.in_force():
            self._lost.set()
            successor: dict[str, Any] = {}
            with suppress(OSError):
                successor = read_attempt(attempt_file(self.folder, self.number + 1))
            by = f"taken over by process {successor.get('pid')} on {successor.get('host')}" if successor else "removed"
            raise LeaseLost(f"{self.folder}: attempt {self.number} of this process was {by}")

    def verify(self) -> None:
        """Check the lease as often as need be: cheap enough for every training step.

        A lease is taken over only after it missed heartbeats for a long time, so the disk is asked only if its last
        answer is older than `VERIFY_AFTER` seconds, as it is after the process was stopped or cut off.

        Raises:
            LeaseLost: The lease is no longer in force.
        """
        now = time.monotonic()
        if self.lost or now - self._confirmed > VERIFY_AFTER:
            # A disk that does not answer is noticed by the next write.
            with suppress(OSError):
                self.check()
            self._confirmed = now

    def release(self, status: str) -> None:
        """Release the job for good: the attempt's file says how it ended, even if this process dies.

        Raises:
            LeaseLost: The lease was lost before; nothing is written.
        """
        self._stop_beating()
        try:
            self.check()
            write_atomically(self._file, _text(self._record | {"ended": _now(), "status": str(status)}))
        except FileNotFoundError:
            # Taken over after the check, and removed by the successor.
            self.check()
            raise
        finally:
            held_here.discard(self._record["owner"])

    def abandon(self) -> None:
        """Give the job up without a release: its attempt then counts as dead, in this process too."""
        self._stop_beating()
        held_here.discard(self._record["owner"])

    def _beat(self) -> None:
        while not self._stop.wait(self._heartbeat):
            try:
                os.utime(self._file)
                in_force = self.in_force()
            except FileNotFoundError:
                in_force = False
            except OSError:
                # The disk may come back. If that takes too long, another process takes over, which is noticed here.
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
        # The exception passing through matters more than a full disk or a lost lease on top of it.
        with suppress(OSError, LeaseLost):
            self.release(Status.FAILED if isinstance(error, Exception) else Status.INTERRUPTED)
        self.abandon()


def acquire_lease(
    folder: Path,
    monitor: LeaseMonitor,
    facts: Mapping[str, Any] | None = None,
    heartbeat: float = HEARTBEAT,
    after: int | None = None,
) -> Lease | None:
    """Take the lease on the job in `folder` unless another process holds it; the folder is made if it is missing.

    A released job can be leased again. The caller decides whether it should be, from `result.json` as it is *after*
    taking the lease: another process may have completed the job since it was last read.

    Args:
        folder: The job folder.
        monitor: The observer's memory; the same in every call.
        facts: Further entries for the attempt's record, such as the commit.
        heartbeat: Seconds between two heartbeats.
        after: The attempt that must still be the last one (0: none), because the caller decided from its outcome.

    Returns:
        The lease, or None if a process that is alive, or not yet known to be dead, holds the job or was faster.

    Raises:
        UsageError: The folder can't be written, or a link would be written through.
    """
    try:
        refuse_job_links(folder)
        seen = monitor.observe(folder)
        if seen.state == "held" or after not in (None, seen.number):
            return None
        number = seen.number + 1
        record = dict(facts or {}) | _new_record(number)
        (folder / ATTEMPTS).mkdir(parents=True, exist_ok=True)
        if not _create(attempt_file(folder, number), record):
            return None
    except OSError as error:
        cure = "make room" if error.errno in DISK_FULL else "choose a folder to write in"
        raise UsageError(f"{folder}: no job can run there ({error.strerror}); {cure}") from None
    _remove_leftovers(folder / ATTEMPTS)
    return Lease(folder, number, record, heartbeat)


def refuse_job_links(folder: Path) -> None:
    """Check that no link leads out of a job folder, or another one with a lease, where something is written through it.

    Raises:
        RefusedFile: One does; `strerror` names it.
    """
    refuse_links(folder.parent, [folder.name])
    refuse_links(folder, (ATTEMPTS, HYDRA, ENVIRONMENT, LOG, WANDB))
    refuse_links(folder / HYDRA, HYDRA_FILES)


def wait_for_lease(folder: Path, monitor: LeaseMonitor, log: Callable[[str], None]) -> Lease:
    """Take the lease on `folder` as soon as its holder, which needs it for a moment, has released it or is dead.

    Args:
        folder: The folder; it is made if it is missing.
        monitor: The observer's memory.
        log: Called once with the holder, human-readable, if the wait is long enough to be noticed.

    Raises:
        UsageError: The folder can't be written.
        UnreadableFolder: It can't be read for as long as it takes to call a holder dead.
    """
    log_at = time.monotonic() + SILENT_WAIT
    while (lease := acquire_lease(folder, monitor)) is None:
        seen = monitor.observe(folder)
        if seen.given_up:
            raise UnreadableFolder(seen.error)
        if seen.state == "held" and time.monotonic() > log_at:
            log(seen.holder)
            log_at = math.inf
        time.sleep(POLL)
    return lease


def close_dead_attempt(folder: Path, number: int, reason: str) -> None:
    """Record the end of an attempt whose process died.

    Args:
        folder: The job folder.
        number: The attempt's.
        reason: Why it ended, human-readable.
    """
    file = attempt_file(folder, number)
    ended = {"ended": _now(), "status": Status.INTERRUPTED.value, "reason": reason}
    # A successor may have removed the record as unfinished; then it knows that the attempt is over.
    with suppress(FileNotFoundError):
        write_atomically(file, _text(read_attempt(file) | ended))


def _new_record(number: int) -> dict[str, Any]:
    pid = os.getpid()
    found = process(pid)
    return {
        "format": FORMAT,
        "number": number,
        "owner": secrets.token_hex(16),
        **this_machine(),
        "pid": pid,
        "process_started": found.started if found else None,
        "started": _now(),
        "ended": None,
        "status": None,
    }


def _create(file: Path, record: dict[str, Any]) -> bool:
    """Create `file` atomically with the whole `record` in it; returns False if another process was faster."""
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
        # NFS repeats a request whose answer was lost; then the existing link is our own.
        return bool(read_attempt(file).get("owner") == record["owner"])
    except FileNotFoundError:
        # Removed by a faster process, or the folder is gone.
        return False
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        return _create_in_place(file, record)
    finally:
        beside.unlink(missing_ok=True)
    return True


def _create_in_place(file: Path, record: dict[str, Any]) -> bool:
    """Create the file without hard links: still exclusive, but a reader may see it unfinished and take it for held."""
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


def _remove_leftovers(folder: Path) -> None:
    """Remove temporary files of killed or slower processes."""
    # The lease holds either way: failing here must not leave it without its heartbeat.
    with suppress(OSError):
        for file in folder.iterdir():
            if LEFTOVER.fullmatch(file.name):
                file.unlink(missing_ok=True)


def _text(record: dict[str, Any]) -> str:
    return json.dumps(record, indent=1) + "\n"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")
