"""Requests to stop all work on a sweep, on every machine: a file in the sweep folder that every worker polls.

The file is never cleared. A launch, and a worker started by hand, ignore requests older than themselves; the workers
that a launch starts later ignore the request that the launch itself had found.
"""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mnist_resnet.job_folder import LAUNCHES, write_atomically
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.stored_file import read_stored

REQUEST = "stop-request"
CAUSE = "a stop request (python -m mnist_resnet.sweep --stop)"

POLL = 1.0
"""Seconds between two polls."""


def last_request(folder: Path) -> str:
    """Return the id of the last request to stop the sweep in `folder`; empty if there was none.

    The file is opened each time, because that makes NFS ask the server.
    """
    try:
        return read_stored(folder / LAUNCHES / REQUEST).decode("ascii").strip()
    except (OSError, ValueError):
        return ""


def request_stop(folder: Path) -> None:
    """Ask all workers of the sweep in `folder` to end after a checkpoint.

    Raises:
        OSError: The folder can't be written.
    """
    (folder / LAUNCHES).mkdir(exist_ok=True)
    write_atomically(folder / LAUNCHES / REQUEST, f"{secrets.token_hex(8)}\n")


@contextmanager
def stop_on_request(folder: Path, interrupt: Interrupt, before: str | None = None) -> Iterator[None]:
    """Interrupt this process, as SIGTERM would, when a stop of the sweep in `folder` is requested inside the `with`.

    Args:
        folder: The sweep folder.
        interrupt: This process's.
        before: The last request to ignore; None ignores the one that exists now.
    """
    before = last_request(folder) if before is None else before
    # NFS clients cache for half a minute that a file does not exist.
    with suppress(OSError):
        (folder / LAUNCHES / REQUEST).touch()
    is_over = threading.Event()

    def poll() -> None:
        while True:
            now = last_request(folder)
            if now and now != before:
                interrupt.request(CAUSE)
                return
            if is_over.wait(POLL):
                return

    thread = threading.Thread(target=poll, name="stop requests", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
