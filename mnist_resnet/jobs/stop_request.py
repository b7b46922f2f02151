"""A request that ends all work on a sweep, wherever it is done: a file in its folder, which everybody there reads.

Nobody has to clear it. A launch, and a worker that was started by hand, pass over what was requested before them; what
a launch starts later goes by the request that the launch itself had found.
"""

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mnist_resnet.job_folder import LAUNCHES, write_atomically
from mnist_resnet.jobs.signals import Interrupt

REQUEST = "stop-request"
CAUSE = "a stop request (python -m mnist_resnet.sweep --stop)"

POLL = 1.0
"""Seconds between two looks at the request."""


def last_request(folder: Path) -> str:
    """What names the last request to stop the sweep in `folder`, and nothing else; empty: there was none.

    The file is opened each time: that makes NFS ask the server.
    """
    try:
        return (folder / LAUNCHES / REQUEST).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        return ""


def request_stop(folder: Path) -> None:
    """Ask all who work on the sweep in `folder` to end after a checkpoint.

    Raises:
        OSError: the folder can't be written.
    """
    (folder / LAUNCHES).mkdir(exist_ok=True)
    write_atomically(folder / LAUNCHES / REQUEST, f"{secrets.token_hex(8)}\n")


@contextmanager
def stop_on_request(folder: Path, interrupt: Interrupt, before: str | None = None) -> Iterator[None]:
    """Inside the `with`, have a request to stop the sweep in `folder` interrupt this process, as SIGTERM would.

    Args:
        folder: the sweep folder.
        interrupt: of this process.
        before: the last request that does not count; None: that which is there now.
    """
    before = last_request(folder) if before is None else before
    # On NFS a file that was not there is not there for half a minute more.
    with suppress(OSError):
        (folder / LAUNCHES / REQUEST).touch()
    is_over = threading.Event()

    def listen() -> None:
        while True:
            now = last_request(folder)
            if now and now != before:
                interrupt.request(CAUSE)
                return
            if is_over.wait(POLL):
                return

    thread = threading.Thread(target=listen, name="stop requests", daemon=True)
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()
