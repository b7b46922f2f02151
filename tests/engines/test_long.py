"""The long form of `test_engines.py`: many faults in random order at random times, and the default lease timeout."""

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.engines import ray_cluster as ray
from tests.engines import slurm_cluster as slurm
from tests.engines.faults import Launch, Sandbox, assert_same_results, crash_reasons, end_statuses

pytestmark = pytest.mark.slow

STEP_DELAY = 1.0
"""Seconds for each of a job's 32 steps until the last fault."""
LONGEST_WAIT = 8.0
"""Maximum seconds between two faults."""
Fault = tuple[str, Callable[[], object]]


def run_with_faults(sandbox: Sandbox, launch: Launch, faults: list[Fault], rng: random.Random) -> None:
    """Inject each fault once, then let the sweep end."""
    launch.wait_for(launch.running)
    for name, inject in rng.sample(faults, len(faults)):
        time.sleep(rng.uniform(0, LONGEST_WAIT))
        launch.wait_for(launch.running)
        print(f"{name}: {sorted(launch.running())} running")
        inject()
    sandbox.set_step_delay(0)
    launch.wait_for(launch.all_completed, timeout=600)
    print(f"crashes: {', '.join(crash_reasons(launch.folder))}")


@pytest.mark.parametrize("seed", range(3))
def test_slurm(sandbox: Sandbox, reference: Path, slurm_nodes: slurm.SlurmCluster, seed: int) -> None:
    own = ("hydra/launcher=workers", "hydra.launcher.engine=slurm", "hydra.launcher.workers=4", "sweep.retries=9")
    sandbox.set_step_delay(STEP_DELAY)
    launch = sandbox.begin(f"on_slurm_{seed}", *own, environment=slurm_nodes.environment)
    preemption = ("sbatch", "--partition=high", "--nodelist=n2", "--exclusive", "--output=/dev/null")
    faults: list[Fault] = [
        *[("a worker is killed", launch.kill_a_worker)] * 3,
        *[("a job of a higher partition", lambda: slurm_nodes.ask(*preemption, "--wrap=sleep 5"))] * 2,
        ("the time limit is reached", slurm_nodes.send_time_limit_signal),
        ("the command is killed", launch.kill),
        ("a node is lost", lambda: slurm_nodes.lose("n1")),
    ]
    run_with_faults(sandbox, launch, faults, random.Random(seed))
    assert_same_results(launch, reference)


def test_slurm_time_limit(sandbox: Sandbox, reference: Path, slurm_nodes: slurm.SlurmCluster) -> None:
    """Jobs longer than Slurm's time limit run in pieces, and no attempt counts as a crash."""
    own = ["hydra/launcher=workers", "hydra.launcher.engine=slurm", "hydra.launcher.workers=4", "sweep.retries=0"]
    own += ["hydra.launcher.slurm.time=2", "hydra.launcher.slurm.grace=60"]
    sandbox.set_step_delay(6 * STEP_DELAY)
    launch = sandbox.begin("time_limit", *own, environment=slurm_nodes.environment)
    launch.wait_for(lambda: end_statuses(launch.folder).count("interrupted") == 4)
    sandbox.set_step_delay(0)
    launch.wait_for(launch.all_completed, timeout=600)
    assert crash_reasons(launch.folder) == []
    assert_same_results(launch, reference)


@pytest.mark.parametrize("seed", range(3))
def test_ray(sandbox: Sandbox, reference: Path, ray_nodes: ray.RayCluster, seed: int) -> None:
    sandbox.set_step_delay(STEP_DELAY)
    own = ("hydra/launcher=workers", "hydra.launcher.engine=ray", f"hydra.launcher.ray.address={ray_nodes.address}")
    launch = sandbox.begin(
        f"on_ray_{seed}", *own, "sweep.retries=9", environment=ray_nodes.environment, inside=ray_nodes.inside
    )
    faults: list[Fault] = [
        *[("a worker is killed", launch.kill_a_worker)] * 3,
        ("the command is killed", launch.kill),
        ("a node is lost", lambda: ray_nodes.lose("n2")),
    ]
    run_with_faults(sandbox, launch, faults, random.Random(seed))
    assert_same_results(launch, reference)


@pytest.mark.parametrize("seed", range(3))
def test_local(sandbox: Sandbox, reference: Path, seed: int) -> None:
    own = ("hydra/launcher=workers", "hydra.launcher.workers=3", "sweep.retries=9")
    name, rng = f"on_this_machine_{seed}", random.Random(seed)
    sandbox.set_step_delay(STEP_DELAY)
    launch = sandbox.begin(name, *own)
    faults: list[Fault] = [("a worker is killed", launch.kill_a_worker)] * 4
    launch.wait_for(launch.running)
    for what, inject in faults:
        time.sleep(rng.uniform(0, LONGEST_WAIT))
        print(f"{what}: {sorted(launch.running())} running")
        inject()
    launch.wait_for(launch.running)
    launch.kill()
    sandbox.set_step_delay(0)
    again = sandbox.begin(name, *own)
    assert again.ended() == 0, again.describe()
    assert_same_results(again, reference)
