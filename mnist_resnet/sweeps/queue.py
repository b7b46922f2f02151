"""The jobs that a worker is still to see ended, in the order to take them in."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.job_folder import Status
from mnist_resnet.jobs.lease import LeaseMonitor
from mnist_resnet.sweeps.cost import CostModel
from mnist_resnet.sweeps.folder import JobState, Sweep, job_state


class Turn(NamedTuple):
    """A job to run: as it stood when the sweep was launched, and now."""

    begun: JobState
    now: JobState


class Queue:
    """The jobs of a launch that have not ended, as one of its processes sees them.

    It goes through them in rounds, so that what others hold is not looked at again for each job that is taken: of n
    jobs and w workers the folders are looked at about n × w times in all, early and late alike.

    Args:
        sweep: theirs.
        pending: the jobs as they stood when the sweep was launched, in their order.
        monitor: the process's memory of who holds what.
        costs: where given, the longest job goes first, by the jobs that have ended so far; else the order is kept.
        chain: what jobs have in common of which the longer goes on from the shorter one's end; those go short first.
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
        self._chains = {one.job.name: chain(one.job) or one.job.name for one in pending} if costs else {}
        self._next, self._learnt, self._sort_at = 0, 0, 1
        self.ended = 0
        self._sort()

    def __len__(self) -> int:
        """How many have not ended, as far as is known."""
        return len(self._open)

    def take(self, may_take_over: Callable[[Path], bool]) -> Turn | None:
        """The next job that nobody holds; None at the end of a round.

        Args:
            may_take_over: whether the job in a folder may be taken over, if nobody holds it.
        """
        if self._learnt >= self._sort_at:
            self._sort()
        while self._next < len(self._open):
            begun = self._open[self._next]
            now = job_state(self._sweep, begun.job, self._monitor)
            if self._refresh(begun, now):
                continue
            self._next += 1
            if now.action != "leave" and may_take_over(self._sweep.folder_of(now.job)):
                return Turn(begun, now)
        self._next = 0
        return None

    def ran(self, turn: Turn) -> None:
        """This process has run the job that it took last, or could not get it."""
        self._next -= 1
        if not self._refresh(turn.begun, job_state(self._sweep, turn.begun.job, self._monitor)):
            self._next += 1

    def held(self) -> list[JobState]:
        """How those stand that have not ended."""
        return [job_state(self._sweep, begun.job, self._monitor) for begun in self._open]

    def _refresh(self, begun: JobState, now: JobState) -> bool:
        """Take a job that has ended off the list, which must be the next one on it; whether it has."""
        if now.is_due and not (now.status == Status.FAILED and now.attempt > begun.attempt):
            return False
        del self._open[self._next]
        self.ended += 1
        if self._costs and now.seconds is not None:
            self._costs.learn(now.job.config, now.seconds)
            self._learnt += 1
        return True

    def _sort(self) -> None:
        """Begin a new round, in an order that goes by what was learnt; the more was, the less often."""
        self._sort_at = max(1, 2 * self._learnt)
        if self._costs is None:
            return
        configs = [one.job.config for one in self._open]
        ranks = self._costs.ranks(configs)
        longest: dict[str, float] = {}
        for one, rank in zip(self._open, ranks, strict=True):
            chain = self._chains[one.job.name]
            longest[chain] = max(longest.get(chain, -math.inf), rank)
        of_name = {one.job.name: rank for one, rank in zip(self._open, ranks, strict=True)}
        firsts: dict[str, int] = {}
        for position, one in enumerate(self._open):
            firsts.setdefault(self._chains[one.job.name], position)

        def key(one: JobState) -> tuple[float, int, float]:
            chain = self._chains[one.job.name]
            return -longest[chain], firsts[chain], of_name[one.job.name]

        self._open.sort(key=key)
        self._next = 0
