"""Interfaces of engines, which start workers, and the starter of processes on this machine.

There are two kinds of workers:

- Supervised workers (`WorkerStarter`, `Worker`). The process that launched them watches them, and decides whether to
  retry a job whose worker died.
- Submitted workers (`Engine`, `Submission`). They outlive the process that launched them. The worker that takes over a
  dead worker's job decides whether to retry it, from the sweep folder alone.

An engine only starts workers and reports whether any are left.
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
    """A supervised worker."""

    def is_alive(self) -> bool:
        """Whether the worker has not ended yet."""

    def exit_reason(self) -> str | None:
        """Return why the worker ended, human-readable; None if it ended because nothing was left to do."""

    def send(self, signal_number: int) -> None:
        """Send the worker a signal, if it has not ended."""

    def lines(self) -> list[str]:
        """Return the complete lines printed since the last call; once the worker has ended, also an incomplete one."""


@dataclass(frozen=True)
class WorkerRequest:
    """A launch's request to an engine to start workers.

    Attributes:
        folder: The sweep folder, as an absolute path. The workers must see it too.
        launch: Identifier of the launch. Its worker options lie in the sweep folder.
        workers: Number of workers.
        trusted: Targets that the jobs may run, beside those that are always trusted.
        path: The workers' `PYTHONPATH`.
    """

    folder: Path
    launch: str
    workers: int
    trusted: Sequence[str]
    path: str = field(default_factory=lambda: python_path())

    def arguments(self, worker: int) -> list[str]:
        """Return the arguments of `python -m mnist_resnet.work` for a worker; workers are numbered from 1."""
        trust = [f"--trust={target}" for target in sorted(self.trusted)]
        return [str(self.folder), "--launch", self.launch, "--worker", str(worker), *trust]


class Submission(Protocol):
    """Workers that were submitted to an engine and need no supervision."""

    def describe(self) -> str:
        """Return a human-readable description of the submitted workers."""

    def alive(self) -> int | None:
        """Return how many workers run or may start; None if the engine can't tell at present."""

    def pending_reason(self) -> str | None:
        """Return why workers were pending when `alive` last asked, human-readable; None if none was."""

    def cancel_pending(self) -> None:
        """Cancel the workers that have not started."""

    def end(self) -> None:
        """Ask all workers to end after a checkpoint, and cancel those that have not started."""


class Engine(Protocol):
    """Starts workers that outlive this process."""

    def default_workers(self, jobs: int) -> int:
        """Return the number of workers for so many jobs if the user gives none."""

    def submit(self, request: WorkerRequest) -> Submission:
        """Submit workers.

        Raises:
            UsageError: The engine rejects them; the message says why.
        """


class WorkerStarter:
    """Starts worker processes on this machine. They shut down cleanly when this process ends.

    Workers are new processes and not forks. PyTorch's threads and CUDA may be in use in this process and don't survive
    a fork, and a worker's device and threads must be in its environment before it loads PyTorch. This costs one import
    of PyTorch for each worker, not for each job. Each worker is a process group of its own, so that Ctrl-C reaches it
    once, through this process. It stays in this session, so that it shares this process's scheduling priority.
    """

    def start(self, arguments: Sequence[str], placement: Placement, path: str | None = None) -> "WorkerProcess":
        """Run `python -m mnist_resnet.work`.

        Args:
            arguments: Command-line arguments.
            placement: The worker's device or cores.
            path: `PYTHONPATH`. None: the module search path of this process, so that a user's own modules are found.
        """
        path = python_path() if path is None else path
        output = tempfile.TemporaryFile()  # noqa: SIM115 (closed with the worker)
        # Ctrl-C has to wait until the worker is ready for it: Python would show where in its imports it was.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-u", "-m", "mnist_resnet.work", *arguments, "--supervised"],
                env=os.environ | {"PYTHONPATH": path} | placement.environment,
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        return WorkerProcess(process, output)


class WorkerProcess:
    """A worker process on this machine. It prints to an unnamed file, which unlike a pipe never breaks or fills up."""

    def __init__(self, process: subprocess.Popen[bytes], output: IO[bytes]) -> None:
        self._process, self._output = process, output
        self._offset, self._rest = 0, b""

    @property
    def pid(self) -> int:
        """The process ID on this machine."""
        return self._process.pid

    def is_alive(self) -> bool:
        """Whether the worker has not ended yet."""
        return self._process.poll() is None

    def exit_reason(self) -> str | None:
        """Return why the worker ended, human-readable; None if it ended because nothing was left to do."""
        code = self._process.wait()
        if code == -signal.SIGKILL:
            # The kernel's out-of-memory killer sends it too, and reports that only in the kernel's log.
            return "killed by signal 9, out of memory?"
        if code < 0:
            return f"killed by signal {-code} ({signal.strsignal(-code)})"
        if code > 128:
            return f"ended by signal {code - 128} ({signal.strsignal(code - 128)})"
        return f"ended with exit code {code}" if code else None

    def send(self, signal_number: int) -> None:
        """Send the worker a signal, if it has not ended."""
        self._process.send_signal(signal_number)

    def lines(self) -> list[str]:
        """Return the complete lines printed since the last call; once the worker has ended, also an incomplete one."""
        if self._output.closed:
            return []
        has_ended = not self.is_alive()
        new = os.pread(self._output.fileno(), os.fstat(self._output.fileno()).st_size - self._offset, self._offset)
        self._offset += len(new)
        *whole, self._rest = (self._rest + new).split(b"\n")
        if has_ended:
            whole += [self._rest] if self._rest else []
            self._output.close()
            if self._process.stdin:
                self._process.stdin.close()
        return [line.decode(errors="replace").rstrip() for line in whole]


def python_path() -> str:
    """Return this process's module search path as a value of `PYTHONPATH`, without the current folder."""
    return os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path if entry)
