"""Signals and other requests to end: the step in progress is finished, a checkpoint written, the program exits."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from threading import Timer
from types import FrameType
from typing import ParamSpec

Parameters = ParamSpec("Parameters")

HANDLED = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""Ctrl-C; a cluster that preempts or cancels; a cluster's warning, if it was requested, that time is running out."""


GRACE = 1.0
"""Seconds between a signal's arrival at the first and the last process of a group."""


class Interrupted(Exception):
    """The program was asked to end, and the work in progress has been saved."""

    def __init__(self, signal_number: int, cause: str | None = None) -> None:
        super().__init__(f"ended by {cause or signal.Signals(signal_number).name}")
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:
        """By the shells' convention: 130 for SIGINT, 143 for SIGTERM, 140 for SIGUSR2."""
        return 128 + self.signal_number


class Interrupt:
    """Whether the program was asked to end. A second SIGINT ends it without waiting for the step."""

    def __init__(self) -> None:
        self.requested: int | None = None
        self._cause: str | None = None

    @contextmanager
    def listening(self) -> Iterator["Interrupt"]:
        """Handle the signals inside the `with` statement; the former handlers are restored afterwards."""
        before = {number: signal.signal(number, self._handle) for number in HANDLED}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise `Interrupted` if the program was asked to end."""
        if self.requested:
            raise Interrupted(self.requested, self._cause)

    @contextmanager
    def ending_readers(self) -> Iterator[None]:
        """Take the end of a PyTorch `DataLoader`'s process for the stop, if this process got a signal, too.

        Raises:
            Interrupted: In place of the loader's error, or of that of opening a batch of a process that is gone.
        """
        try:
            yield
        except (RuntimeError, EOFError, ConnectionError) as error:
            is_loaders = not isinstance(error, RuntimeError) or "DataLoader worker" in str(error)
            until = time.monotonic() + GRACE * is_loaders
            while time.monotonic() < until:
                self.check()
                time.sleep(GRACE / 20)
            raise

    def request(self, cause: str) -> None:
        """Ask the program to end as SIGTERM would, for another cause."""
        if not self.requested:
            self.requested, self._cause = signal.SIGTERM, cause

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self.requested == signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = number


def ignore_stops(_worker: int = 0) -> None:
    """Leave it to the job's process, which gets the same signals, to end this one, which reads for it.

    For `worker_init_fn` of a PyTorch `DataLoader`: a cluster and Ctrl-C signal to all processes of a job.
    """
    for number in HANDLED:
        signal.signal(number, signal.SIG_IGN)


@contextmanager
def interrupts_delivered() -> Iterator[None]:
    """Send SIGINT again where its KeyboardInterrupt was lost.

    Python raises it between any two lines, also those of a `__del__` or a weak reference's callback, from which no
    exception gets out: it prints "Exception ignored in" with a traceback, and Ctrl-C has no effect.
    """
    report, timers = sys.unraisablehook, list[Timer]()

    def deliver(lost: "sys.UnraisableHookArgs") -> None:
        if not isinstance(lost.exc_value, KeyboardInterrupt):
            report(lost)
            return
        # From a thread: sent here, it would be raised here and lost once more.
        timers.append(Timer(0.01, os.kill, (os.getpid(), signal.SIGINT)))
        timers[-1].start()

    sys.unraisablehook = deliver
    try:
        yield
        for timer in timers:
            timer.join()
    finally:
        sys.unraisablehook = report


def interruptible(main: Callable[Parameters, int]) -> Callable[Parameters, int]:
    """Let a command end with exit code 130 and no traceback if Ctrl-C reaches it when there is nothing to save."""

    @wraps(main)
    def command(*arguments: Parameters.args, **options: Parameters.kwargs) -> int:
        try:
            with interrupts_delivered():
                return main(*arguments, **options)
        except KeyboardInterrupt:
            return 130

    return command
