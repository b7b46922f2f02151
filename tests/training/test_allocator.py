"""Freed memory is kept for reuse, until it is returned."""

import platform
import subprocess
import sys

import pytest

FAULTS = """
import resource
import sys

import torch

from mnist_resnet.training.numerics import Numerics

if sys.argv[1] == "applied":
    Numerics("cpu", "fp32", 1).apply()


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


for _ in range(10):  # glibc leaves up to seven small chunks between large ones unmerged
    torch.ones(2**24)
before = faults()
for _ in range(3):
    torch.ones(2**24)
print(faults() - before)
"""


def page_faults(mode: str) -> int:
    """Return the page faults of repeated large allocations in a new process."""
    done = subprocess.run([sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_freed_memory_is_kept_by_the_process() -> None:
    assert page_faults("applied") < page_faults("not applied") / 100


RETURNED = """
import resource

import torch

from mnist_resnet.training.allocator import keep_freed_memory, return_freed_memory

keep_freed_memory()


def resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() // 1_000_000


blocks = [torch.ones(2**20) for _ in range(100)]
used = resident()
del blocks[::2], blocks
kept = resident()
return_freed_memory()
returned = resident()
torch.ones(2**27)  # more than what was freed
print(kept > used - 100, returned < used - 300, resident() < returned + 30)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_returned_memory_is_the_system_s_again_and_no_more_is_kept() -> None:
    done = subprocess.run([sys.executable, "-c", RETURNED], capture_output=True, text=True, check=True)
    assert done.stdout == "True True True\n"
