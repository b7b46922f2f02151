"""The short form of `benchmarks.chaos`: some faults in a small sweep and search; 200 take half an hour."""

import subprocess
import sys

import pytest

from tests.small_sweeps import CHECKOUT


@pytest.mark.slow
def test_sweep_and_search_under_random_faults_end_like_undisturbed_ones() -> None:
    command = [sys.executable, "-m", "benchmarks.chaos", "--faults=6", "--jobs=2", "--longest-wait=2"]
    done = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Each job has one result, with the bits of the quiet run." in done.stdout
