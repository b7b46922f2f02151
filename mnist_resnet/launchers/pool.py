"""A sweep drained by workers: started, watched, replaced when they die, asked to end when this process is."""

import secrets
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mnist_resnet.config.job_spec import FrozenJob
from mnist_resnet.config.schema import Workers
from mnist_resnet.errors import UsageError
from mnist_resnet.jobs.crash import Casualty, settle
from mnist_resnet.jobs.lease import Watch
from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.jobs.stop_request import hearing, last_request
from mnist_resnet.jobs.worker_options import Orders
from mnist_resnet.launchers import devices
from mnist_resnet.launchers.devices import Place
from mnist_resnet.launchers.engine import LocalEngine, Wanted, Worker
from mnist_resnet.launchers.gpu_sharing import sharing
from mnist_resnet.launchers.submit import submit_and_wait
from mnist_resnet.sweeps.folder import read_sweep, standing
from mnist_resnet.sweeps.live_dashboard import LivePage
from mnist_resnet.sweeps.pending import Docket, SweepDocket
from mnist_resnet.tracking.console import Screen

POLL = 0.1
"""Seconds between two looks at the workers."""
SHARE = 0.02
"""Of the time that may go into looking at the jobs' folders, at most."""
VAIN_STARTS = 3
"""Workers that may die one after the other in one place without having had a job there."""
GRACE = {signal.SIGTERM: 60.0, signal.SIGINT: 10.0}
"""Seconds that workers get to end when something goes wrong here, by the signal that they are sent."""


def drain_by_workers(
    folder: Path, names: Sequence[str], on_failure: str, retries: int, settings: Workers, detach: bool
) -> None:
    """Have those of the sweep's jobs that are named run by workers, until each has ended.

    Args:
        folder: the sweep folder.
        names: of the jobs.
        on_failure: `continue`, or `stop` to begin no further job after one that failed.
        retries: how often a job goes on after its process died.
        settings: who starts how many workers.
        detach: whether to return once the workers are submitted.

    Raises:
        UsageError: a job asks for a device that no worker sees, or the engine refuses.
        Interrupted: the program was asked to end.
    """
    sweep, watch, interrupt = read_sweep(folder), Watch(), Interrupt()
    jobs = {job.name: job for job in sweep.jobs}
    chosen = [jobs[name] for name in names]
    begun = {job.name: standing(sweep, job, watch).attempt for job in chosen}
    attended = is_attended(settings, detach)
    orders = Orders(folder.absolute(), secrets.token_hex(8), begun, on_failure, last_request(folder), attended)
    docket = SweepDocket(sweep, chosen, orders)
    with interrupt.listening(), hearing(folder, interrupt), Screen(len(chosen)) as screen:
        engage(docket, orders, chosen, retries, settings, detach, screen, interrupt)


def is_attended(settings: Workers, detach: bool) -> bool:
    """Whether the launching process watches over its workers."""
    return settings.engine == "local" and not detach


def engage(
    docket: Docket,
    orders: Orders,
    jobs: Sequence[FrozenJob],
    retries: int,
    settings: Workers,
    detach: bool,
    screen: Screen,
    interrupt: Interrupt,
) -> None:
    """Have workers run what is on the docket, until nothing is left.

    Args:
        docket: of the launch.
        orders: of the launch; not written yet.
        jobs: such as they run, for the devices that they ask for.
        retries: how often a job goes on after its process died.
        settings: who starts how many workers.
        detach: whether to return once the workers are submitted.
        screen: to tell people.
        interrupt: of this process.

    Raises:
        UsageError: a job asks for a device that no worker sees, or the engine refuses.
        Interrupted: the program was asked to end.
    """
    asked = asked_devices(jobs)
    if not orders.attended:
        submit_and_wait(docket, orders, asked, settings, detach, screen, interrupt)
        return
    places = places_for(asked, docket.left, settings.workers, settings.jobs_per_device)
    screen.say(told(places))
    with sharing(places) as (places, line):
        if line:
            screen.say(line)
        orders.write()
        try:
            Crew(docket, orders, retries, LocalEngine(), screen, interrupt).drain(places)
        finally:
            orders.remove()


def asked_devices(jobs: Sequence[FrozenJob]) -> set[str]:
    """What the jobs ask for by `trainer.device`.

    Raises:
        UsageError: a device by a number; each worker sees one device alone.
    """
    asked = {str(job.config["trainer"]["device"]) for job in jobs}
    for device in sorted(asked):
        if device.startswith("cuda:"):
            raise UsageError(f"trainer.device={device}: hydra/launcher=workers deals out the GPUs itself; take cuda")
    return asked


