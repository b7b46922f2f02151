"""Finds the GPUs and CPU cores that this process may use, and assigns them to workers."""

import os
import re
import subprocess
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"

GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Device files of the NVIDIA, AMD and WSL drivers. Without one of them there is no GPU, and PyTorch is not asked."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Read by PyTorch's libraries when they are loaded."""

PROCESS_CGROUPS, CGROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
"""Where Linux lists this process's cgroups, and where they are mounted."""

SLURM_CORES = ("SLURM_CPUS_PER_TASK", "SLURM_CPUS_ON_NODE")
"""Variables in which Slurm gives the number of cores; the first one that is set counts."""

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


def workers_on(placements: Sequence[Placement]) -> str:
    """Return how many workers there are, and on what, as in `2 workers, each on 1 of 2 cores`."""
    names = list(dict.fromkeys(placement.name for placement in placements))
    each = ", each" * (len(names) == 1 < len(placements))
    return f"{len(placements)} worker{'s' * (len(placements) != 1)}{each} on {', '.join(names)}"


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
    """Return the number of CPU cores that this process may use: by affinity, cgroup quotas and Slurm's allocation."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([cores, *_quotas(), *_allocated_cores()]))


def _allocated_cores() -> list[int]:
    """Return the cores that Slurm gave this task; with none asked for each task, those of the job on this node."""
    given = [os.environ[name] for name in SLURM_CORES if os.environ.get(name, "").isdecimal()]
    return [int(cores) for cores in given[:1]]


def _quotas() -> Iterator[int]:
    """Yield the whole cores in the CPU quotas of this process's cgroups and of all cgroups around them."""
    try:
        lines = PROCESS_CGROUPS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        is_v2 = not controllers
        if not is_v2 and "cpu" not in controllers.split(","):
            continue
        # In a container, the path may be the host's; the container's own cgroup is then the root of the mount.
        inside = Path(path.lstrip("/"))
        for mount in (CGROUPS, CGROUPS / "unified") if is_v2 else (CGROUPS / controllers, CGROUPS / "cpu"):
            for folder in (mount / inside, *(mount / parent for parent in inside.parents)):
                yield from _quota(folder, is_v2)


def _quota(folder: Path, is_v2: bool) -> Iterator[int]:
    try:
        if is_v2:
            quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota, period = (
                (folder / f"cpu.cfs_{name}_us").read_text(encoding="ascii") for name in ("quota", "period")
            )
        # No quota: "max" in v2, which is no number, and -1 in v1.
        if int(quota) > 0:
            yield int(quota) // int(period)
    except (OSError, ValueError):
        return


def ignored_threads(environment: Mapping[str, str]) -> str:
    """Return a clause for the user whose own number of threads is not followed; empty if it is, or if there is none.

    Args:
        environment: What a worker's environment adds to this process's.
    """
    name = THREAD_VARIABLES[0]
    wanted, given = os.environ.get(name), environment.get(name)
    if wanted is None or given is None or wanted == given:
        return ""
    return f"; {name}={wanted} is not followed: {given} a worker, by its cores (trainer.threads sets another number)"
