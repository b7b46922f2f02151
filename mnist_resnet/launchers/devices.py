"""What there is to train on here: the GPUs that this process may use, and the cores."""

import os
import re
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"

GPU_FILES = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
"""Device files of NVIDIA's, AMD's and WSL's drivers; where none is there, nobody needs to be asked."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
"""Read by PyTorch's libraries as they are loaded."""

COUNTING = "import torch; print('devices:', torch.cuda.device_count() or int(torch.backends.mps.is_available()))"


@dataclass(frozen=True)
class Placement:
    """Where one worker works.

    Attributes:
        name: for people.
        environment: variables that must be set before the worker starts.
    """

    name: str
    environment: dict[str, str] = field(default_factory=dict)


def placements(workers: int, devices: list[str], cores: int) -> list[Placement]:
    """A place for each worker, dealt out over the devices in turn; each gets an equal share of the cores.

    Args:
        workers: how many.
        devices: values of `CUDA_VISIBLE_DEVICES` that show one device each; empty: there are cores alone.
        cores: to share out.
    """
    threads = str(max(1, cores // workers))
    shared = dict.fromkeys(THREAD_VARIABLES, threads)
    if not devices:
        return [Placement(f"{threads} of {cores} cores", shared) for _ in range(workers)]
    dealt = [devices[number % len(devices)] for number in range(workers)]
    return [Placement(f"GPU {device}", shared | {VISIBLE: device}) for device in dealt]


def gpus_for(asked: Collection[str]) -> list[str]:
    """`visible_gpus` where a job may use one; `asked` holds what jobs ask for by `trainer.device`."""
    return [] if set(asked) == {"cpu"} else visible_gpus()


def visible_gpus() -> list[str]:
    """Names, as `CUDA_VISIBLE_DEVICES` takes them, of the GPUs that PyTorch would see in this process.

    It is PyTorch's own answer, and so that of the workers, given in a process of its own: counting may initialise CUDA.
    """
    if not any(Path(file).exists() for file in GPU_FILES) and sys.platform != "darwin":
        return []
    asked = subprocess.run([sys.executable, "-c", COUNTING], capture_output=True, text=True, check=False)
    found = re.search(r"devices: (\d+)", asked.stdout)
    count = int(found.group(1)) if found else 0
    named = [name.strip() for name in os.environ.get(VISIBLE, "").split(",") if name.strip()]
    return (named or [str(number) for number in range(count)])[:count]


def usable_cores() -> int:
    """CPU cores that this process may keep busy: by its affinity, and by its container's quota."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):
        return cores
