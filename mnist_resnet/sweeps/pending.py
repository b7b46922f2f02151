"""What a launch still waits for: its jobs that have not ended, wherever they are run."""

from collections.abc import Iterable
from typing import Protocol

from mnist_resnet.config.allowed_targets import targets
from mnist_resnet.config.job_spec import FrozenJob
from mnist_resnet.job_folder import Status
from mnist_resnet.jobs.lease import Watch
from mnist_resnet.jobs.worker_options import Orders
from mnist_resnet.sweeps.folder import Sweep, standing


class Docket(Protocol):
    """The jobs of a launch that have not ended, as they stood when `strike_off` was last called."""

    @property
    def jobs(self) -> dict[str, FrozenJob]:
        """Those that are frozen, by name."""

    @property
    def left(self) -> int:
        """How many are to end, those that are yet to be asked for among them."""

    def targets(self) -> set[str]:
        """What the jobs run, by their `_target_`."""

    def strike_off(self) -> None:
        """Look which have ended since."""


class SweepDocket:
    """Of a sweep whose jobs were all frozen when it was launched.

    Args:
        sweep: theirs.
        jobs: of it, that the launch is to run.
        orders: of the launch.
    """

    def __init__(self, sweep: Sweep, jobs: Iterable[FrozenJob], orders: Orders) -> None:
        self.jobs = {job.name: job for job in jobs}
        self._sweep, self._orders, self._watch = sweep, orders, Watch()

    @property
    def left(self) -> int:
        """How many are to end."""
        return len(self.jobs)

    def targets(self) -> set[str]:
        """What the jobs run, by their `_target_`."""
        return {target for job in self.jobs.values() for target in targets(job.config)}

    def strike_off(self) -> None:
        """Look which have ended since."""
        for job in list(self.jobs.values()):
            now = standing(self._sweep, job, self._watch)
            if not now.is_due or (now.status == Status.FAILED and now.attempt > self._orders.jobs[job.name]):
                del self.jobs[job.name]
