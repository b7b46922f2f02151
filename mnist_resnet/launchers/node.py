"""A station: the worker processes in one place of a cluster, started anew when they die.

It is where an engine put it, and dies with its node; nothing depends on it. It needs no PyTorch.
"""

import signal
import time
from dataclasses import dataclass
from pathlib import Path

from mnist_resnet.job_folder import LAUNCHES, UnreadableFolder
from mnist_resnet.jobs.lease import attempts, close_dead_attempt
from mnist_resnet.jobs.worker_options import read_worker_options
from mnist_resnet.launchers.devices import THREAD_VARIABLES, Placement
from mnist_resnet.launchers.engine import WorkerProcess, WorkerRequest, WorkerStarter
from mnist_resnet.sweeps.folder import read_sweep

POLL = 0.1
"""Seconds between two looks at the workers."""
MAX_FAILED_STARTS = 3
"""Workers that may die one after the other without having had a job."""


@dataclass
class _Slot:
    number: int
    worker: WorkerProcess
    failed_starts: int = 0


class NodeSupervisor:
    """Worker processes of a launch.

    Args:
        request: of the launch.
        first: the number of the first worker here.
        workers: how many there are here.
        placement: what each is given.

    Attributes:
        workers: how many there are here.
    """

    def __init__(self, request: WorkerRequest, first: int, workers: int, placement: Placement) -> None:
        self._request, self._placement = request, placement
        self.workers = workers
        self._numbers = range(first, first + workers)
        self._posts: list[_Slot] = []
        self._is_ending = False

    def run(self) -> None:
        """Keep the workers at work until none has anything left to do, or all were asked to end."""
        self._posts = [_Slot(number, self._start(number)) for number in self._numbers]
        while self._posts:
            if self._is_ending:
                self._send(signal.SIGTERM)
            for post in list(self._posts):
                self._look_after(post)
            time.sleep(POLL)

    def end(self) -> None:
        """Ask the workers to end after a checkpoint; safe in a signal handler."""
        self._is_ending = True

    def kill(self) -> None:
        """End the workers at once."""
        self._is_ending = True
        self._send(signal.SIGKILL)

    def has_work(self) -> bool:
        """Whether the launch is not over, and nobody asked its workers to end: then one could be of use again."""
        try:
            return not read_worker_options(self._request.folder, self._request.launch).stop_was_requested()
        except UnreadableFolder:
            return False

    def _start(self, number: int) -> WorkerProcess:
        return WorkerStarter().start(self._request.arguments(number), self._placement, self._request.path)

    def _send(self, signal_number: int) -> None:
        for post in self._posts:
            post.worker.send(signal_number)

    def _look_after(self, post: _Slot) -> None:
        is_alive = post.worker.is_alive()
        self._log(post.number, post.worker.lines())
        if is_alive:
            return
        self._posts.remove(post)
        reason = post.worker.exit_reason()
        if reason is None or self._is_ending or not self.has_work():
            return
        had_a_job = self._say_why(post, reason)
        vain = 0 if had_a_job else post.failed_starts + 1
        again = vain < MAX_FAILED_STARTS
        self._log(post.number, [f"worker {post.number}: {reason}{'; another one takes its placement' * again}"])
        if again:
            self._posts.append(_Slot(post.number, self._start(post.number), vain))

    def _say_why(self, post: _Slot, reason: str) -> bool:
        """Say in the record of the attempt that the worker left behind why it died; whether there was one.

        Whoever took the job over meanwhile could only say that it did.
        """
        for folder in self._job_folders():
            for attempt in attempts(folder):
                is_its = attempt.get("launch") == self._request.launch and attempt.get("worker") == post.number
                if is_its and attempt.get("pid") == post.worker.pid and attempt["status"] in ("running", "interrupted"):
                    close_dead_attempt(folder, attempt["number"], reason)
                    return True
        return False

    def _job_folders(self) -> list[Path]:
        try:
            return [self._request.folder / job.name for job in read_sweep(self._request.folder).jobs]
        except UnreadableFolder:
            # A search has no jobs before the first trial.
            return []

    def _log(self, number: int, lines: list[str]) -> None:
        if not lines:
            return
        file = self._request.folder / LAUNCHES / f"{self._request.launch}-{number}.log"
        with file.open("a", encoding="utf-8") as opened:
            opened.write("".join(f"{line}\n" for line in lines))


def share_of_cores(count: float, workers: int) -> dict[str, str]:
    """The environment of a worker that has its share of so many cores."""
    return dict.fromkeys(THREAD_VARIABLES, str(max(1, int(count) // workers)))
