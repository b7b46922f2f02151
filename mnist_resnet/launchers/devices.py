"""Finds the GPUs and CPU cores that this process may use, and assigns them to workers."""

import os
import re
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"

GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Device files of the NVIDIA, AMD and WSL drivers. Without one of them there is no GPU, and PyTorch is not asked."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Read by PyTorch's libraries when they are loaded."""

COUNTING = "import torch; print('devices:', torch.cuda.device_count() or int(torch.backends.mps.is_available()))"
"""Python code that prints the number of devices."""


@dataclass(frozen=True)
class Placement:
    """The device or cores assigned to a worker.

    Attributes:
        name: Human-readable name.
        environment: Environment variables that must be set before the worker starts.
    """

    name: str
    environment: dict[str, str] = field(default_factory=dict)


def placements(workers: int, devices: list[str], cores: int) -> list[Placement]:
    """Assign each worker a device, in turn, and an equal share of the cores.

    Args:
        workers: Number of workers.
        devices: Values of `CUDA_VISIBLE_DEVICES` with one device each. Empty: assign cores only.
        cores: Number of cores to share.
    """
    threads = str(max(1, cores // workers))
    shared = dict.fromkeys(THREAD_VARIABLES, threads)
    if not devices:
        return [Placement(f"{threads} of {cores} cores", shared) for _ in range(workers)]
    assigned = [devices[number % len(devices)] for number in range(workers)]
    return [Placement(f"GPU {device}", shared | {VISIBLE: device}) for device in assigned]


def gpus_for(requested: Collection[str]) -> list[str]:
    """Return `visible_gpus()`, or no GPUs if all jobs request the CPU.

    Args:
        requested: The jobs' values of `trainer.device`.
    """
    return [] if set(requested) == {"cpu"} else visible_gpus()


def visible_gpus() -> list[str]:
    """Return the GPUs that PyTorch would see in this process, as values of `CUDA_VISIBLE_DEVICES`.

    PyTorch itself counts them, so that the result is the same as in the workers. It does so in a separate process,
    because counting may initialise CUDA.
    """
    if not any(Path(file).exists() for file in GPU_FILES) and sys.platform != "darwin":
        return []
    counted = subprocess.run([sys.executable, "-c", COUNTING], capture_output=True, text=True, check=False)
    match = re.search(r"devices: (\d+)", counted.stdout)
    count = int(match.group(1)) if match else 0
    names = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return (names or [str(number) for number in range(count)])[:count]


def usable_cores() -> int:
    """Return the number of CPU cores that this process may use, by its affinity and its cgroup v2 quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):
        return cores
