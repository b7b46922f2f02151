"""Several workers on one GPU: side by side through NVIDIA's Multi-Process Service where it can be had, else in turns.

Without the service, the GPU gives each process slices of time, and a network that fills a part of it leaves the rest
idle. With it, their kernels run side by side. A fault of the GPU in one process then ends all that share it (NVIDIA's
guide on MPS, "Error Containment"); their jobs go on from their checkpoints, as after any death.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from mnist_resnet.launchers.devices import VISIBLE, Placement

CONTROL = "nvidia-cuda-mps-control"
PIPES, LOGS = "CUDA_MPS_PIPE_DIRECTORY", "CUDA_MPS_LOG_DIRECTORY"
PATIENCE = 60.0
"""Seconds within which the service has to start, to answer or to end."""

Environment = dict[str, str]


@contextmanager
def share_gpus(
    placements: Sequence[Placement], works: Callable[[Environment], bool] | None = None
) -> Iterator[tuple[list[Placement], str | None]]:
    """Start a service for each GPU that several of the places share; they are stopped with the `with`.

    Args:
        placements: where workers are to work.
        works: whether a process with these variables can compute on its GPU; asked before the service is relied on.

    Yields:
        The places, with what their workers need to reach the service, and a line for people where GPUs are shared.
    """
    counts = Counter(placement.environment.get(VISIBLE) for placement in placements)
    shared = [gpu for gpu, count in counts.items() if gpu is not None and count > 1]
    if not shared or os.environ.get(PIPES):  # whose service runs already has set it up for all
        yield list(placements), None
        return
    with ExitStack() as services:
        try:
            variables = {gpu: services.enter_context(_service(gpu, works or computes)) for gpu in shared}
        except _Unavailable as unavailable:
            services.close()
            yield list(placements), f"jobs take turns on their GPU: {unavailable}"
            return
        with_service = [
            replace(
                placement, environment=placement.environment | variables.get(placement.environment.get(VISIBLE, ""), {})
            )
            for placement in placements
        ]
        yield with_service, "jobs share their GPU through NVIDIA's Multi-Process Service"


class _Unavailable(Exception):
    """Why there is no service, for people."""


@contextmanager
def _service(gpu: str, works: Callable[[Environment], bool]) -> Iterator[Environment]:
    """The service of one GPU, and the variables that its processes need."""
    program = shutil.which(CONTROL)
    if program is None:
        raise _Unavailable(f"{CONTROL} is not installed")
    # The path of its sockets must be short, and its folders nobody else's.
    with tempfile.TemporaryDirectory(prefix="mps", ignore_cleanup_errors=True) as folder:
        own = {PIPES: str(Path(folder) / "pipes"), LOGS: str(Path(folder) / "logs")}
        for path in own.values():
            Path(path).mkdir()
        environment = os.environ | own | {VISIBLE: gpu}
        started = _said(program, ["-d"], environment)
        if started.returncode:
            raise _Unavailable(f"{CONTROL} failed ({' '.join((started.stderr or started.stdout).split())[:200]})")
        try:
            # Processes count among the devices that the service sees; only unique names (GPU-…) stay what they are.
            variables = own | {VISIBLE: "0" if gpu.isdecimal() else gpu}
            if not works(os.environ | variables):
                raise _Unavailable("no process can compute through the Multi-Process Service")
            yield variables
        finally:
            _said(program, [], environment, "quit\n")


def computes(environment: Environment) -> bool:
    """Whether PyTorch can compute on CUDA in a process with these variables."""
    command = [sys.executable, "-c", "import torch; torch.ones(8, device='cuda').sum().item()"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=PATIENCE, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _said(
    program: str, arguments: list[str], environment: Environment, asked: str = ""
) -> "subprocess.CompletedProcess[str]":
    try:
        # Into files, not pipes: the daemon keeps what it inherits, and a pipe would never end.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [program, *arguments],
                env=environment,
                input=asked,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read(), "")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess([program, *arguments], 1, "", f"no answer in {PATIENCE:.0f} s")
