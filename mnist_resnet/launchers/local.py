"""Workers on this machine in a session of their own: they outlive the terminal, and the process that started them.

One process there keeps them at work, as a station of a cluster does. `python -m mnist_resnet.launchers.local` is it.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from mnist_resnet.job_folder import LAUNCHES
from mnist_resnet.jobs.worker_options import is_under_way, read_orders
from mnist_resnet.launchers import devices
from mnist_resnet.launchers.devices import Place
from mnist_resnet.launchers.engine import Wanted
from mnist_resnet.launchers.node import Station


class DetachedEngine:
    """Starts workers of this machine that go on when this process is gone.

    Args:
        asked: devices that the jobs ask for, by `trainer.device`.
        jobs_per_device: workers that share one GPU, or one core.
    """

    def __init__(self, asked: Collection[str], jobs_per_device: int = 1) -> None:
        self._gpus, self._cores = devices.gpus_for(asked), devices.usable_cores()
        self._jobs_per_device = jobs_per_device

    def usual(self, jobs: int) -> int:
        """One for each GPU, or each core, times `jobs_per_device`; one for each job at most."""
        return min(jobs, (len(self._gpus) or self._cores) * self._jobs_per_device)

    def submit(self, wanted: Wanted) -> "Session":
        """Start them."""
        places = devices.places(wanted.workers, self._gpus, self._cores)
        log = wanted.folder / LAUNCHES / f"{wanted.launch}.log"
        with log.open("a", encoding="utf-8") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-u", "-m", __name__],
                env=os.environ | {"PYTHONPATH": wanted.path},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert process.stdin is not None
        told = asdict(wanted) | {"folder": str(wanted.folder)}
        process.stdin.write(json.dumps({"wanted": told, "places": [asdict(place) for place in places]}).encode())
        process.stdin.close()
        return Session(process, wanted, places)


class Session:
    """Workers that were started in a session of their own."""

    def __init__(self, process: "subprocess.Popen[bytes]", wanted: Wanted, places: list[Place]) -> None:
        self._process, self._wanted, self._places = process, wanted, places

    def told(self) -> str:
        """Where they are, and how to end them."""
        where = ", ".join(dict.fromkeys(place.name for place in self._places))
        count = f"{len(self._places)} worker{'s' * (len(self._places) != 1)}"
        folder = shlex.quote(str(self._wanted.folder))
        return (
            f"{count} on {where}, in a session of their own (process {self._process.pid}): they go on when this "
            f"terminal closes\nwhat they print: {self._wanted.folder / LAUNCHES / self._wanted.launch}-*.log\n"
            f"to end them after a checkpoint: python -m mnist_resnet.sweep {folder} --stop"
        )

    def alive(self) -> int:
        """How many are kept at work."""
        return len(self._places) if self._process.poll() is None else 0

    def withdraw(self) -> None:
        """Nothing: all have started."""

    def end(self) -> None:
        """Ask all to end after a checkpoint."""
        self._process.send_signal(signal.SIGTERM)


def keep_at_work(wanted: Wanted, places: list[Place]) -> None:
    """Keep a worker at each place until nothing is left to do, or all were asked to end; then see to the end."""
    stations: list[Station] = []
    for _, group in groupby(sorted(places, key=_name), key=_name):
        alike = list(group)
        first = 1 + sum(station.workers for station in stations)
        stations.append(Station(wanted, first, len(alike), alike[0]))

    def end(*_: object) -> None:
        for station in stations:
            station.end()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with ThreadPoolExecutor(len(stations)) as pool:
        for done in [pool.submit(station.run) for station in stations]:
            done.result()
    if is_under_way(wanted.folder, wanted.launch):
        # They were asked to end, or none stays alive: who comes to an end by himself has seen to all this.
        from mnist_resnet.launchers.worker import conclude_work

        conclude_work(wanted.folder)
        read_orders(wanted.folder, wanted.launch).remove()


def _name(place: Place) -> str:
    return place.name


def main() -> None:
    """The process in the new session; what it is to do comes by standard input."""
    told = json.load(sys.stdin)
    wanted = Wanted(**told["wanted"] | {"folder": Path(told["wanted"]["folder"])})
    keep_at_work(wanted, [Place(**place) for place in told["places"]])


if __name__ == "__main__":
    main()
