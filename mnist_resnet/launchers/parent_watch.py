"""Ends a worker when its parent process ends, detected by a pipe from the parent that then closes."""

import os
import signal
import threading
import time

GRACE = 120.0
"""Seconds for a worker to write its checkpoint after its parent has ended; then the worker exits at once."""


def end_with_parent() -> None:
    """Send this process SIGTERM when its standard input closes.

    A pipe works on every POSIX system, also if the parent is ended by `kill -9`. Standard input itself is replaced by
    an empty one, so that child processes don't read from the pipe.
    """
    pipe = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    threading.Thread(target=_wait_until_closed, args=(pipe,), name="parent watch", daemon=True).start()


def _wait_until_closed(pipe: int) -> None:
    while os.read(pipe, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGTERM)
