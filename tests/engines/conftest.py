"""Fixtures: a sandbox, the reference sweep without faults, and clusters that run for one test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import ray_cluster as ray
from tests.engines import slurm_cluster as slurm
from tests.engines.faults import Sandbox, make_sandbox


@pytest.fixture(scope="module")
def sandbox(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Sandbox:
    return make_sandbox(tmp_path_factory.mktemp(request.path.stem))


@pytest.fixture(scope="module")
def reference(request: pytest.FixtureRequest, sandbox: Sandbox) -> Path:
    """The folder of the sweep run without faults; a test module may add overrides to it (REFERENCE)."""
    launch = sandbox.begin("reference", *getattr(request.module, "REFERENCE", ()))
    assert launch.ended() == 0, launch.describe()
    return launch.folder


@pytest.fixture
def slurm_nodes() -> Iterator[slurm.SlurmCluster]:
    reason = slurm.unavailable_reason()
    if reason:
        pytest.skip(reason)
    pytest.importorskip("submitit", reason="submitit is not installed (pip install -e '.[slurm]')")
    with slurm.slurm_cluster(cpus=2) as cluster:
        yield cluster


@pytest.fixture
def ray_nodes() -> Iterator[ray.RayCluster]:
    reason = ray.unavailable_reason()
    if reason:
        pytest.skip(reason)
    with ray.ray_cluster(cpus=2) as cluster:
        yield cluster
