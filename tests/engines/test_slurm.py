"""Slurm's own behaviour: inside an allocation, tasks that fail or never start, limits. Small sweeps, a real cluster."""

import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from mnist_resnet.config.launcher_schema import Slurm
from mnist_resnet.errors import UsageError
from mnist_resnet.launchers.devices import Placement
from mnist_resnet.launchers.engine import WorkerRequest
from mnist_resnet.launchers.slurm import SlurmEngine, SlurmSubmission, refusal
from mnist_resnet.launchers.slurm_environment import unwanted
from mnist_resnet.sweep import main as sweep_command
from tests.engines import slurm_cluster as slurm
from tests.small_sweeps import CHECKOUT, Place, make_place, statuses

ON_SLURM = ("hydra/launcher=workers", "hydra.launcher.engine=slurm", "seed=1,2")
COMPLETED = {"seed=1": "completed", "seed=2": "completed"}
SALLOC = ("salloc", "-n1", "-c1", "--mem-per-cpu=100M")
SBATCH = ("sbatch", "--wait", "-n1", "-c1", "--mem-per-cpu=100M", "--output=/dev/null")
"""An allocation with another kind of memory limit than the launcher sets; Slurm takes no two kinds."""
SETTINGS: dict[str, Any] = {
    **dict.fromkeys(["partition", "account", "qos", "constraint", "memory", "parameters"]),
    "time": 60,
    "gpus_per_worker": 0,
    "cpus_per_worker": 1,
    "grace": 90,
    "setup": [],
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[slurm.SlurmCluster]:
    reason = slurm.unavailable_reason()
    if reason:
        pytest.skip(reason)
    pytest.importorskip("submitit", reason="submitit is not installed (pip install -e '.[slurm]')")
    with slurm.slurm_cluster(cpus=2) as cluster:
        yield cluster


@pytest.fixture
def place(tmp_path: Path, cluster: slurm.SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A folder whose processes see the cluster."""
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    for name in ("SBATCH_MEM_PER_NODE", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    return make_place(tmp_path)


def train(place: Place, name: str, *overrides: str, inside: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run `train.py -m` on Slurm, in an allocation if one is given."""
    command = [sys.executable, str(CHECKOUT / "train.py"), *place.sweep(name, *ON_SLURM, *overrides)]
    command = [*inside, f"--wrap={shlex.join(command)}"] if inside[:1] == ("sbatch",) else [*inside, *command]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)


def follow(folder: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    """Return exit code and output of `python -m mnist_resnet.sweep`."""
    capsys.readouterr()
    code = sweep_command([str(folder), *options])
    return code, capsys.readouterr().out


@pytest.mark.parametrize("detach", ["false", "true"])
@pytest.mark.parametrize(
    "inside", [pytest.param(SALLOC, id="salloc"), pytest.param(SBATCH, id="sbatch", marks=pytest.mark.slow)]
)
def test_workers_do_not_inherit_the_allocation_that_they_were_submitted_from(
    inside: tuple[str, ...], detach: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = ("hydra.launcher.slurm.memory=700M", f"sweep.detach={detach}")
    ended = train(place, "inside", *settings, inside=inside)
    folder = place.folder / "multirun" / "inside"
    assert ended.returncode == 0, ended.stdout + ended.stderr
    if detach == "true":
        assert follow(folder, capsys, "--watch")[0] == 0
    assert statuses(folder) == COMPLETED


@pytest.mark.parametrize(
    ("environment", "gone"),
    [
        ({"SLURM_CONF": "a", "SLURM_CLUSTERS": "b", "SBATCH_ACCOUNT": "c", "SLURM_HINT": "d"}, set()),
        ({"SLURM_JOB_ID": "1", "SLURM_CONF": "a", "SBATCH_ACCOUNT": "c"}, {"SLURM_JOB_ID"}),
        ({"SLURM_JOBID": "1", "SLURM_MEM_PER_CPU": "100"}, {"SLURM_JOBID", "SLURM_MEM_PER_CPU"}),
        ({"SLURM_JOB_ID": "1", "CUDA_VISIBLE_DEVICES": "3"}, {"SLURM_JOB_ID", "CUDA_VISIBLE_DEVICES"}),
        ({"CUDA_VISIBLE_DEVICES": "3", "PATH": "x"}, set()),
        (
            {"SBATCH_PARTITION": "a", "SBATCH_TIMELIMIT": "1", "SBATCH_QOS": "b"},
            {"SBATCH_PARTITION", "SBATCH_TIMELIMIT"},
        ),
    ],
)
def test_variables_that_stay_out_of_a_submission(environment: dict[str, str], gone: set[str]) -> None:
    assert set(unwanted(environment, ["partition", "time"])) == gone


@pytest.mark.slow
def test_typed_partition_counts_and_not_the_one_in_the_environment(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_PARTITION", "nowhere")
    ended = train(place, "typed", "hydra.launcher.slurm.partition=low")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_last_lines_say_why_all_tasks_failed(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    ended = train(place, "failing", "hydra.launcher.slurm.setup=['echo no module cuda >&2','exit 3']")
    assert ended.returncode == 1
    assert "ended early: all workers have ended, but jobs are unfinished\n" in ended.stdout
    assert "NoWorkerLeft" not in ended.stdout
    folder = place.folder / "multirun" / "failing"
    for output in (ended.stdout, follow(folder, capsys)[1]):
        (line,) = [line for line in output.splitlines() if line.endswith(" ends with:")]
        assert Path(line.removesuffix(" ends with:")).read_text() == "no module cuda\n"
        assert "    no module cuda\n" in output


@pytest.mark.slow
def test_watching_ends_when_all_tasks_of_a_detached_sweep_have_failed(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(place, "detached", "hydra.launcher.slurm.setup=['exit 3']", "sweep.detach=true").returncode == 0
    code, output = follow(place.folder / "multirun" / "detached", capsys, "--watch")
    assert code == 1
    assert "no job is running" in output


def test_no_resume_is_proposed_while_tasks_are_pending(
    place: Place, cluster: slurm.SlurmCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    later = ("hydra.launcher.slurm.parameters={begin: now+1hour}", "sweep.detach=true")
    assert train(place, "later", *later).returncode == 0
    code, output = follow(place.folder / "multirun" / "later", capsys)
    cluster.ask("scancel", "--state=PENDING")
    assert code == 0
    assert "to resume" not in output
    assert "Slurm array" in output


@pytest.mark.slow
def test_tasks_that_never_start_end_the_wait(
    place: Place, cluster: slurm.SlurmCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    ended = train(place, "long", "hydra.launcher.slurm.partition=short", "hydra.launcher.slurm.time=2:30:00")
    assert ended.returncode == 1
    assert "2 tasks, limit 2:30:00 a worker (squeue" in ended.stdout
    reason = "2 tasks pending: PartitionTimeLimit (they never start; see hydra.launcher.slurm.time)"
    assert f"{reason}; cancelled, but jobs are unfinished\n" in ended.stdout
    assert cluster.states() == []
    assert train(place, "long", "hydra.launcher.slurm.partition=short", "sweep.detach=true").returncode == 0
    code, output = follow(place.folder / "multirun" / "long", capsys, "--watch")
    cluster.ask("scancel", "--partition=short")
    assert code == 1
    assert reason in output


def test_too_large_an_array_names_the_limit_and_the_key(place: Place) -> None:
    most = slurm.MAX_ARRAY_SIZE
    request = WorkerRequest(place.folder, "0123", 2 * most + 1, [])
    engine = SlurmEngine(Slurm.model_validate(SETTINGS), jobs_per_device=2)
    expected = f"hydra.launcher.workers={2 * most + 1}: the cluster allows {most} tasks in an array"
    with pytest.raises(UsageError, match=rf"^{expected} \(MaxArraySize\); take {2 * most} or fewer$"):
        engine.submit(request)


@pytest.mark.parametrize(
    ("time", "understood"),
    [
        (60, "1:00:00"),
        ("2:30", "0:02:30"),
        ("2:30:00", "2:30:00"),
        (yaml.safe_load("2:30:00"), "6 days, 6:00:00"),  # without quotes, YAML reads a number to the base of 60
        ("1-12", "1 day, 12:00:00"),
        ("1-12:30", "1 day, 12:30:00"),
        ("1-12:30:15", "1 day, 12:30:15"),
    ],
)
def test_time_limit_is_shown_as_slurm_understands_it(time: int | str, understood: str) -> None:
    shown = SlurmSubmission("7", tasks=1, workers=1, time=time, placement=Placement("Slurm")).describe()
    assert shown == f"Slurm array 7: 1 task, limit {understood} a worker (squeue -j 7 shows them)"


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        (
            "sbatch: unrecognized option '--foo=1'\nTry \"sbatch --help\" for more information\n",
            "unrecognized option '--foo=1'",
        ),
        ("sbatch: error: Invalid --time specification\n", "Invalid --time specification"),
    ],
)
def test_what_sbatch_refuses_is_named(output: str, reason: str) -> None:
    assert refusal(output) == reason
