"""Tests of counting cores, GPUs and workers, and of variables that name threads or a cluster."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from mnist_resnet.config.launcher_schema import Ray
from mnist_resnet.errors import UsageError
from mnist_resnet.launchers import devices
from mnist_resnet.launchers.devices import placements, usable_cores, visible_gpus, workers_on
from mnist_resnet.launchers.local import LocalEngine
from mnist_resnet.launchers.pool import choose_placements, describe

CORES = 16


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine of 16 cores, without cgroups and without Slurm; return the folder of its cgroups."""
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(CORES)), raising=False)
    monkeypatch.setattr(devices, "PROCESS_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(devices, "CGROUPS", tmp_path)
    for name in (*devices.SLURM_CORES, *devices.THREAD_VARIABLES, "RAY_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("environment", "cores"),
    [
        ({}, CORES),
        ({"SLURM_CPUS_PER_TASK": "2"}, 2),
        ({"SLURM_CPUS_ON_NODE": "8"}, 8),
        ({"SLURM_CPUS_ON_NODE": "8", "SLURM_CPUS_PER_TASK": "2"}, 2),
        ({"SLURM_CPUS_PER_TASK": "64"}, CORES),
        ({"SLURM_CPUS_PER_TASK": "many"}, CORES),
    ],
)
def test_cores_of_a_slurm_task(environment: Mapping[str, str], cores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert usable_cores() == cores
    assert LocalEngine({"cpu"}).default_workers(100) == cores


@pytest.mark.parametrize(
    ("cgroups", "files", "cores"),
    [
        ("0::/", {"cpu.max": "400000 100000"}, 4),
        ("0::/", {"cpu.max": "max 100000"}, CORES),
        ("0::/", {"cpu.max": "50000 100000"}, 1),
        ("0::/job/step", {"job/step/cpu.max": "max 100000", "job/cpu.max": "300000 100000"}, 3),
        ("0::/job/step", {"job/step/cpu.max": "200000 100000", "job/cpu.max": "300000 100000"}, 2),
        ("0::/of/the/host", {"cpu.max": "500000 100000"}, 5),
        ("4:memory:/\n0::/job", {"unified/job/cpu.max": "600000 100000"}, 6),
        (
            "4:cpu,cpuacct:/a",
            {"cpu,cpuacct/a/cpu.cfs_quota_us": "200000", "cpu,cpuacct/a/cpu.cfs_period_us": "100000"},
            2,
        ),
        ("4:cpu:/a/b", {"cpu/a/cpu.cfs_quota_us": "700000", "cpu/a/cpu.cfs_period_us": "100000"}, 7),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, CORES),
        ("4:cpuset:/", {"cpuset/cpu.cfs_quota_us": "100000", "cpuset/cpu.cfs_period_us": "100000"}, CORES),
    ],
)
def test_cores_within_the_quotas_of_all_cgroups(
    cgroups: str, files: Mapping[str, str], cores: int, machine: Path
) -> None:
    (machine / "cgroup").write_text(f"{cgroups}\n")
    for name, content in files.items():
        (machine / name).parent.mkdir(parents=True, exist_ok=True)
        (machine / name).write_text(f"{content}\n")
    assert usable_cores() == cores


def test_workers_and_what_they_run_on_are_named() -> None:
    assert workers_on(placements(1, [], CORES)) == "1 worker on 16 of 16 cores"
    assert workers_on(placements(2, [], CORES)) == "2 workers, each on 8 of 16 cores"
    assert workers_on(placements(3, ["0", "1"], CORES)) == "3 workers on GPU 0, GPU 1"


def test_a_line_says_that_threads_of_the_environment_are_not_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert describe(placements(2, [], CORES)) == "2 workers, each on 8 of 16 cores"
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    assert describe(placements(2, [], CORES)) == "2 workers, each on 8 of 16 cores"
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    assert describe(placements(2, [], CORES)) == (
        "2 workers, each on 8 of 16 cores; OMP_NUM_THREADS=4 is not followed: 8 a worker, by its cores "
        "(trainer.threads sets another number)"
    )


def test_ray_address_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ray", reason="Ray is not installed (pip install -e '.[ray]')")
    from mnist_resnet.launchers.ray import RayEngine

    settings = Ray(address=None, num_cpus=1, num_gpus=0, resources=None)
    with pytest.raises(UsageError, match=r"^sweep\.detach=true: "):
        RayEngine(settings, jobs_per_device=1, detach=True)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:9")
    monkeypatch.setattr("ray.init", _refuse)
    engine = RayEngine(settings, jobs_per_device=1, detach=True)
    with pytest.raises(UsageError, match=r"^RAY_ADDRESS=127\.0\.0\.1:9: no Ray answers \(nobody at 127"):
        engine.default_workers(1)
    with pytest.raises(UsageError, match=r"^sweep\.detach=true: "):
        RayEngine(settings.model_copy(update={"address": "local"}), jobs_per_device=1, detach=True)


def _refuse(address: str, **_: object) -> None:
    raise ConnectionError(f"nobody at {address}")


def test_workers_are_assigned_to_gpus_in_turn_and_share_the_cores() -> None:
    assigned = placements(3, ["0", "5"], cores=16)
    assert [placement.environment["CUDA_VISIBLE_DEVICES"] for placement in assigned] == ["0", "5", "0"]
    assert {placement.environment["OMP_NUM_THREADS"] for placement in assigned} == {"5"}
    assert [placement.environment["OMP_NUM_THREADS"] for placement in placements(3, [], cores=2)] == ["1", "1", "1"]
    assert "CUDA_VISIBLE_DEVICES" not in placements(1, [], cores=2)[0].environment


def test_number_of_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "usable_cores", lambda: 4)
    monkeypatch.setattr(devices, "visible_gpus", list)
    assert len(choose_placements({"auto"}, 100, None, 1)) == 4
    assert len(choose_placements({"auto"}, 100, None, 2)) == 8
    assert len(choose_placements({"auto"}, 100, 3, 1)) == 3
    assert len(choose_placements({"auto"}, 2, None, 1)) == 2, "at most one worker for each job"
    monkeypatch.setattr(devices, "visible_gpus", lambda: ["0", "1"])
    assert len(choose_placements({"auto"}, 100, None, 3)) == 6
    assert len(choose_placements({"cpu"}, 100, None, 1)) == 4, "jobs on the CPU use no GPU"
    assert LocalEngine({"cpu"}).default_workers(100) == 4
    assert LocalEngine({"cpu", "auto"}, jobs_per_device=2).default_workers(100) == 4


def test_without_a_driver_there_are_no_gpus(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(devices, "GPU_FILES", (str(tmp_path / "nvidiactl"),))
    monkeypatch.setattr(devices, "COUNTING", "print('devices:', 3)")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert visible_gpus() == []
    (tmp_path / "nvidiactl").touch()
    assert visible_gpus() == ["0", "1", "2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-x, 4,5")
    assert visible_gpus() == ["GPU-x", "4", "5"]
