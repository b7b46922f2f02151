"""Options of workers: what is typed for them is checked, and a worker goes by those of its launch."""

import json
from pathlib import Path

import pytest

from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import LAUNCHES, UnreadableFolder
from mnist_resnet.jobs.worker_options import WorkerOptions, read_worker_options
from mnist_resnet.launchers.worker import work
from mnist_resnet.sweeps.folder import Sweep
from tests.launchers.fateful_network import TARGET
from tests.launchers.written_options import write_options
from tests.small_sweeps import Place, Run, attempts, statuses


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("workers=0", "hydra.launcher.workers=0: must be 1 or more"),
        ("jobs_per_device=0", "hydra.launcher.jobs_per_device=0: must be 1 or more"),
        ("workers=many", "hydra.launcher.workers=many: must be a whole number"),
        ("engine=slrum", "hydra.launcher.engine=slrum: must be 'local', 'slurm' or 'ray'"),
        ("engine=slurm hydra.launcher.slurm.time=soon", "hydra.launcher.slurm.time=soon: must be"),
        ("engine=slurm hydra.launcher.slurm.memory=much", "hydra.launcher.slurm.memory=much: must be"),
        ("engine=slurm hydra.launcher.slurm.nodes=3", "hydra.launcher.slurm.nodes: no such key"),
        ("engine=ray hydra.launcher.ray.num_gpus=-1", "hydra.launcher.ray.num_gpus=-1: must be 0 or more"),
        ("workers=1 trainer.device=cuda:1", "trainer.device=cuda:1"),
    ],
)
def test_invalid_settings_are_a_one_line_error_and_start_nothing(
    sweep: Run, place: Place, setting: str, message: str
) -> None:
    done = sweep("wrong", "seed=1,2", "hydra/launcher=workers", *f"hydra.launcher.{setting}".split())
    assert done.code == 2
    assert done.err.startswith(f"error: {message}")
    assert done.err.count("\n") == 1
    assert not place.multirun.exists()


def test_retries_are_checked_and_change_no_signature(sweep: Run, place: Place) -> None:
    assert sweep("retries", "seed=1,2", "sweep.retries=-1").err == "error: sweep.retries=-1: must be 0 or more\n"
    sweep("retries", "seed=1,2")
    assert "0 of 2 jobs to run" in sweep("retries", "seed=1,2", "sweep.retries=7").out


def test_worker_options_are_read_as_written(frozen: Sweep) -> None:
    options = write_options(frozen, "stop")
    assert read_worker_options(options.folder, "1234") == options


def test_options_of_an_older_version_are_read_and_incomplete_ones_refused_in_one_line(tmp_path: Path) -> None:
    options = WorkerOptions(tmp_path, "1234", {"a": 0}, "continue", "", supervised=False)
    options.write()
    file = tmp_path / LAUNCHES / "1234.json"
    written = json.loads(file.read_text())
    for missing in ("workers", "jobs"):
        file.write_text(json.dumps({key: value for key, value in written.items() if key != missing}))
        if missing == "workers":
            assert read_worker_options(tmp_path, "1234") == options
    with pytest.raises(UnreadableFolder, match=r"1234\.json: can't be read \(it has no 'jobs'\)"):
        read_worker_options(tmp_path, "1234")


def test_job_that_failed_since_the_launch_is_not_run_by_a_later_worker(frozen: Sweep) -> None:
    write_options(frozen)
    assert [work(frozen.folder, "1234", number, [TARGET]) for number in (1, 2)] == [0, 0]
    assert attempts(frozen.folder) == {"model.fate=raises": 1, "model.fate=lives": 1}


def test_no_worker_starts_a_job_after_a_failure_with_on_failure_stop(frozen: Sweep) -> None:
    write_options(frozen, "stop")
    assert [work(frozen.folder, "1234", number, [TARGET]) for number in (1, 2)] == [0, 0]
    assert statuses(frozen.folder) == {"model.fate=raises": "failed"}


def test_worker_refuses_untrusted_targets(frozen: Sweep) -> None:
    write_options(frozen)
    with pytest.raises(UsageError, match=r"_target_=fateful\.network: not on the list"):
        work(frozen.folder, "1234", 1, [])
    assert statuses(frozen.folder) == {}


def test_worker_without_a_launch_runs_all_unfinished_jobs(frozen: Sweep) -> None:
    assert work(frozen.folder, None, 0, [TARGET]) == 0
    assert statuses(frozen.folder) == {"model.fate=lives": "completed", "model.fate=raises": "failed"}
