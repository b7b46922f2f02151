"""Shares a GPU between workers through NVIDIA's Multi-Process Service (MPS), where it is available.

Without MPS, the GPU gives each process time slices, and a network that fills only part of the GPU leaves the rest idle.
With MPS, the processes' kernels run side by side. But a GPU fault in one process ends all processes that share the GPU
(NVIDIA's guide on MPS, "Error Containment"). Their jobs then continue from their checkpoints, as after any crash.
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
TIMEOUT = 60.0
"""Seconds for the service to start, to answer or to end."""

Environment = dict[str, str]


@contextmanager
def share_gpus(
    placements: Sequence[Placement], works: Callable[[Environment], bool] | None = None
) -> Iterator[tuple[list[Placement], str | None]]:
    """Run an MPS service for each GPU that several placements share, until the `with` block ends.

    Args:
        placements: The workers' placements.
        works: Returns whether a process with this environment can compute on its GPU. Called before a service is used.
            None: `computes`.

    Yields:
        The placements, with the environment variables of the service, and a human-readable line if GPUs are shared.
    """
    counts = Counter(placement.environment.get(VISIBLE) for placement in placements)
    shared = [gpu for gpu, count in counts.items() if gpu is not None and count > 1]
    if not shared or os.environ.get(PIPES):  # the user has started a service; workers inherit its variables
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
    """No service can be used; the message says why."""


@contextmanager
def _service(gpu: str, works: Callable[[Environment], bool]) -> Iterator[Environment]:
    """Run the service of one GPU; yield the environment variables of its processes."""
    program = shutil.which(CONTROL)
    if program is None:
        raise _Unavailable(f"{CONTROL} is not installed")
    # Socket paths must be short, and no other service may use the folders.
    with tempfile.TemporaryDirectory(prefix="mps", ignore_cleanup_errors=True) as folder:
        folders = {PIPES: str(Path(folder) / "pipes"), LOGS: str(Path(folder) / "logs")}
        for path in folders.values():
            Path(path).mkdir()
        environment = os.environ | folders | {VISIBLE: gpu}
        started = _control(program, ["-d"], environment)
        if started.returncode:
            raise _Unavailable(f"{CONTROL} failed ({' '.join((started.stderr or started.stdout).split())[:200]})")
        try:
            # Clients number the devices that the service sees, from 0; only unique names (GPU-…) stay the same.
            variables = folders | {VISIBLE: "0" if gpu.isdecimal() else gpu}
            if not works(os.environ | variables):
                raise _Unavailable("no process can compute through the Multi-Process Service")
            yield variables
        finally:
            _control(program, [], environment, "quit\n")


def computes(environment: Environment) -> bool:
    """Return whether PyTorch can compute on CUDA in a process with this environment."""
    command = [sys.executable, "-c", "import torch; torch.ones(8, device='cuda').sum().item()"]
    try:
        done = subprocess.run(command, env=environment, capture_output=True, timeout=TIMEOUT, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _control(
    program: str, arguments: list[str], environment: Environment, command: str = ""
) -> "subprocess.CompletedProcess[str]":
    """Run the control program; its output is in `stdout`."""
    try:
        # Output goes to a file: the daemon inherits it, and a pipe would never be closed.
        with tempfile.TemporaryFile("w+") as output:
            done = subprocess.run(
                [program, *arguments],
                env=environment,
                input=command,
                stdout=output,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=TIMEOUT,
                check=False,
            )
            output.seek(0)
            return subprocess.CompletedProcess(done.args, done.returncode, output.read(), "")
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess([program, *arguments], 1, "", f"no answer in {TIMEOUT:.0f} s")
