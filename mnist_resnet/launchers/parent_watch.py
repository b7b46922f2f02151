"""A worker's lifeline: a pipe from the process that started it, which closes when that one is gone, however it went."""

import os
import signal
import threading
import time

GRACE = 120.0
"""Seconds for the checkpoint of a worker whose parent is gone; then it ends at once."""


def end_with_parent() -> None:
    """Have this process asked to end (SIGTERM) when its standard input closes.

    A pipe works on every POSIX system, and after `kill -9` too. What is started from here on finds no input.
    """
    pipe = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_wait_for_its_end, args=(pipe,), name="lifeline", daemon=True).start()


def _wait_for_its_end(pipe: int) -> None:
    while os.read(pipe, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(128 + signal.SIGTERM)
