"""Runs a sweep of twelve jobs on each engine, while workers, nodes and the submitting process die."""

from pathlib import Path

import pytest

from mnist_resnet.attempts import STALE_VARIABLE
from tests.engines import ray_cluster as ray
from tests.engines import slurm_cluster as slurm
from tests.engines.faults import Sandbox, assert_same_results, crash_reasons, end_statuses

FAST_TIMEOUT = {STALE_VARIABLE: "15"}
"""Seconds without a heartbeat after which a worker on a lost node counts as dead. The default is 90."""
STEP_DELAY = 0.3
"""Seconds for each of a job's 32 steps until the last fault."""
CUT_OFF = "died, or was cut off"
KILLED = "killed by signal 9, out of memory?"


def assert_one_gpu_each(sandbox: Sandbox, workers: int) -> None:
    """Assert that workers on two nodes with two GPUs each have one GPU to themselves, and one thread."""
    environments = sandbox.recorded_environments()
    gpus = {(environment["node"], environment["CUDA_VISIBLE_DEVICES"]) for environment in environments}
    assert len(gpus) == workers, environments
    assert {environment["CUDA_VISIBLE_DEVICES"] for environment in environments} == {"0", "1"}
    assert {environment["OMP_NUM_THREADS"] for environment in environments} == {"1"}


def test_slurm(sandbox: Sandbox, reference: Path, slurm_nodes: slurm.SlurmCluster) -> None:
    sandbox.set_step_delay(STEP_DELAY)
    own = ["hydra/launcher=workers", "hydra.launcher.engine=slurm", "hydra.launcher.workers=3"]
    own += ["hydra.launcher.slurm.gpus_per_worker=1"]
    sandbox.clear_records()
    launch = sandbox.begin("on_slurm", *own, environment=slurm_nodes.environment | FAST_TIMEOUT)
    launch.kill_a_worker()
    launch.wait_for(lambda: KILLED in crash_reasons(launch.folder))
    launch.kill()
    launch.wait_for(lambda: len(launch.running()) == 3)
    assert_one_gpu_each(sandbox, workers=3)
    slurm_nodes.ask(
        "sbatch", "--partition=high", "--nodelist=n2", "--exclusive", "--output=/dev/null", "--wrap=sleep 1"
    )
    launch.wait_for(lambda: "preempted" in slurm_nodes.log())
    launch.wait_for(lambda: "interrupted" in end_statuses(launch.folder))
    launch.wait_for(launch.running)
    slurm_nodes.lose("n1")
    sandbox.set_step_delay(0)
    launch.wait_for(launch.all_completed)
    assert_same_results(launch, reference)
    assert any(CUT_OFF in reason for reason in crash_reasons(launch.folder)), crash_reasons(launch.folder)


@pytest.mark.slow
def test_ray(sandbox: Sandbox, reference: Path, ray_nodes: ray.RayCluster) -> None:
    sandbox.set_step_delay(STEP_DELAY)
    own = ["hydra/launcher=workers", "hydra.launcher.engine=ray", f"hydra.launcher.ray.address={ray_nodes.address}"]
    own += ["hydra.launcher.ray.num_gpus=1"]
    sandbox.clear_records()
    launch = sandbox.begin("on_ray", *own, environment=ray_nodes.environment | FAST_TIMEOUT, inside=ray_nodes.inside)
    launch.kill_a_worker()
    launch.wait_for(lambda: KILLED in crash_reasons(launch.folder))
    launch.kill()
    launch.wait_for(lambda: len(launch.running()) == 4)
    assert_one_gpu_each(sandbox, workers=4)
    ray_nodes.lose("n2")
    sandbox.set_step_delay(0)
    launch.wait_for(launch.all_completed)
    assert_same_results(launch, reference)
    assert any(CUT_OFF in reason for reason in crash_reasons(launch.folder)), crash_reasons(launch.folder)


@pytest.mark.slow
def test_local(sandbox: Sandbox, reference: Path) -> None:
    sandbox.set_step_delay(STEP_DELAY)
    own = ("hydra/launcher=workers", "hydra.launcher.workers=2")
    launch = sandbox.begin("on_this_machine", *own)
    launch.kill_a_worker()
    launch.wait_for(lambda: KILLED in crash_reasons(launch.folder))
    launch.wait_for(launch.running)
    launch.kill()
    sandbox.set_step_delay(0)
    again = sandbox.begin("on_this_machine", *own)
    assert again.ended() == 0, again.describe()
    assert_same_results(again, reference)
