"""Ten sweeps at once on one machine that is too small for them: who is only slow is not taken for dead."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mnist_resnet.attempts import HEARTBEAT, attempts
from mnist_resnet.job_folder import read_metrics
from tests.engines.faults import Sandbox
from tests.engines.machines import Machine, Process, machines, unavailable_reason
from tests.memory_group import killed_for_memory, memory_group, set_limit
from tests.small_sweeps import CHECKOUT, statuses

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(unavailable_reason() is not None, reason=str(unavailable_reason())),
]

SWEEPS = 10
OVERRIDES = ("seed=1,2", "model._target_=sleepy.network", "trainer.epochs=2", "trainer.checkpoint_interval=0")
STEP_DELAY = 15.0
"""Seconds for each of a job's 8 steps while heartbeats are late."""
LATE = 60.0
"""Seconds for which heartbeats are late."""
MEMORY = SWEEPS * 80_000_000 + 3 * 450_000_000
"""Bytes for all launchers, each of which takes some 70 MB, and for three of the processes that they start."""


ENOUGH = SWEEPS * 1_200_000_000
"""Bytes for all of them: as where somebody ends another program."""


def test_processes_that_are_a_minute_late_are_not_taken_for_dead(sandbox: Sandbox, tmp_path: Path) -> None:
    """Two machines, as far as the processes can tell, share ten sweeps of two jobs on the cores that there are."""
    folders = [sandbox.folder(f"sweep-{number}") for number in range(SWEEPS)]
    sandbox.set_step_delay(1.0)
    with machines(tmp_path, ("one", "two")) as started:
        running = {name: [_begin(sandbox, started[name], folder) for folder in folders] for name in ("one", "two")}
        everybody = [process for processes in running.values() for process in processes]
        everybody[0].wait_for(lambda: all(_holders(folder) == {"one", "two"} for folder in folders), 900)
        sandbox.set_step_delay(STEP_DELAY)
        for process in running["one"]:
            process.send(signal.SIGSTOP)
        time.sleep(HEARTBEAT + LATE)
        for process in running["one"]:
            process.send(signal.SIGCONT)
        sandbox.set_step_delay(0)
        for process in everybody:
            assert process.ended(900) == 0, process.output()
    for folder in folders:
        assert statuses(folder) == {"seed=1": "completed", "seed=2": "completed"}
        assert [len(attempts(folder / f"seed={seed}")) for seed in (1, 2)] == [1, 1]


def test_ten_sweeps_with_little_memory_lose_workers_and_no_launcher(sandbox: Sandbox) -> None:
    sandbox.set_step_delay(0.5)
    folders = [sandbox.folder(f"little-memory-{number}") for number in range(SWEEPS)]
    with memory_group(MEMORY) as group:
        launches = {folder: _launch(sandbox, folder, group) for folder in folders}
        deadline, is_enough = time.monotonic() + 1500, False
        while launches:
            assert time.monotonic() < deadline, {folder.name: statuses(folder) for folder in folders}
            for folder, launch in list(launches.items()):
                code = launch.poll()
                assert code in (None, 0, 1, 2), (code, _log(folder).read_text())
                if code == 0:
                    del launches[folder]
                elif code:  # three workers in a row were killed before they began a job, or what checks the jobs was
                    launches[folder] = _launch(sandbox, folder, group)
            if not is_enough and killed_for_memory(group) >= 2 * SWEEPS:
                set_limit(group, ENOUGH)
                sandbox.set_step_delay(0)
                is_enough = True
            time.sleep(0.5)
        assert is_enough
    for folder in folders:
        assert statuses(folder) == {"seed=1": "completed", "seed=2": "completed"}
        log = _log(folder).read_text()
        assert "Traceback" not in log
        assert log.count("error: ") == log.count("was ended by SIGKILL, as where memory runs out"), log


def _begin(sandbox: Sandbox, machine: Machine, folder: Path) -> Process:
    arguments = sandbox.place.sweep(None, *OVERRIDES, f"hydra.sweep.dir={folder}")
    command = (sys.executable, str(CHECKOUT / "train.py"), *arguments)
    return machine.begin(*command, log=folder.name, PYTHONPATH=str(sandbox.modules))


def _holders(folder: Path) -> set[str]:
    """Return the machines that have trained an epoch of one of the sweep's jobs and hold it."""
    last = [attempts(job)[-1] for job in folder.glob("seed=*") if (job / "attempts").exists() and read_metrics(job)]
    return {attempt["host"] for attempt in last if attempt["ended"] is None}


def _launch(sandbox: Sandbox, folder: Path, group: Path) -> "subprocess.Popen[bytes]":
    """Type the command of a sweep, in a shell that joins the group first."""
    own = ("hydra/launcher=workers", "hydra.launcher.workers=1", "sweep.retries=1000", f"hydra.sweep.dir={folder}")
    arguments = sandbox.place.sweep(None, *OVERRIDES, *own)
    join = ("sh", "-c", f'echo $$ > "{group / "cgroup.procs"}"; exec "$@"', "sh")
    folder.parent.mkdir(exist_ok=True)
    with _log(folder).open("ab") as output:
        return subprocess.Popen(
            [*join, sys.executable, str(CHECKOUT / "train.py"), *arguments],
            cwd=sandbox.place.folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=os.environ | {"PYTHONPATH": str(sandbox.modules)},
        )


def _log(folder: Path) -> Path:
    return folder.with_suffix(".txt")
