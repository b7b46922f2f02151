"""A worker's queue: the jobs of a launch that have not ended, in the order in which to run them."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.sweeps.cost import CostModel
from mnist_resnet.sweeps.folder import JobState, Sweep, job_state


class QueuedJob(NamedTuple):
    """A job to run: its state at launch, and now."""

    at_launch: JobState
    now: JobState


class Queue:
    """The jobs of a launch that have not ended, as one of its workers sees them.

    The queue is processed in rounds, so that the folders of jobs that other workers hold are not read again for each
    job that is taken. With n jobs and w workers, folders are read about n × w times in all.

    Args:
        sweep: the sweep.
        pending: the states of the jobs at launch, in their order.
        monitor: this process's lease monitor.
        costs: if given, the longest job comes first, by the jobs that have ended so far. Otherwise the order is kept.
        chain: returns a key that is the same for jobs that can each resume from the end of a shorter one, or None. With
            `costs`, such jobs are run together, the shortest first.

    Attributes:
        ended: number of jobs that have ended.
    """

    def __init__(
        self,
        sweep: Sweep,
        pending: Sequence[JobState],
        monitor: LeaseMonitor,
        costs: CostModel | None = None,
        chain: Callable[[JobSpec], str | None] = lambda _: None,
    ) -> None:
        self._sweep, self._monitor, self._costs = sweep, monitor, costs
        self._open = list(pending)
        self._chains = {state.job.name: chain(state.job) or state.job.name for state in pending} if costs else {}
        self._next, self._learnt, self._sort_at = 0, 0, 1
        self.ended = 0
        self._sort()

    def __len__(self) -> int:
        """Return the number of jobs that are not known to have ended."""
        return len(self._open)

    def take(self, may_take_over: Callable[[Path], bool]) -> QueuedJob | None:
        """Return the next job without a lease; None at the end of a round.

        Args:
            may_take_over: whether the job in a folder may be run, if nobody holds its lease.
        """
        if self._learnt >= self._sort_at:
            self._sort()
        while self._next < len(self._open):
            at_launch = self._open[self._next]
            now = job_state(self._sweep, at_launch.job, self._monitor)
            if self._remove_if_ended(at_launch, now):
                continue
            self._next += 1
            if now.action != "leave" and may_take_over(self._sweep.folder_of(now.job)):
                return QueuedJob(at_launch, now)
        self._next = 0
        return None

    def update(self, job: QueuedJob) -> None:
        """Read the state of the job that was taken last, after it was run or its lease was not acquired."""
        self._next -= 1
        if not self._remove_if_ended(job.at_launch, job_state(self._sweep, job.at_launch.job, self._monitor)):
            self._next += 1

    def states(self) -> list[JobState]:
        """Return the current states of the jobs in the queue."""
        return [job_state(self._sweep, at_launch.job, self._monitor) for at_launch in self._open]

    def _remove_if_ended(self, at_launch: JobState, now: JobState) -> bool:
        """Remove the job at position `self._next` if it has ended, and return whether it has."""
        if not now.has_ended_since(at_launch.attempt):
            return False
        del self._open[self._next]
        self.ended += 1
        if self._costs and now.seconds is not None:
            self._costs.learn(now.job.config, now.seconds)
            self._learnt += 1
        return True

    def _sort(self) -> None:
        """Start a new round, ordered by the current costs.

        The next sort is due when the number of jobs learnt from has doubled.
        """
        self._sort_at = max(1, 2 * self._learnt)
        if self._costs is None:
            return
        ranks = self._costs.ranks([state.job.config for state in self._open])
        rank_of = {state.job.name: rank for state, rank in zip(self._open, ranks, strict=True)}
        longest: dict[str, float] = {}
        first_position: dict[str, int] = {}
        for position, state in enumerate(self._open):
            chain = self._chains[state.job.name]
            longest[chain] = max(longest.get(chain, -math.inf), rank_of[state.job.name])
            first_position.setdefault(chain, position)

        def key(state: JobState) -> tuple[float, int, float]:
            chain = self._chains[state.job.name]
            return -longest[chain], first_position[chain], rank_of[state.job.name]

        self._open.sort(key=key)
        self._next = 0
