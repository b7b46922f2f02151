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
from mnist_resnet.jobs.worker_options import launch_is_active, read_worker_options
from mnist_resnet.launchers import devices
from mnist_resnet.launchers.devices import Placement
from mnist_resnet.launchers.engine import WorkerRequest
from mnist_resnet.launchers.node import NodeSupervisor


class LocalEngine:
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

    def submit(self, request: WorkerRequest) -> "LocalSubmission":
        """Start them."""
        placements = devices.placements(request.workers, self._gpus, self._cores)
        log = request.folder / LAUNCHES / f"{request.launch}.log"
        with log.open("a", encoding="utf-8") as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-u", "-m", __name__],
                env=os.environ | {"PYTHONPATH": request.path},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert process.stdin is not None
        told = asdict(request) | {"folder": str(request.folder)}
        process.stdin.write(
            json.dumps({"wanted": told, "places": [asdict(placement) for placement in placements]}).encode()
        )
        process.stdin.close()
        return LocalSubmission(process, request, placements)


class LocalSubmission:
    """Workers that were started in a session of their own."""

    def __init__(self, process: "subprocess.Popen[bytes]", request: WorkerRequest, placements: list[Placement]) -> None:
        self._process, self._request, self._placements = process, request, placements

    def describe(self) -> str:
        """Where they are, and how to end them."""
        where = ", ".join(dict.fromkeys(placement.name for placement in self._placements))
        count = f"{len(self._placements)} worker{'s' * (len(self._placements) != 1)}"
        folder = shlex.quote(str(self._request.folder))
        return (
            f"{count} on {where}, in a session of their own (process {self._process.pid}): they go on when this "
            f"terminal closes\nwhat they print: {self._request.folder / LAUNCHES / self._request.launch}-*.log\n"
            f"to end them after a checkpoint: python -m mnist_resnet.sweep {folder} --stop"
        )

    def alive(self) -> int:
        """How many are kept at work."""
        return len(self._placements) if self._process.poll() is None else 0

    def cancel_pending(self) -> None:
        """Nothing: all have started."""

    def end(self) -> None:
        """Ask all to end after a checkpoint."""
        self._process.send_signal(signal.SIGTERM)


def keep_at_work(request: WorkerRequest, placements: list[Placement]) -> None:
    """Keep a worker at each place until nothing is left to do, or all were asked to end; then see to the end."""
    stations: list[NodeSupervisor] = []
    for _, group in groupby(sorted(placements, key=_name), key=_name):
        alike = list(group)
        first = 1 + sum(station.workers for station in stations)
        stations.append(NodeSupervisor(request, first, len(alike), alike[0]))

    def end(*_: object) -> None:
        for station in stations:
            station.end()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with ThreadPoolExecutor(len(stations)) as pool:
        for done in [pool.submit(station.run) for station in stations]:
            done.result()
    if launch_is_active(request.folder, request.launch):
        # They were asked to end, or none stays alive: who comes to an end by himself has seen to all this.
        from mnist_resnet.launchers.worker import conclude

        conclude(request.folder)
        read_worker_options(request.folder, request.launch).remove()


def _name(placement: Placement) -> str:
    return placement.name


def main() -> None:
    """The process in the new session; what it is to do comes by standard input."""
    told = json.load(sys.stdin)
    request = WorkerRequest(**told["wanted"] | {"folder": Path(told["wanted"]["folder"])})
    keep_at_work(request, [Placement(**placement) for placement in told["places"]])


if __name__ == "__main__":
    main()
