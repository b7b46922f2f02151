"""Where memory runs out, a launch's worker is killed and not the launcher."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.memory_group import killed_for_memory, memory_group

SCORE = Path("/proc/self/oom_score_adj")

PROGRAM = """
import sys, time
from pathlib import Path
from mnist_resnet import work
work.main([sys.argv[1], *sys.argv[2:]])
print(Path("/proc/self/oom_score_adj").read_text(), flush=True)
"""


@pytest.mark.skipif(not SCORE.exists(), reason="Linux has it")
def test_a_launchs_worker_is_first_and_one_started_by_hand_is_not(tmp_path: Path) -> None:
    def score(*options: str) -> int:
        command = [sys.executable, "-c", PROGRAM, str(tmp_path), *options]
        return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()[-1])

    own = int(SCORE.read_text())
    assert score("--launch", "gone") == max(own, 500)
    assert score() == own


HOG = """
import os, sys
from pathlib import Path
from mnist_resnet.launchers.memory_pressure import be_killed_first
Path(sys.argv[3]).write_text(str(os.getpid()))
if sys.argv[1] == "worker":
    be_killed_first()
held = bytearray(int(sys.argv[2]) * 1_000_000)
for start in range(0, len(held), 4096):
    held[start] = 1
print("holds", flush=True)
sys.stdin.read()
"""


def test_the_kernel_ends_the_small_worker_and_not_the_large_launcher() -> None:
    with memory_group(100_000_000) as group:

        def start(role: str, megabytes: int) -> "subprocess.Popen[bytes]":
            arguments = [sys.executable, "-c", HOG, role, str(megabytes), str(group / "cgroup.procs")]
            return subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

        launcher = start("launcher", 55)
        assert launcher.stdout
        try:
            assert launcher.stdout.readline() == b"holds\n"
            worker = start("worker", 200)
            assert worker.wait(timeout=60) == -9
            assert launcher.poll() is None
            assert killed_for_memory(group) == 1
        finally:
            launcher.kill()
            launcher.wait()
