"""Tests of public Hydra launchers with a sweep's features: job folders, skipping, resuming, the summary table."""

import os
import signal
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins

from mnist_resnet.attempts import attempts
from mnist_resnet.config.hydra_errors import EXTRAS
from mnist_resnet.job_folder import read_metrics
from mnist_resnet.launchers import ray as ray_engine
from mnist_resnet.launchers import slurm as slurm_engine
from mnist_resnet.tracking.wandb_files import unsent_runs
from tests.engines import slurm_cluster as slurm
from tests.engines.faults import Launch, Sandbox
from tests.small_sweeps import CHECKOUT, assert_same_job, run_in_process, statuses
from tests.wandb_history import begun

TWO = "seed=1,2"
REFERENCE = [TWO]
TRACKED = (TWO, "tracking=wandb", "tracking.mode=offline")


def assert_sweep(launch: Launch, reference: Path, code: int) -> None:
    assert code == 0, launch.describe()
    assert statuses(launch.folder) == {"seed=1": "completed", "seed=2": "completed"}
    for job in ("seed=1", "seed=2"):
        assert_same_job(launch.folder / job, reference / job)
        (run,) = unsent_runs(launch.folder / job)
        assert begun(run)["run_group"] == launch.folder.name
    assert "2 jobs: 2 completed" in launch.log.read_text()
    # Nothing is written outside the sweep folder.
    assert all((folder / "sweep.json").exists() for folder in launch.folder.parent.iterdir())


def skip_unless_installed(name: str) -> None:
    package = EXTRAS[name][0].replace("-", "_")
    if find_spec(f"hydra_plugins.{package}") is None:
        pytest.skip(f"{EXTRAS[name][0]} is not installed (pip install -e '.[{EXTRAS[name][1]}]')")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["joblib", "submitit_local", "ray"])
def test_two_jobs(name: str, sandbox: Sandbox, reference: Path) -> None:
    skip_unless_installed(name)

    def inside(*command: str) -> list[str]:
        # A Ray cluster started by the launcher would listen on the machine's network address.
        isolated = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
        return [*isolated, *command] if name == "ray" else list(command)

    environment = {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}
    launch = sandbox.begin(name, *TRACKED, f"hydra/launcher={name}", environment=environment, inside=inside)
    assert_sweep(launch, reference, launch.ended())
    again = sandbox.begin(name, *TRACKED, f"hydra/launcher={name}", environment=environment, inside=inside)
    assert again.ended() == 0
    assert "0 of 2 jobs to run" in again.log.read_text()


@pytest.mark.slow
def test_submitit_on_slurm_resumes_after_a_time_limit_and_a_preemption(
    sandbox: Sandbox, reference: Path, slurm_nodes: slurm.SlurmCluster
) -> None:
    own = ["hydra/launcher=submitit_slurm", "hydra.launcher.partition=low", "hydra.launcher.mem_gb=1"]
    own += ["hydra.launcher.cpus_per_task=1", "hydra.launcher.timeout_min=60"]
    sandbox.set_step_delay(0.3)
    launch = sandbox.begin("submitit_slurm", *TRACKED, *own, environment=slurm_nodes.environment)
    launch.wait_for(lambda: len([job for job in launch.folder.glob("seed=*") if read_metrics(job)]) == 2)
    slurm_nodes.ask("scancel", "--signal=USR2", "1_0")
    launch.wait_for(lambda: attempts(launch.folder / "seed=1")[0]["status"] == "interrupted")
    preemption = ("sbatch", "--partition=high", "--exclusive", "--output=/dev/null", "--wrap=sleep 1")
    for node in ("n1", "n2"):
        slurm_nodes.ask(*preemption, f"--nodelist={node}")
    launch.wait_for(lambda: attempts(launch.folder / "seed=2")[0]["status"] == "interrupted")
    sandbox.set_step_delay(0)
    assert_sweep(launch, reference, launch.ended())


