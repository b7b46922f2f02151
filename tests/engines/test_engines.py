"""One sweep of twelve jobs on each engine, while workers, nodes and the submitting process die."""

from pathlib import Path

from mnist_resnet.jobs.lease import STALE_VARIABLE
from tests.engines import ray_cluster as ray
from tests.engines import slurm_cluster as slurm
from tests.engines.faults import Ground, assert_quiet, ends, reasons

SOON = {STALE_VARIABLE: "15"}
"""Seconds of silence after which a worker on a node that was lost is called dead; a minute outside of tests."""
NAP = 0.3
"""Seconds for each of a job's 32 steps, until the last fault."""
CUT_OFF = "died, or was cut off"
KILLED = "killed by signal 9, out of memory?"


def assert_one_gpu_each(ground: Ground, workers: int) -> None:
    """Workers on two nodes with two GPUs each have one to themselves, and one thread."""
    seen = ground.seen()
    assert len({(one["node"], one["CUDA_VISIBLE_DEVICES"]) for one in seen}) == workers, seen
    assert {one["CUDA_VISIBLE_DEVICES"] for one in seen} == {"0", "1"}
    assert {one["OMP_NUM_THREADS"] for one in seen} == {"1"}


def test_slurm(ground: Ground, quiet: Path, slurm_nodes: slurm.SlurmCluster) -> None:
    ground.nap(NAP)
    own = ["hydra/launcher=workers", "hydra.launcher.engine=slurm", "hydra.launcher.workers=3"]
    own += ["hydra.launcher.slurm.gpus_per_worker=1"]
    ground.forget()
    launch = ground.begin("on_slurm", *own, environment=slurm_nodes.environment | SOON)
    launch.kill_a_worker()
    launch.wait_for(lambda: KILLED in reasons(launch.folder))
    launch.kill()
    launch.wait_for(lambda: len(launch.running()) == 3)
    assert_one_gpu_each(ground, workers=3)
    slurm_nodes.ask(
        "sbatch", "--partition=high", "--nodelist=n2", "--exclusive", "--output=/dev/null", "--wrap=sleep 1"
    )
    launch.wait_for(lambda: "preempted" in slurm_nodes.log())
    launch.wait_for(lambda: "interrupted" in ends(launch.folder))
    launch.wait_for(launch.running)
    slurm_nodes.lose("n1")
    ground.nap(0)
    launch.wait_for(launch.all_completed)
    assert_quiet(launch, quiet)
    assert any(CUT_OFF in reason for reason in reasons(launch.folder)), reasons(launch.folder)


def test_ray(ground: Ground, quiet: Path, ray_nodes: ray.RayCluster) -> None:
    ground.nap(NAP)
    own = ["hydra/launcher=workers", "hydra.launcher.engine=ray", f"hydra.launcher.ray.address={ray_nodes.address}"]
    own += ["hydra.launcher.ray.num_gpus=1"]
    ground.forget()
    launch = ground.begin("on_ray", *own, environment=ray_nodes.environment | SOON, inside=ray_nodes.inside)
    launch.kill_a_worker()
    launch.wait_for(lambda: KILLED in reasons(launch.folder))
    launch.kill()
    launch.wait_for(lambda: len(launch.running()) == 4)
    assert_one_gpu_each(ground, workers=4)
    ray_nodes.lose("n2")
    ground.nap(0)
    launch.wait_for(launch.all_completed)
    assert_quiet(launch, quiet)
    assert any(CUT_OFF in reason for reason in reasons(launch.folder)), reasons(launch.folder)


def test_local(ground: Ground, quiet: Path) -> None:
    ground.nap(NAP)
    own = ("hydra/launcher=workers", "hydra.launcher.workers=2")
    launch = ground.begin("on_this_machine", *own)
    launch.kill_a_worker()
    launch.wait_for(lambda: KILLED in reasons(launch.folder))
    launch.wait_for(launch.running)
    launch.kill()
    ground.nap(0)
    again = ground.begin("on_this_machine", *own)
    assert again.ended() == 0, again.told()
    assert_quiet(again, quiet)
