"""Freed memory is kept for reuse."""

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
