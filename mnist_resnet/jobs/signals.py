"""A signal, or another request to end: the step in progress ends, a checkpoint is written, the program leaves."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

HEARD = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""Ctrl-C; a cluster that wants the place back; a cluster's word, where it was asked for, that time is running out."""


class Interrupted(Exception):
    """The program was asked to end, and what was in progress is safe."""

    def __init__(self, signal_number: int, cause: str | None = None) -> None:
        super().__init__(f"ended by {cause or signal.Signals(signal_number).name}")
        self.signal_number = signal_number

    @property
    def exit_code(self) -> int:
        """As shells count it: 130 for SIGINT, 143 for SIGTERM, 140 for SIGUSR2."""
        return 128 + self.signal_number


class Interrupt:
    """Whether the program was asked to end. A second SIGINT does not wait for the step."""

    def __init__(self) -> None:
        self.requested: int | None = None
        self._cause: str | None = None

    @contextmanager
    def listening(self) -> Iterator["Interrupt"]:
        """Hear the signals inside the `with`; what handled them before does so again afterwards."""
        before = {number: signal.signal(number, self._hear) for number in HEARD}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def check(self) -> None:
        """Raise `Interrupted` if the program was asked to end."""
        if self.requested:
            raise Interrupted(self.requested, self._cause)

    def request(self, cause: str) -> None:
        """Ask the program to end as SIGTERM would, for another cause."""
        if not self.requested:
            self.requested, self._cause = signal.SIGTERM, cause

    def _hear(self, number: int, _: FrameType | None) -> None:
        if self.requested == signal.SIGINT and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.requested = number
