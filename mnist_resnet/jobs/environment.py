"""Where a job ran: versions, commit, machine; the exact packages and any uncommitted change beside it."""

import hashlib
import platform
import socket
import subprocess
from functools import cache
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

from mnist_resnet.job_folder import ENVIRONMENT, write_atomically

SOURCE = Path(__file__).resolve().parents[2]
PROGRAM = ("train.py", "mnist_resnet", "hydra_plugins")
"""What of `SOURCE` runs in a job."""


def environment(device: str) -> dict[str, Any]:
    """For `result.json`: what its numbers were computed with."""
    import torch

    is_cuda = torch.device(device).type == "cuda"
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cpu": _cpu_model(),
        "gpu": torch.cuda.get_device_name(device) if is_cuda else None,
        **code_version(),
    }


def code_version() -> dict[str, Any]:
    """The commit of this code, whether files differ from it (both None in no git repository), and a hash of the code.

    The hash tells two edits of one commit apart, and a changed note or README from a changed program. All three are as
    they were when this process first asked: that is the code that it runs, whatever is edited later.
    """
    return dict(_code_version(SOURCE))


@cache
def _code_version(source: Path) -> dict[str, Any]:
    commit = _git(source, "rev-parse", "HEAD")
    dirty = bool(_git(source, "status", "--porcelain")) if commit else None
    return {"commit": commit or None, "dirty": dirty, "source": _hash(source)}


def _hash(source: Path) -> str:
    digest = hashlib.sha256()
    for part in PROGRAM:
        for file in sorted([source / part] if part.endswith(".py") else (source / part).rglob("*.py")):
            if file.is_file():
                digest.update(f"{file.relative_to(source)}\0".encode() + file.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def write_environment(folder: Path) -> None:
    """Leave `environment/freeze.txt` and, of a dirty tree, `environment/uncommitted.diff` in the job folder."""
    (folder / ENVIRONMENT).mkdir(exist_ok=True)
    write_atomically(folder / ENVIRONMENT / "freeze.txt", _freeze(), sync=False)
    difference = _uncommitted(SOURCE)
    if difference:
        write_atomically(folder / ENVIRONMENT / "uncommitted.diff", difference + "\n", sync=False)


@cache
def _uncommitted(source: Path) -> str:
    return _git(source, "diff", "HEAD")


@cache
def _freeze() -> str:
    """What `pip freeze` prints, without starting it: it takes longer than a small job."""
    pinned = {f"{found.name}=={found.version}" for found in distributions()}
    return "".join(f"{line}\n" for line in sorted(pinned, key=str.casefold))


@cache
def _cpu_model() -> str:
    """Its name, and the numbers that tell what it is where a cloud calls all of a maker's processors the same."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = said.get("model name", platform.machine())
    return f"{name} (family {said['cpu family']}, model {said['model']})" if "cpu family" in said else name


def _git(source: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(source), *arguments], capture_output=True, text=True, timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
