"""Runs workers on this machine in a separate session: they outlive the terminal and the process that started them.

One process in that session supervises them, `python -m mnist_resnet.launchers.local`.
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
from mnist_resnet.stored_file import append_stored


class LocalEngine:
    """Starts workers on this machine that outlive this process.

    Args:
        requested: The jobs' values of `trainer.device`.
        jobs_per_device: Number of workers that share one GPU, or one core.
    """

    def __init__(self, requested: Collection[str], jobs_per_device: int = 1) -> None:
        self._gpus, self._cores = devices.gpus_for(requested), devices.usable_cores()
        self._jobs_per_device = jobs_per_device

    def default_workers(self, jobs: int) -> int:
        """Return `jobs_per_device` workers for each GPU, or for each core if there is none; at most one a job."""
        return min(jobs, (len(self._gpus) or self._cores) * self._jobs_per_device)

    def submit(self, request: WorkerRequest) -> "LocalSubmission":
        """Start the process that supervises the workers."""
        placements = devices.placements(request.workers, self._gpus, self._cores)
        log = request.folder / LAUNCHES / f"{request.launch}.log"
        with append_stored(log) as output:
            process = subprocess.Popen(
                [sys.executable, "-P", "-u", "-m", __name__],
                env=os.environ | {"PYTHONPATH": request.path},
                stdin=subprocess.PIPE,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert process.stdin is not None
        content = asdict(request) | {"folder": str(request.folder)}
        process.stdin.write(
            json.dumps({"wanted": content, "places": [asdict(placement) for placement in placements]}).encode()
        )
        process.stdin.close()
        return LocalSubmission(process, request, placements)


class LocalSubmission:
    """Workers that were started in a separate session."""

    def __init__(self, process: "subprocess.Popen[bytes]", request: WorkerRequest, placements: list[Placement]) -> None:
        self._process, self._request, self._placements = process, request, placements

    def describe(self) -> str:
        """Return a human-readable description: where the workers run, where they log, and how to end them."""
        folder = self._request.folder
        ignored = devices.ignored_threads(self._placements[0].environment)
        return (
            f"{devices.workers_on(self._placements)}, in a separate session (process {self._process.pid}): they go on "
            f"when this terminal closes{ignored}\n"
            f"their output: {folder / LAUNCHES / self._request.launch}-*.log\n"
            f"to end them after a checkpoint: python -m mnist_resnet.sweep {shlex.quote(str(folder))} --stop"
        )

    def alive(self) -> int:
        """Return the number of workers while their supervising process runs, then 0."""
        return len(self._placements) if self._process.poll() is None else 0

    def pending_reason(self) -> str | None:
        """Return None: all workers have started."""
        return None

    def cancel_pending(self) -> None:
        """Do nothing: all workers have started."""

    def end(self) -> None:
        """Ask all workers to end after a checkpoint."""
        self._process.send_signal(signal.SIGTERM)


def supervise(request: WorkerRequest, placements: list[Placement]) -> None:
    """Run a worker for each placement until nothing is left to do or all were asked to end; then conclude the sweep."""
    supervisors: list[NodeSupervisor] = []
    for _, group in groupby(sorted(placements, key=_name), key=_name):
        same = list(group)
        first = 1 + sum(supervisor.workers for supervisor in supervisors)
        supervisors.append(NodeSupervisor(request, first, len(same), same[0]))

    def end(*_: object) -> None:
        for supervisor in supervisors:
            supervisor.end()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    with ThreadPoolExecutor(len(supervisors)) as pool:
        for done in [pool.submit(supervisor.run) for supervisor in supervisors]:
            done.result()
    if launch_is_active(request.folder, request.launch):
        # The workers were asked to end, or kept dying. A worker that ends by itself has done this already.
        from mnist_resnet.launchers.conclude import conclude

        conclude(request.folder)
        read_worker_options(request.folder, request.launch).remove()


def _name(placement: Placement) -> str:
    return placement.name


def main() -> None:
    """Entry point of the process in the new session, which reads its request from standard input."""
    content = json.load(sys.stdin)
    request = WorkerRequest(**content["wanted"] | {"folder": Path(content["wanted"]["folder"])})
    supervise(request, [Placement(**placement) for placement in content["places"]])


if __name__ == "__main__":
    main()
