"""Describes a job's environment: versions, commit, machine, installed packages, uncommitted changes."""

import hashlib
import os
import platform
import socket
import subprocess
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import distributions, version
from pathlib import Path
from typing import Any

from mnist_resnet.job_folder import ENVIRONMENT, write_atomically
from mnist_resnet.stored_file import read_stored

SOURCE = Path(__file__).resolve().parents[2]
PROGRAM = ("train.py", "mnist_resnet", "hydra_plugins")
"""Files and folders of `SOURCE` whose code runs in a job."""
CPUINFO = Path("/proc/cpuinfo")
ARM_KEYS = {"implementer": "CPU implementer", "part": "CPU part", "variant": "CPU variant"}
"""What tells ARM's processors apart in /proc/cpuinfo, which has no name for them."""


def environment(device: str) -> dict[str, Any]:
    """Return what `result.json` says of the software and the machine; `device` is named as in PyTorch."""
    gpu = None
    if device.startswith("cuda"):
        import torch

        gpu = torch.cuda.get_device_name(device)
    return {
        "python": platform.python_version(),
        "torch": version("torch"),
        "platform": platform.platform(),
        "host": socket.gethostname(),
        "cpu": cpu_model(),
        "gpu": gpu,
        **code_version(),
    }


def code_version() -> dict[str, Any]:
    """Return the commit, whether files differ from it (both None outside a git repository), and a hash of the code.

    The hash distinguishes two edits of one commit, and a changed program from a changed README. All three are cached at
    the first call: that is the code that this process runs, whatever is edited later.
    """
    return dict(_code_version(SOURCE))


@cache
def _code_version(source: Path) -> dict[str, Any]:
    commit = git(source, "rev-parse", "HEAD")
    dirty = bool(git(source, "status", "--porcelain")) if commit else None
    return {"commit": commit or None, "dirty": dirty, "source": _hash(source)}


def _hash(source: Path) -> str:
    parts = ([source / part] if part.endswith(".py") else sorted((source / part).rglob("*.py")) for part in PROGRAM)
    return hash_files(source, (file for files in parts for file in files))


def hash_files(folder: Path, files: Iterable[Path]) -> str:
    """Return a hash of the files' paths in `folder` and of what they hold; what can't be read is left out."""
    digest = hashlib.sha256()
    for file in files:
        with suppress(OSError):
            digest.update(os.fsencode(file.relative_to(folder)) + b"\0" + read_stored(file) + b"\0")
    return digest.hexdigest()[:12]


def write_environment(folder: Path) -> None:
    """Write `environment/freeze.txt` and, if the tree is dirty, `environment/uncommitted.diff` into the job folder."""
    (folder / ENVIRONMENT).mkdir(exist_ok=True)
    write_atomically(folder / ENVIRONMENT / "freeze.txt", _freeze(), sync=False)
    difference = _uncommitted(SOURCE)
    if difference:
        write_atomically(folder / ENVIRONMENT / "uncommitted.diff", os.fsencode(difference + "\n"), sync=False)


@cache
def _uncommitted(source: Path) -> str:
    return git(source, "diff", "HEAD")


@cache
def _freeze() -> str:
    """Return what `pip freeze` prints, without starting it: that takes longer than a small job."""
    pinned = set()
    for found in distributions():
        with suppress(ValueError):  # its description isn't in UTF-8
            pinned.add(f"{found.name}=={found.version}")
    return "".join(f"{line}\n" for line in sorted(pinned, key=str.casefold))


@cache
def cpu_model() -> str:
    """Return its name with family and model, because clouds give different processors of one maker the same name."""
    try:
        lines = CPUINFO.read_text(encoding="utf-8").partition("\n\n")[0].splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    entries = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    name = entries.get("model name", platform.machine())
    keys = {"family": "cpu family", "model": "model"} if "cpu family" in entries else ARM_KEYS
    details = [f"{noun} {entries[key]}" for noun, key in keys.items() if key in entries]
    return f"{name} ({', '.join(details)})" if details else name


def git(source: Path, *arguments: str) -> str:
    """Return what git prints, run in the folder `source`; nothing if it fails or is not there.

    A difference may hold files of any encoding: `os.fsencode` returns the bytes of what isn't UTF-8.
    """
    command = ["git", "-C", str(source), *arguments]
    try:
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="surrogateescape", timeout=30, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
