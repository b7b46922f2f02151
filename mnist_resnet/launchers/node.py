"""Supervises the worker processes on one node, and replaces workers that die.

An engine starts the supervisor on the node, and it ends with the node. Workers elsewhere don't depend on it. It does
not load PyTorch.
"""

import signal
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mnist_resnet.attempts import attempts
from mnist_resnet.job_folder import LAUNCHES, UnreadableFolder
from mnist_resnet.jobs.lease import close_dead_attempt
from mnist_resnet.jobs.worker_options import UNFINISHED, read_worker_options
from mnist_resnet.launchers.devices import THREAD_VARIABLES, Placement
from mnist_resnet.launchers.engine import WorkerProcess, WorkerRequest, WorkerStarter
from mnist_resnet.stored_file import append_stored
from mnist_resnet.sweeps.folder import job_folders

POLL = 0.1
"""Seconds between two checks of the workers."""
MAX_FAILED_STARTS = 3
"""Number of workers in a row that may die without having started a job; then no further one is started."""


@dataclass
class _Slot:
    """A worker's number, its current process, and how many processes in a row died before starting a job."""

    number: int
    worker: WorkerProcess
    failed_starts: int = 0


class NodeSupervisor:
    """Starts and supervises worker processes on this node.

    Args:
        request: The launch's request.
        first: Number of the first worker on this node.
        workers: Number of workers on this node.
        placement: Device or cores of each worker.

    Attributes:
        workers: Number of workers on this node.
    """

    def __init__(self, request: WorkerRequest, first: int, workers: int, placement: Placement) -> None:
        self._request, self._placement = request, placement
        self.workers = workers
        self._numbers = range(first, first + workers)
        self._slots: list[_Slot] = []
        self._is_ending = False

    def run(self) -> None:
        """Run the workers until nothing is left to do, or all were asked to end."""
        self._slots = [_Slot(number, self._start(number)) for number in self._numbers]
        while self._slots:
            if self._is_ending:
                self._send(signal.SIGTERM)
            for slot in list(self._slots):
                self._check(slot)
            time.sleep(POLL)

    def end(self) -> None:
        """Ask the workers to end after a checkpoint. Safe in a signal handler."""
        self._is_ending = True

    def kill(self) -> None:
        """Kill the workers."""
        self._is_ending = True
        self._send(signal.SIGKILL)

    def has_work(self) -> bool:
        """Return whether a new worker could have work: the launch is active, and no stop was requested."""
        try:
            return not read_worker_options(self._request.folder, self._request.launch).stop_was_requested()
        except UnreadableFolder:
            return False

    def _start(self, number: int) -> WorkerProcess:
        return WorkerStarter().start(self._request.arguments(number), self._placement, self._request.path)

    def _send(self, signal_number: int) -> None:
        for slot in self._slots:
            slot.worker.send(signal_number)

    def _check(self, slot: _Slot) -> None:
        is_alive = slot.worker.is_alive()
        self._log(slot.number, slot.worker.lines())
        if is_alive:
            return
        self._slots.remove(slot)
        reason = slot.worker.exit_reason()
        if reason is None or self._is_ending or not self.has_work():
            return
        had_job = self._record_reason(slot, reason)
        failed_starts = 0 if had_job else slot.failed_starts + 1
        is_replaced = failed_starts < MAX_FAILED_STARTS
        self._log(slot.number, [f"worker {slot.number}: {reason}{'; starting another one' * is_replaced}"])
        if is_replaced:
            self._slots.append(_Slot(slot.number, self._start(slot.number), failed_starts))

    def _record_reason(self, slot: _Slot, reason: str) -> bool:
        """Record why the worker died in the attempt that it left behind; return whether it had begun any job.

        The worker that takes over the job could only record that the process is gone.
        """
        had_job = False
        for folder in self._job_folders():
            # What can't be read or written now is left to the worker that takes over the job.
            with suppress(OSError):
                for attempt in self._attempts_of(slot, folder):
                    had_job = True
                    if attempt["status"] in UNFINISHED:
                        close_dead_attempt(folder, attempt["number"], reason)
                        return True
        return had_job

    def _attempts_of(self, slot: _Slot, folder: Path) -> list[dict[str, Any]]:
        its = {"launch": self._request.launch, "worker": slot.number, "pid": slot.worker.pid}
        return [attempt for attempt in attempts(folder) if its.items() <= attempt.items()]

    def _job_folders(self) -> list[Path]:
        try:
            return job_folders(self._request.folder)
        except UnreadableFolder:
            return []

    def _log(self, number: int, lines: list[str]) -> None:
        if not lines:
            return
        file = self._request.folder / LAUNCHES / f"{self._request.launch}-{number}.log"
        with append_stored(file) as opened:
            opened.write("".join(f"{line}\n" for line in lines))


def share_of_cores(count: float, workers: int) -> dict[str, str]:
    """Return environment variables that give a worker an equal share of so many cores."""
    return dict.fromkeys(THREAD_VARIABLES, str(max(1, int(count) // workers)))
