"""A station: the worker processes in one place of a cluster, started anew when they die.

It is where an engine put it, and dies with its node; nothing depends on it. It needs no PyTorch.
"""

import signal
import time
from dataclasses import dataclass
from pathlib import Path

from mnist_resnet.job_folder import LAUNCHES, UnreadableFolder
from mnist_resnet.jobs.lease import attempts, end_for_the_dead
from mnist_resnet.jobs.worker_options import read_orders
from mnist_resnet.launchers.devices import THREAD_VARIABLES, Place
from mnist_resnet.launchers.engine import LocalEngine, LocalWorker, Wanted
from mnist_resnet.sweeps.folder import read_sweep

POLL = 0.1
"""Seconds between two looks at the workers."""
VAIN_STARTS = 3
"""Workers that may die one after the other without having had a job."""


@dataclass
class _Post:
    number: int
    worker: LocalWorker
    vain_starts: int = 0


class Station:
    """Worker processes of a launch.

    Args:
        wanted: of the launch.
        first: the number of the first worker here.
        workers: how many there are here.
        place: what each is given.

    Attributes:
        workers: how many there are here.
    """

    def __init__(self, wanted: Wanted, first: int, workers: int, place: Place) -> None:
        self._wanted, self._place = wanted, place
        self.workers = workers
        self._numbers = range(first, first + workers)
        self._posts: list[_Post] = []
        self._is_ending = False

    def run(self) -> None:
        """Keep the workers at work until none has anything left to do, or all were asked to end."""
        self._posts = [_Post(number, self._start(number)) for number in self._numbers]
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
            return not read_orders(self._wanted.folder, self._wanted.launch).are_withdrawn()
        except UnreadableFolder:
            return False

    def _start(self, number: int) -> LocalWorker:
        return LocalEngine().start(self._wanted.arguments(number), self._place, self._wanted.path)

    def _send(self, signal_number: int) -> None:
        for post in self._posts:
            post.worker.send(signal_number)

    def _look_after(self, post: _Post) -> None:
        is_alive = post.worker.is_alive()
        self._log(post.number, post.worker.lines())
        if is_alive:
            return
        self._posts.remove(post)
        reason = post.worker.why_ended()
        if reason is None or self._is_ending or not self.has_work():
            return
        had_a_job = self._say_why(post, reason)
        vain = 0 if had_a_job else post.vain_starts + 1
        again = vain < VAIN_STARTS
        self._log(post.number, [f"worker {post.number}: {reason}{'; another one takes its place' * again}"])
        if again:
            self._posts.append(_Post(post.number, self._start(post.number), vain))

    def _say_why(self, post: _Post, reason: str) -> bool:
        """Say in the record of the attempt that the worker left behind why it died; whether there was one.

        Whoever took the job over meanwhile could only say that it did.
        """
        for folder in self._job_folders():
            for attempt in attempts(folder):
                is_its = attempt.get("launch") == self._wanted.launch and attempt.get("worker") == post.number
                if is_its and attempt.get("pid") == post.worker.pid and attempt["status"] in ("running", "interrupted"):
                    end_for_the_dead(folder, attempt["number"], reason)
                    return True
        return False

    def _job_folders(self) -> list[Path]:
        try:
            return [self._wanted.folder / job.name for job in read_sweep(self._wanted.folder).jobs]
        except UnreadableFolder:
            # A search has no jobs before the first trial.
            return []

    def _log(self, number: int, lines: list[str]) -> None:
        if not lines:
            return
        file = self._wanted.folder / LAUNCHES / f"{self._wanted.launch}-{number}.log"
        with file.open("a", encoding="utf-8") as opened:
            opened.write("".join(f"{line}\n" for line in lines))


def share_of_cores(count: float, workers: int) -> dict[str, str]:
    """The environment of a worker that has its share of so many cores."""
    return dict.fromkeys(THREAD_VARIABLES, str(max(1, int(count) // workers)))
