"""Memory that was freed is kept for the next step."""

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


for _ in range(10):  # glibc keeps up to seven of the small pieces between large ones from being joined to them
    torch.ones(2**24)
before = faults()
for _ in range(3):
    torch.ones(2**24)
print(faults() - before)
"""


def faults_of_allocating_again(how: str) -> int:
    done = subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="needs glibc")
def test_what_a_job_frees_is_not_given_back_to_the_system_to_be_taken_anew() -> None:
    assert faults_of_allocating_again("applied") < faults_of_allocating_again("not applied") / 100
