"""The long form of `test_engines.py`: many faults, their order and moments drawn at random, and a minute's silence."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines import ray_cluster as ray
from tests.engines import slurm_cluster as slurm
from tests.engines.faults import Ground, Launch, assert_quiet, ends, reasons

pytestmark = pytest.mark.slow

NAP = 1.0
"""Seconds for each of a job's 32 steps, until the last fault."""
LONGEST_WAIT = 8.0
"""Seconds between two faults, at most."""
Fault = tuple[str, Callable[[], object]]


def endure(ground: Ground, launch: Launch, faults: list[Fault], draw: random.Random) -> None:
    """Let all faults strike once each, then let the sweep end."""
    launch.wait_for(launch.running)
    for name, strike in draw.sample(faults, len(faults)):
        time.sleep(draw.uniform(0, LONGEST_WAIT))
        launch.wait_for(launch.running)
        print(f"{name}: {sorted(launch.running())} at work")
        strike()
    ground.nap(0)
    launch.wait_for(launch.all_completed, timeout=600)
    print(f"deaths: {', '.join(reasons(launch.folder))}")


@pytest.mark.parametrize("seed", range(3))
def test_slurm(ground: Ground, quiet: Path, slurm_nodes: slurm.SlurmCluster, seed: int) -> None:
    own = ("hydra/launcher=workers", "hydra.launcher.engine=slurm", "hydra.launcher.workers=4", "sweep.retries=9")
    ground.nap(NAP)
    launch = ground.begin(f"on_slurm_{seed}", *own, environment=slurm_nodes.environment)
    preemption = ("sbatch", "--partition=high", "--nodelist=n2", "--exclusive", "--output=/dev/null")
    faults: list[Fault] = [
        *[("a worker is killed", launch.kill_a_worker)] * 3,
        *[("a job of a higher partition", lambda: slurm_nodes.ask(*preemption, "--wrap=sleep 5"))] * 2,
        ("time runs out", slurm_nodes.let_time_run_out),
        ("the command is killed", launch.kill),
        ("a node is lost", lambda: slurm_nodes.lose("n1")),
    ]
    endure(ground, launch, faults, random.Random(seed))
    assert_quiet(launch, quiet)


def test_slurm_s_own_time_limit(ground: Ground, quiet: Path, slurm_nodes: slurm.SlurmCluster) -> None:
    """Nobody but Slurm ends anything: jobs longer than the limit are done in pieces, and none counts as dead."""
    own = ["hydra/launcher=workers", "hydra.launcher.engine=slurm", "hydra.launcher.workers=4", "sweep.retries=0"]
    own += ["hydra.launcher.slurm.time=2", "hydra.launcher.slurm.grace=60"]
    ground.nap(6 * NAP)
    launch = ground.begin("short_of_time", *own, environment=slurm_nodes.environment)
    launch.wait_for(lambda: ends(launch.folder).count("interrupted") == 4)
    ground.nap(0)
    launch.wait_for(launch.all_completed, timeout=600)
    assert reasons(launch.folder) == []
    assert_quiet(launch, quiet)


@pytest.mark.parametrize("seed", range(3))
def test_ray(ground: Ground, quiet: Path, ray_nodes: ray.RayCluster, seed: int) -> None:
    ground.nap(NAP)
    own = ("hydra/launcher=workers", "hydra.launcher.engine=ray", f"hydra.launcher.ray.address={ray_nodes.address}")
    launch = ground.begin(
        f"on_ray_{seed}", *own, "sweep.retries=9", environment=ray_nodes.environment, inside=ray_nodes.inside
    )
    faults: list[Fault] = [
        *[("a worker is killed", launch.kill_a_worker)] * 3,
        ("the command is killed", launch.kill),
        ("a node is lost", lambda: ray_nodes.lose("n2")),
    ]
    endure(ground, launch, faults, random.Random(seed))
    assert_quiet(launch, quiet)


@pytest.mark.parametrize("seed", range(3))
def test_local(ground: Ground, quiet: Path, seed: int) -> None:
    own = ("hydra/launcher=workers", "hydra.launcher.workers=3", "sweep.retries=9")
    name, draw = f"on_this_machine_{seed}", random.Random(seed)
    ground.nap(NAP)
    launch = ground.begin(name, *own)
    faults: list[Fault] = [("a worker is killed", launch.kill_a_worker)] * 4
    launch.wait_for(launch.running)
    for what, strike in faults:
        time.sleep(draw.uniform(0, LONGEST_WAIT))
        print(f"{what}: {sorted(launch.running())} at work")
        strike()
    launch.wait_for(launch.running)
    launch.kill()
    ground.nap(0)
    again = ground.begin(name, *own)
    assert again.ended() == 0, again.told()
    assert_quiet(again, quiet)
