"""What these tests stand on: a ground with the undisturbed sweep, and clusters that start and end with a test."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engines import ray_cluster as ray
from tests.engines import slurm_cluster as slurm
from tests.engines.faults import Ground, make_ground


@pytest.fixture(scope="module")
def ground(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return make_ground(tmp_path_factory.mktemp(request.path.stem))


@pytest.fixture(scope="module")
def quiet(request: pytest.FixtureRequest, ground: Ground) -> Path:
    """The sweep that nothing happened to; a module may say which one it is about (QUIET)."""
    launch = ground.begin("quiet", *getattr(request.module, "QUIET", ()))
    assert launch.ended() == 0, launch.told()
    return launch.folder


@pytest.fixture
def slurm_nodes() -> Iterator[slurm.SlurmCluster]:
    why = slurm.why_not()
    if why:
        pytest.skip(why)
    pytest.importorskip("submitit", reason="submitit is not installed (pip install -e '.[slurm]')")
    with slurm.slurm_cluster(cpus=2) as cluster:
        yield cluster


@pytest.fixture
def ray_nodes() -> Iterator[ray.RayCluster]:
    why = ray.why_not()
    if why:
        pytest.skip(why)
    with ray.ray_cluster(cpus=2) as cluster:
        yield cluster
