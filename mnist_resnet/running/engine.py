"""Engines: how a worker is started, and how its end is learnt of. More than this nobody asks of one."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol

from mnist_resnet.running.devices import Place


class Worker(Protocol):
    """A worker that was started."""

    def is_alive(self) -> bool:
        """Whether it has not ended yet."""

    def why_ended(self) -> str | None:
        """Why it ended, for people; None: it had nothing left to do."""

    def send(self, signal_number: int) -> None:
        """Send it a signal, if it has not ended."""

    def lines(self) -> list[str]:
        """What it has printed since this was last asked, in whole lines; the rest too once it has ended."""


class Engine(Protocol):
    """Starts workers."""

    def start(self, arguments: Sequence[str], place: Place) -> Worker:
        """Run `python -m mnist_resnet.work` with these arguments."""


class LocalEngine:
    """Starts processes of this machine, which end in good order when this one is gone.

    They are started anew and not forked: PyTorch's threads and CUDA are at work in this process by now and survive no
    fork, and a worker's device and threads must stand in its environment before it loads them. It costs one import of
    PyTorch for a worker, not for a job. Each is a process group of its own, so that Ctrl-C reaches it
    once, through this process, and in this session, so that it has its priority.
    """

    def start(self, arguments: Sequence[str], place: Place) -> "LocalWorker":
        """Run `python -m mnist_resnet.work` with these arguments."""
        # A user's own modules are found where this process finds them, and what happens to lie in the folder is not.
        path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
        output = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the worker)
        process = subprocess.Popen(
            [sys.executable, "-P", "-u", "-m", "mnist_resnet.work", *arguments, "--attended"],
            env=os.environ | {"PYTHONPATH": path} | place.environment,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        return LocalWorker(process, output)


class LocalWorker:
    """A process of this machine. Its output goes to a file that has no name: unlike a pipe it never breaks or fills."""

    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self._process, self._output = process, output
        self._seen, self._rest = 0, b""

    def is_alive(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def why_ended(self) -> str | None:
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
