"""Engines start workers and report whether any are left; nothing more is asked of one.

Workers are either supervised by the process that launched them, which decides what becomes of a job whose worker died
(`WorkerStarter`, `Worker`), or submitted (`Engine`, `Submission`): those outlive that process, and whoever takes over a
dead worker's job decides, from the folder alone.
"""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Protocol

from mnist_resnet.launchers.devices import Placement


class Worker(Protocol):
    """A worker that was started."""

    def is_alive(self) -> bool:
        """Whether it has not ended yet."""

    def exit_reason(self) -> str | None:
        """Why it ended, for people; None: it had nothing left to do."""

    def send(self, signal_number: int) -> None:
        """Send it a signal, if it has not ended."""

    def lines(self) -> list[str]:
        """What it has printed since this was last asked, in whole lines; the rest too once it has ended."""


@dataclass(frozen=True)
class WorkerRequest:
    """What a launch asks an engine for.

    Attributes:
        folder: the sweep folder, absolute; the workers see it too.
        launch: whose orders they follow; these lie in the folder.
        workers: how many.
        trusted: targets that the jobs run, beside those that are trusted anyway.
        path: `PYTHONPATH` for them.
    """

    folder: Path
    launch: str
    workers: int
    trusted: Sequence[str]
    path: str = field(default_factory=lambda: python_path())

    def arguments(self, worker: int) -> list[str]:
        """Of `python -m mnist_resnet.work`, for the worker of this number; they count from 1."""
        trust = [f"--trust={target}" for target in sorted(self.trusted)]
        return [str(self.folder), "--launch", self.launch, "--worker", str(worker), *trust]


class Submission(Protocol):
    """Workers that were submitted: they need nobody to watch over them."""

    def describe(self) -> str:
        """What was submitted, in one line, for people."""

    def alive(self) -> int | None:
        """How many of them run or are still to start; None: the engine can't say at present."""

    def cancel_pending(self) -> None:
        """Let those that have not started never do."""

    def end(self) -> None:
        """Ask all to end after a checkpoint; those that have not started never do."""


class Engine(Protocol):
    """Starts workers that go on when this process is gone."""

    def usual(self, jobs: int) -> int:
        """How many workers there are for so many jobs, if nobody says."""

    def submit(self, request: WorkerRequest) -> Submission:
        """Submit workers.

        Raises:
            UsageError: the engine refuses them; says why.
        """


class WorkerStarter:
    """Starts processes of this machine, which end in good order when this one is gone.

    They are started anew and not forked: PyTorch's threads and CUDA are at work in this process by now and survive no
    fork, and a worker's device and threads must stand in its environment before it loads them. It costs one import of
    PyTorch for a worker, not for a job. Each is a process group of its own, so that Ctrl-C reaches it
    once, through this process, and in this session, so that it has its priority.
    """

    def start(self, arguments: Sequence[str], placement: Placement, path: str | None = None) -> "WorkerProcess":
        """Run `python -m mnist_resnet.work`.

        Args:
            arguments: its.
            placement: where it works.
            path: `PYTHONPATH`; None: a user's own modules are found where this process finds them.
        """
        path = python_path() if path is None else path
        output = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the worker)
        process = subprocess.Popen(
            [sys.executable, "-P", "-u", "-m", "mnist_resnet.work", *arguments, "--supervised"],
            env=os.environ | {"PYTHONPATH": path} | placement.environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        return WorkerProcess(process, output)


class WorkerProcess:
    """A process of this machine. Its output goes to a file that has no name: unlike a pipe it never breaks or fills."""

    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self._process, self._output = process, output
        self._seen, self._rest = 0, b""

    @property
    def pid(self) -> int:
        """Its number on this machine."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def exit_reason(self) -> str | None:
        """Why it ended, for people; None: it had nothing left to do."""
        code = self._process.wait()
        if code == -signal.SIGKILL:
            # The kernel's way of making room; it tells nobody but its own log.
            return "killed by signal 9, out of memory?"
        if code < 0:
            return f"killed by signal {-code} ({signal.strsignal(-code)})"
        if code > 128:
            return f"ended by signal {code - 128} ({signal.strsignal(code - 128)})"
        return f"ended with exit code {code}" if code else None

    def send(self, signal_number: int) -> None:
        """Send it a signal, if it has not ended."""
        self._process.send_signal(signal_number)

    def lines(self) -> list[str]:
        """What it has printed since this was last asked, in whole lines; the rest too once it has ended."""
        if self._output.closed:
            return []
        has_ended = not self.is_alive()
        new = os.pread(self._output.fileno(), os.fstat(self._output.fileno()).st_size - self._seen, self._seen)
        self._seen += len(new)
        *whole, self._rest = (self._rest + new).split(b"\n")
        if has_ended:
            whole += [self._rest] if self._rest else []
            self._output.close()
            if self._process.stdin:
                self._process.stdin.close()
        return [line.decode(errors="replace").rstrip() for line in whole]


def python_path() -> str:
    """For `PYTHONPATH`: where this process finds modules; what happens to lie in the folder is not among it."""
    return os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry)
