"""Calls in a child process, whose imports and memory are given back at its end."""

import ctypes
import multiprocessing
import signal
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from mnist_resnet.errors import UsageError

Result = TypeVar("Result")

PR_SET_PDEATHSIG = 1
"""Option of Linux's `prctl`: the signal to send to a process when its parent ends."""


def in_child_process(call: Callable[[], Result]) -> Result:
    """Return what `call` returns in a forked process; without forking where that isn't safe, or saves nothing.

    A process that has no threads yet may fork. One that has imported PyTorch may have some; outside Linux, the system's
    own libraries may.

    Args:
        call: its result or exception can be pickled.

    Raises:
        UsageError: the process crashed, by a fault in a library that `call` uses, or was killed.
        Exception: what `call` raises.
    """
    if not sys.platform.startswith("linux") or "torch" in sys.modules:
        return call()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=_send, args=(call, sender), daemon=True)
    child.start()
    sender.close()
    try:
        result, error = receiver.recv()
    except EOFError:
        child.join()
        raise UsageError(f"the process that tried the jobs {_end(child.exitcode)}; nothing has been started") from None
    child.join()
    if error is not None:
        raise error
    return result  # type: ignore[no-any-return]


def _send(call: Callable[[], Any], sender: Connection) -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        sender.send((call(), None))
    except BaseException as error:
        if not isinstance(error, UsageError):
            error.add_note("".join(traceback.format_exception(error)))
        sender.send((None, error))


def _end(code: int | None) -> str:
    if code is not None and code < 0:
        cause = "as where memory runs out" if -code == signal.SIGKILL else "as by a crash in a library"
        return f"was ended by {signal.Signals(-code).name}, {cause}"
    return f"ended with exit code {code}"
