"""Calls in a child process, each from a new process that has not imported PyTorch."""

import subprocess
import sys
from pathlib import Path

import pytest

PRELUDE = """
import os, signal, sys
from mnist_resnet.errors import UsageError
from mnist_resnet.jobs.child_process import in_child_process

def imports():
    import torch
    return torch.ones(2).sum().item()

def refuses():
    raise UsageError("optim.lr: wrong")

def fails():
    raise ValueError("broken")

def crashes():
    os.kill(os.getpid(), signal.SIGSEGV)

def is_killed():
    os.kill(os.getpid(), signal.SIGKILL)

def ends():
    os._exit(3)
"""


def outcome(call: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run `call` in a child process and print its result, and whether PyTorch was imported here."""
    script = f"{PRELUDE}\nprint(in_child_process({call}), 'torch' in sys.modules)"
    return subprocess.run([sys.executable, "-c", script], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="other systems run the call in the process itself")
@pytest.mark.parametrize(
    ("call", "printed", "last_line"),
    [
        ("imports", "2.0 False\n", ""),
        ("refuses", "", "mnist_resnet.errors.UsageError: optim.lr: wrong"),
        ("fails", "", "in fails"),
        ("crashes", "", "UsageError: the process that tried the jobs was ended by SIGSEGV"),
        ("is_killed", "", "was ended by SIGKILL, as where memory runs out; nothing has been started"),
        ("ends", "", "UsageError: the process that tried the jobs ended with exit code 3; nothing has been started"),
    ],
)
def test_outcome_is_that_of_the_call_and_imports_stay_behind(
    call: str, printed: str, last_line: str, tmp_path: Path
) -> None:
    done = outcome(call, tmp_path)
    assert (done.stdout, done.returncode) == (printed, int(not printed)), done.stderr
    assert last_line in done.stderr