def places_for(asked: set[str], jobs: int, workers: int | None, jobs_per_device: int) -> list[Place]:
    """Where the workers of this machine work.

    Args:
        asked: devices, by `trainer.device`.
        jobs: how many there are.
        workers: how many; None: `jobs_per_device` for each GPU, or for each core.
        jobs_per_device: see there.
    """
    gpus, cores = devices.gpus_for(asked), devices.usable_cores()
    count = workers or (len(gpus) or cores) * jobs_per_device
    return devices.places(min(count, max(1, jobs)), gpus, cores)


def told(places: Sequence[Place]) -> str:
    """The places in one line, for people."""
    distinct = list(dict.fromkeys(place.name for place in places))
    return f"{len(places)} worker{'s' * (len(places) != 1)} on {', '.join(distinct)}"


@dataclass
class _Post:
    """A place with its worker at present."""

    place: Place
    number: int
    worker: Worker
    vain_starts: int = 0


class Crew:
    """The workers of one launch, as the process sees them that watches over them.

    Args:
        docket: what they are to do.
        orders: which the workers follow; they lie in the sweep folder.
        retries: how often a job goes on after its process died.
        engine: starts workers.
        screen: shows what they print, and how many jobs have ended.
        interrupt: whether all are to end.
    """

    def __init__(
        self,
        docket: Docket,
        orders: Orders,
        retries: int,
        engine: LocalEngine,
        screen: Screen,
        interrupt: Interrupt,
    ) -> None:
        self._docket, self._orders, self._retries, self._engine = docket, orders, retries, engine
        self._screen, self._interrupt = screen, interrupt
        self._posts: list[_Post] = []
        self._watch, self._page = Watch(), LivePage(orders.folder)
        self._started, self._next_count = 0, 0.0

    def drain(self, places: Sequence[Place]) -> None:
        """Keep a worker at each place until nothing is left to do, or none can be kept.

        Raises:
            Interrupted: the program was asked to end, and the workers have.
        """
        told: int | None = None
        try:
            for place in places:
                self._posts.append(self._start(place))
            while self._posts:
                if self._interrupt.requested != told:
                    told = self._interrupt.requested
                    self._send(told or signal.SIGTERM)
                for post in list(self._posts):
                    self._look_after(post)
                self._count()
                self._page.refresh()
                time.sleep(POLL)
        except BaseException as error:
            self._end(signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM)
            raise
        finally:
            self._send(signal.SIGKILL)
        self._interrupt.check()

    def _start(self, place: Place) -> _Post:
        self._started += 1
        # All targets were checked when the sweep was launched.
        wanted = Wanted(self._orders.folder, self._orders.launch, 1, list(self._docket.targets()))
        return _Post(place, self._started, self._engine.start(wanted.arguments(self._started), place))

    def _look_after(self, post: _Post) -> None:
        is_alive = post.worker.is_alive()
        for line in post.worker.lines():
            self._screen.say(line)
        if is_alive:
            return
        self._posts.remove(post)
        reason = post.worker.why_ended()
        if reason is None or self._interrupt.requested or self._orders.are_withdrawn():
            return
        self._count(at_once=True)
        had_a_job = self._settle(post, reason)
        vain = 0 if had_a_job else post.vain_starts + 1
        if vain == VAIN_STARTS:
            self._screen.say(f"no worker stays alive on {post.place.name}; none is started there any more")
        elif len(self._posts) < self._docket.left and not self._orders.is_stopped():
            self._posts.append(self._start(post.place))
            self._posts[-1].vain_starts = vain

    def _settle(self, post: _Post, reason: str) -> bool:
        """Say what becomes of the job that a worker left behind; whether there was one."""
        for job in self._docket.jobs.values():
            casualty = Casualty.of(self._orders.folder / job.name, self._orders.launch, post.number, reason)
            if casualty is None:
                continue
            if settle(job, casualty, self._retries, self._watch):
                self._screen.say(f"{job.name}: failed: {reason}")
                self._orders.stop()
            else:
                retry = f"retry {casualty.deaths} of {self._retries}"
                self._screen.say(f"{job.name}: {reason}; goes on from its last checkpoint ({retry})")
            self._count(at_once=True)
            return True
        self._screen.say(f"worker {post.number}: {reason}")
        return False

    def _count(self, at_once: bool = False) -> None:
        """Strike off the jobs that have ended; how often depends on how long it takes."""
        started = time.monotonic()
        if not at_once and started < self._next_count:
            return
        self._docket.strike_off()
        self._screen.count(self._screen.jobs - self._docket.left)
        ended = time.monotonic()
        self._next_count = ended + (ended - started) / SHARE

    def _send(self, signal_number: int) -> None:
        for post in self._posts:
            post.worker.send(signal_number)

    def _end(self, signal_number: signal.Signals) -> None:
        """Something went wrong here: leave no worker behind."""
        self._send(signal_number)
        until = time.monotonic() + GRACE[signal_number]
        while time.monotonic() < until and any(post.worker.is_alive() for post in self._posts):
            time.sleep(POLL)
