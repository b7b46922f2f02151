"""Checks that a running job may go on: no stop was requested, and its lease is still in force."""

from typing import Any, Protocol

from mnist_resnet.jobs.lease import Lease
from mnist_resnet.jobs.signals import Interrupt


class StopCheck(Protocol):
    """Called by a task after each step; raises to stop it."""

    def check(self) -> None:
        """Raise `Interrupted`, or another exception, if the task must stop."""


class JobStopCheck:
    """Stops a job if the program was asked to end, or another process has taken the job over."""

    def __init__(self, lease: Lease, interrupt: Interrupt) -> None:
        self._lease, self._interrupt = lease, interrupt

    def check(self) -> None:
        """Return if the job may go on.

        Raises:
            LeaseLost: Another process has taken the job over.
            Interrupted: The program was asked to end.
        """
        self._lease.verify()
        self._interrupt.check()


class LeaseCallback:
    """Runs before a job's other callbacks, and raises if the lease is lost: they never report what came after."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    def begin(self, *_: Any, **__: Any) -> None:
        """Raise `LeaseLost` if the lease is no longer in force."""
        self._lease.verify()

    batch = epoch = begin

    def end(self, *_: Any, **__: Any) -> None:
        """Do nothing: nothing more is written."""
