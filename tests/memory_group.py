"""A group of processes that share a limit on their memory, as in one container."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

CGROUPS = Path("/sys/fs/cgroup")
LIMITS = ((CGROUPS, "memory.max"), (CGROUPS / "memory", "memory.limit_in_bytes"))
"""Where groups are made, by version 2 and 1 of the kernel's interface, and the name of a group's limit."""


@contextmanager
def memory_group(limit: int) -> Iterator[Path]:
    """Make a control group with so many bytes of memory, or skip the test.

    A process joins it by writing its id to `cgroup.procs`. What is left of it at the end is killed.
    """
    for parent, name in LIMITS:
        group = parent / f"mnist-resnet-test-{os.getpid()}"
        if not (parent / "cgroup.procs").exists():
            continue
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            if (group / name).exists():
                (group / name).write_text(str(limit))
                yield group
                return
        finally:
            _remove(group)
    pytest.skip("no control group with a memory limit can be made here")


def set_limit(group: Path, limit: int) -> None:
    """Give a group another limit, in bytes."""
    next(group / name for _, name in LIMITS if (group / name).exists()).write_text(str(limit))


def killed_for_memory(group: Path) -> int:
    """Return how many of the group's processes the kernel has killed because its memory ran out."""
    counters = next(group / name for name in ("memory.events", "memory.oom_control") if (group / name).exists())
    by_name = dict(line.split() for line in counters.read_text().splitlines())
    return int(by_name["oom_kill"])


def _remove(group: Path) -> None:
    while members := (group / "cgroup.procs").read_text().split():
        for member in members:
            with suppress(ProcessLookupError):
                os.kill(int(member), signal.SIGKILL)
        time.sleep(0.1)
    group.rmdir()