def test_signal_during_a_job_reaches_the_handler_installed_before(sandbox: Sandbox) -> None:
    """For example submitit's handler, which requeues the job: it must run after the checkpoint is written."""
    sandbox.set_step_delay(0.3)
    program = "\n".join(
        [
            "import signal, sys, runpy",
            "signal.signal(signal.SIGUSR2, lambda *_: print('requeued', flush=True))",
            f"sys.argv = sys.argv[1:]; runpy.run_path({str(CHECKOUT / 'train.py')!r}, run_name='__main__')",
        ]
    )

    def inside(*command: str) -> list[str]:
        return [sys.executable, "-c", program, *command[1:]]

    launch = sandbox.begin("signalled", TWO, "hydra/launcher=basic", inside=inside)
    launch.wait_for(lambda: read_metrics(launch.folder / "seed=1"))
    os.kill(launch.process.pid, signal.SIGUSR2)
    launch.ended()
    sandbox.set_step_delay(0)
    output = launch.log.read_text()
    assert output.index("ended by SIGUSR2") < output.index("requeued")
    assert attempts(launch.folder / "seed=1")[0]["status"] == "interrupted"


@pytest.mark.parametrize("name", EXTRAS)
def test_missing_launcher_error_names_the_extra(
    name: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # Installed launchers have registered their configs. Remove them, as if they were not installed.
    Plugins.instance()
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"]["launcher"], f"{name}.yaml", raising=False)
    done = run_in_process(["-m", TWO, f"hydra/launcher={name}"], sandbox.place, monkeypatch, capfd)
    package, extra = EXTRAS[name]
    message = f"error: hydra/launcher={name}: needs {package}, which is not installed: pip install -e '.[{extra}]'\n"
    assert (done.code, done.err) == (2, message)


@pytest.mark.parametrize(("engine", "package"), [("slurm", "submitit"), ("ray", "Ray")])
def test_missing_engine_error_names_the_extra(
    engine: str, package: str, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    for module in (slurm_engine, ray_engine):
        monkeypatch.setattr(module, "find_spec", lambda _: None)
    own = ["hydra/launcher=workers", f"hydra.launcher.engine={engine}"]
    done = run_in_process(sandbox.place.sweep("missing", TWO, *own), sandbox.place, monkeypatch, capfd)
    message = (
        f"error: hydra.launcher.engine={engine}: needs {package}, which is missing: pip install -e '.[{engine}]'\n"
    )
    assert (done.code, done.err) == (2, message)


@pytest.mark.parametrize(
    ("name", "setting", "message"),
    [
        ("joblib", "hydra.launcher.n_jobs=0", "hydra/launcher=joblib: n_jobs == 0 in Parallel has no meaning"),
        ("joblib", "hydra.launcher.prefer=x", "hydra/launcher=joblib: prefer=x is not a valid backend hint"),
        ("joblib", "++hydra.launcher.foo=3", "hydra.launcher.foo: no such key; one of n_jobs, "),
        ("submitit_local", "++hydra.launcher.foo=3", "hydra.launcher.foo: no such key; one of submitit_folder, "),
        ("ray", "+hydra.launcher.ray.init.addres=x", "hydra.launcher.ray.init.addres: no such key; did you mean"),
        ("ray", "+hydra.launcher.ray.remote.foo=3", "hydra/launcher=ray: Invalid option keyword foo"),
    ],
)
def test_dry_run_refuses_what_a_launcher_would(
    name: str,
    setting: str,
    message: str,
    sandbox: Sandbox,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    skip_unless_installed(name)
    before = [*sandbox.place.multirun.glob("*")]
    words = ["-m", *sandbox.place.common, TWO, f"hydra/launcher={name}", "sweep.dry_run=true"]
    planned = run_in_process(words, sandbox.place, monkeypatch, capfd)
    assert (planned.code, planned.err) == (0, "")
    refused = run_in_process([*words, setting], sandbox.place, monkeypatch, capfd)
    assert refused.err.startswith(f"error: {message}")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert [*sandbox.place.multirun.glob("*")] == before
