"""The W&B tracker: real runs, offline and with a local server, read back with W&B's own reader."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mnist_resnet.job_folder import Metrics
from mnist_resnet.tracking import wandb_mode
from mnist_resnet.tracking.callback import Callback, RunInfo
from mnist_resnet.tracking.no_tracker import NoTracker
from mnist_resnet.tracking.wandb import WandbTracker
from mnist_resnet.tracking.wandb_files import sync_command
from mnist_resnet.tracking.wandb_run import short_name
from mnist_resnet.tracking.wandb_summary import log_summary_run
from tests.wandb_history import begun, history, summary
from tests.wandb_server import WandbServer

STEPS = 5
"""Optimiser steps in an epoch; the loss of every second one is reported."""

CONFIG = {"seed": 1, "optim": {"_target_": "torch.optim.Adam", "lr": 0.02}, "trainer": {"epochs": 3}}


@pytest.fixture(autouse=True)
def _without_account(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    _reset_wandb()
    for name in [name for name in os.environ if name.startswith("WANDB")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("NETRC", str(tmp_path / "no_netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "no_settings"))
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield
    _reset_wandb()


def _reset_wandb() -> None:
    """Reset W&B and the tracker, so that they read the environment again as a new process would."""
    if "wandb" in sys.modules:
        sys.modules["wandb"].teardown()
    wandb_mode._unreachable.clear()
    wandb_mode._rejected.clear()
    wandb_mode._warned.clear()


def _use(server: WandbServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    _reset_wandb()


def _warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return this program's warnings; W&B's own log goes to its files."""
    return [record.getMessage() for record in caplog.records if record.name == "mnist_resnet"]


def _metrics(epoch: int) -> Metrics:
    accuracy = [0.8, 0.95, 0.9][epoch]
    return {"epoch": epoch, "train_loss": 1 / (epoch + 1), "test_accuracy": accuracy, "lr": 0.02}


def _batches(epochs: range) -> list[tuple[int, float]]:
    return [(epoch * STEPS + step, 1.0 + epoch * STEPS + step) for epoch in epochs for step in range(0, STEPS, 2)]


def _run(folder: Path, done: int = 0, identity: str = "0123456789abcdef") -> RunInfo:
    folder.mkdir(exist_ok=True, parents=True)
    return RunInfo(
        id=identity,
        name=folder.name,
        group="lr_vs_stem",
        tags=["quick", "report_d", "t" * 100],
        folder=folder,
        config=CONFIG | {"name": folder.name},
        steps_per_epoch=STEPS,
        epochs=3,
        history=[_metrics(epoch) for epoch in range(done)],
        batch_losses=_batches(range(done)),
    )


def _train(tracker: Callback, run: RunInfo, until: int, status: str = "completed") -> None:
    """Report a job to a tracker that resumes after `run.history` and ends before epoch `until`."""
    tracker.begin(run)
    for epoch in range(len(run.history), until):
        for global_step, loss in _batches(range(epoch, epoch + 1)):
            tracker.batch(epoch, global_step % STEPS, loss, 0.5)
        tracker.epoch(_metrics(epoch))
    last = _metrics(until - 1) if until else None
    best = _metrics(min(until - 1, 1)) | {"picked_on": "test"} if until else None
    tracker.end(
        {"status": status, "seconds": 2.5, "images_per_second": 10.0, "last": last, "best": best, "error": None}
    )


def _offline_runs(folder: Path) -> list[Path]:
    return sorted(folder.glob("wandb/offline-run-*"))


def _check_complete(rows: list[dict[str, Any]], epochs: int = 3) -> None:
    """Check that each epoch and each reported batch was logged once, in order."""
    assert [row["epoch"] for row in rows if "epoch" in row] == list(range(epochs))
    batches = [(row["global_step"], row["batch_loss"]) for row in rows if "batch_loss" in row]
    assert batches == _batches(range(epochs))
    steps = [row["_step"] for row in rows]
    assert steps == sorted(set(steps))


def _sync(folder: Path, server: WandbServer) -> str:
    """Run the sync command in bash, as a user would."""
    line = sync_command(folder)
    assert line is not None
    shell = os.environ | server.environment | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    shell.pop("WANDB_SILENT", None)
    done = subprocess.run(["bash", "-c", line], env=shell, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_three_jobs_in_one_process_are_three_runs(tmp_path: Path) -> None:
    tracker = WandbTracker(mode="offline", project="mine")
    for index, status in enumerate(["completed", "failed", "diverged"]):
        _train(tracker, _run(tmp_path / f"lr={index}", identity=f"id{index}"), until=3, status=status)
    for index, (status, exit_code) in enumerate([("completed", 0), ("failed", 1), ("diverged", 1)]):
        (run,) = _offline_runs(tmp_path / f"lr={index}")
        found = summary(run)
        assert found["config"] | {"_wandb": 0} == CONFIG | {"name": f"lr={index}", "_wandb": 0}
        assert (found["run_id"], found["name"], found["project"]) == (f"id{index}", f"lr={index}", "mine")
        assert (found["exit_code"], found["summary"]["status"]) == (exit_code, status)
        _check_complete(history(run))


def test_summary_holds_last_and_best(tmp_path: Path) -> None:
    _train(WandbTracker(mode="offline"), _run(tmp_path / "job"), until=3)
    found = summary(_offline_runs(tmp_path / "job")[0])["summary"]
    assert (found["last/test_accuracy"], found["last/epoch"]) == (0.9, 2)
    assert (found["best/test_accuracy"], found["best/epoch"], found["best/picked_on"]) == (0.95, 1, "test")
    assert (found["seconds"], found["images_per_second"]) == (2.5, 10.0)


def test_job_without_sweep_and_without_epochs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = WandbTracker(mode="offline")
    tracker.begin(_run(tmp_path / "job"))
    tracker.end({"status": "failed", "last": None, "best": None, "error": {"type": "ValueError", "message": "why"}})
    assert summary(_offline_runs(tmp_path / "job")[0])["summary"]["error"] == "why"
    assert _warnings(caplog) == []


def test_resumed_offline_job_is_one_run_with_each_step_once(tmp_path: Path) -> None:
    job = tmp_path / "job"
    _train(WandbTracker(mode="offline"), _run(job), until=1, status="interrupted")
    _train(WandbTracker(mode="offline"), _run(job, done=1), until=3)
    (run,) = _offline_runs(job)
    _check_complete(history(run))
    assert len(list(job.glob("wandb/superseded/*"))) == 1, "the first attempt's run is set aside"


def test_resume_within_an_epoch(tmp_path: Path) -> None:
    run = _run(tmp_path / "job", done=1)
    within = [*run.batch_losses, (STEPS, 1.0 + STEPS)]
    tracker = WandbTracker(mode="offline")
    tracker.begin(RunInfo(**(vars(run) | {"batch_losses": within})))
    for step in (2, 4):
        tracker.batch(1, step, 1.0 + STEPS + step, 0.5)
    tracker.epoch(_metrics(1))
    tracker.end({"status": "completed"})
    _check_complete(history(_offline_runs(tmp_path / "job")[0]), epochs=2)


KILLED = """
import os, signal, sys, time
from pathlib import Path
from tests.tracking.test_wandb import WandbTracker, _metrics, _offline_runs, _run
from tests.wandb_history import history
job = Path(sys.argv[1])
tracker = WandbTracker(mode="offline")
tracker.begin(_run(job))
tracker.batch(0, 0, 1.0, 0.5)
tracker.epoch(_metrics(0))
until = time.monotonic() + 12  # W&B itself flushes after 15 seconds
while len(history(_offline_runs(job)[0])) < 2 and time.monotonic() < until:
    time.sleep(0.2)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_job_resumes_as_one_run(tmp_path: Path) -> None:
    job = tmp_path / "job"
    child = subprocess.run([sys.executable, "-c", KILLED, str(job)], cwd=Path(__file__).parents[2])
    assert child.returncode == -signal.SIGKILL
    assert [row.get("epoch") for row in history(_offline_runs(job)[0])] == [None, 0], "flushed before the kill"
    with WandbServer() as server:
        _sync(job, server)
        _train(WandbTracker(mode="offline"), _run(job, done=1), until=3)
        _sync(job, server)
        (sent,) = server.runs.values()
    assert [row["epoch"] for row in sent.history if "epoch" in row] == [0, 1, 2]


def _kill_service() -> None:
    """Kill W&B's own process, as the kernel does when memory runs out."""
    (service,) = [folder for folder in Path("/proc").glob("[0-9]*") if _is_running_service(folder)]
    os.kill(int(service.name), signal.SIGKILL)


def _is_running_service(process: Path) -> bool:
    try:
        name, _, rest = (process / "stat").read_text(errors="replace").rpartition(")")
    except OSError:  # it has ended since it was listed
        return False
    state, parent = rest.split()[:2]
    return name.endswith("(wandb-core") and int(parent) == os.getpid() and state not in "ZX"


def test_jobs_after_a_death_of_w_and_b_s_process_have_their_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = WandbTracker(mode="offline")
    tracker.begin(_run(tmp_path / "first"))
    _kill_service()
    _train(tracker, _run(tmp_path / "first"), until=3)
    for name in ("second", "third"):
        _train(WandbTracker(mode="offline"), _run(tmp_path / name, identity=f"{name:0>16}"), until=3)
        _check_complete(history(_offline_runs(tmp_path / name)[-1]))
        if name == "second":
            _kill_service()
    assert len(_warnings(caplog)) <= 1, "only the job in which it died is without"


def test_job_resumed_after_a_sync_appends_to_the_uploaded_run(tmp_path: Path) -> None:
    job = tmp_path / "job"
    with WandbServer() as server:
        for until in (1, 2, 3):
            _train(WandbTracker(mode="offline"), _run(job, done=until - 1), until=until, status="interrupted")
            _sync(job, server)
        (sent,) = server.runs.values()
    _check_complete(sent.history)
    assert sync_command(job) is None, "everything is uploaded"


def test_sync_command_works_when_pasted(tmp_path: Path) -> None:
    study = tmp_path / "it's a study, $HOME"
    sweep = study / "lr_vs_stem"
    names = ["model=stem3x3,optim.lr=0.02", "naïve name & more"]
    for index, name in enumerate(names):
        _train(WandbTracker(mode="offline"), _run(sweep / name, identity=f"id{index}"), until=3)
    _summary_run(sweep)
    with WandbServer() as server:
        line = sync_command(study)
        assert line is not None
        assert len(line.splitlines()) == 1
        _sync(study, server)
        assert {run.records["displayName"] for run in server.runs.values()} == {*names, "lr_vs_stem: table"}
        assert {run.records["groupName"] for run in server.runs.values()} == {"lr_vs_stem"}
        _check_complete(server.runs["id0"].history)
    assert sync_command(study) is None


def test_no_sync_command_if_nothing_is_unsent(tmp_path: Path) -> None:
    assert sync_command(tmp_path) is None
    assert sync_command(tmp_path / "missing") is None


def test_online_run_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WandbServer() as server:
        _use(server, monkeypatch)
        _train(WandbTracker(mode="auto", project="mine", entity="us"), _run(tmp_path / "job"), until=3)
        (sent,) = server.runs.values()
    _check_complete(sent.history)
    assert sent.config == CONFIG | {"name": "job"}
    assert sent.summary["best/test_accuracy"] == 0.95
    assert [row["_step"] for row in sent.history] == [row["global_step"] for row in sent.history]
    assert (sent.records["project"], sent.records["entity"], sent.exit_code) == ("mine", "us", 0)
    assert sent.records["tags"] == ["quick", "report_d", "t" * 64]
    assert sync_command(tmp_path) is None


def test_resumed_online_job_is_one_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    job = tmp_path / "job"
    with WandbServer() as server:
        _use(server, monkeypatch)
        _train(WandbTracker(mode="online"), _run(job), until=2, status="interrupted")
        # The checkpoint was older than what W&B received: epoch 1 is logged again.
        _train(WandbTracker(mode="online"), _run(job, done=1), until=3)
        (sent,) = server.runs.values()
    _check_complete(sent.history)
    assert _warnings(caplog) == []


def test_offline_start_is_uploaded_by_the_online_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = tmp_path / "job"
    _train(WandbTracker(mode="offline"), _run(job), until=1, status="interrupted")
    with WandbServer() as server:
        _use(server, monkeypatch)
        _train(WandbTracker(mode="auto"), _run(job, done=1), until=3)
        (sent,) = server.runs.values()
    _check_complete(sent.history)
    assert sync_command(job) is None


def test_online_start_resumes_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = tmp_path / "job"
    with WandbServer() as server:
        _use(server, monkeypatch)
        _train(WandbTracker(mode="online"), _run(job), until=1, status="interrupted")
        _train(WandbTracker(mode="offline"), _run(job, done=1), until=3)
        _sync(job, server)
        (sent,) = server.runs.values()
    _check_complete(sent.history)


def test_server_is_probed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WandbServer() as server:
        _use(server, monkeypatch)
        assert [wandb_mode.decide_mode("auto") for _ in range(20)] == ["online"] * 20
        assert server.requests == ["GET /"]


def test_modes_without_a_key(caplog: pytest.LogCaptureFixture) -> None:
    assert [wandb_mode.decide_mode(mode) for mode in ("auto", "offline")] == ["offline", "offline"]
    assert _warnings(caplog) == [], "offline is not a failure"
    assert [wandb_mode.decide_mode("online") for _ in range(3)] == ["offline"] * 3
    assert len(_warnings(caplog)) == 1
    assert "no API key" in _warnings(caplog)[0]


def test_key_in_netrc_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WandbServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        key = server.environment["WANDB_API_KEY"]
        (tmp_path / "no_netrc").write_text(f"machine {server.url.removeprefix('http://')} login user password {key}\n")
        _reset_wandb()
        assert wandb_mode.decide_mode("auto") == "online"


def test_wandb_mode_of_the_user_overrides_auto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WandbServer() as server:
        _use(server, monkeypatch)
        monkeypatch.setenv("WANDB_MODE", "offline")
        _reset_wandb()
        assert wandb_mode.decide_mode("auto") == "offline"
        assert wandb_mode.decide_mode("online") == "online"
        monkeypatch.setenv("WANDB_MODE", "disabled")
        _reset_wandb()
        _train(WandbTracker(mode="auto"), _run(tmp_path / "job"), until=3)
        assert not (tmp_path / "job" / "wandb").exists()


def test_closed_port_makes_jobs_offline_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with WandbServer() as server:
        environment = server.environment
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    _reset_wandb()
    for index in range(3):
        _train(WandbTracker(mode="auto"), _run(tmp_path / str(index), identity=f"id{index}"), until=3)
        _check_complete(history(_offline_runs(tmp_path / str(index))[0]))
    assert len(_warnings(caplog)) == 1
    assert "can't be reached" in _warnings(caplog)[0]


def test_failing_server_makes_jobs_offline_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with WandbServer(status=500) as server:
        _use(server, monkeypatch)
        for index in range(2):
            run = _run(tmp_path / str(index), identity=f"id{index}")
            _train(WandbTracker(mode="auto", timeout=2.0), run, until=3)
            _check_complete(history(_offline_runs(tmp_path / str(index))[0]))
    assert len(_warnings(caplog)) == 1
    assert "did not take a run in time" in _warnings(caplog)[0]


def test_unsent_rows_are_kept_when_the_server_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = WandbTracker(mode="online", timeout=2.0)
    with WandbServer() as server:
        _use(server, monkeypatch)
        tracker.begin(_run(tmp_path / "job"))
        server.status = 500
        tracker.epoch(_metrics(0))
        tracker.end({"status": "completed"})
        server.status = 200
        assert wandb_mode.decide_mode("online") == "offline", "later jobs do not wait for the server again"
    assert len(_warnings(caplog)) == 1
    assert "wandb sync --include-online" in _warnings(caplog)[0]


def test_unwritable_folder_does_not_stop_the_job(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = _run(tmp_path / "job")
    (run.folder / "wandb").write_text("in the way")
    _train(WandbTracker(mode="offline"), run, until=3)
    assert len(_warnings(caplog)) == 1
    assert _warnings(caplog)[0].startswith("W&B failed")
    assert "\n" not in _warnings(caplog)[0]


def test_invalid_project_does_not_stop_the_job_and_keeps_the_earlier_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = tmp_path / "job"
    _train(WandbTracker(mode="offline"), _run(job), until=1, status="interrupted")
    _train(WandbTracker(mode="offline", project="no/such?"), _run(job, done=1), until=3)
    assert len(_warnings(caplog)) == 1
    assert len(_offline_runs(job)) == 1


def test_no_tracker_accepts_the_same_keys_and_does_not_import_wandb() -> None:
    code = (
        "import sys; from mnist_resnet.tracking.no_tracker import NoTracker\n"
        "from mnist_resnet.tracking.wandb import WandbTracker\n"
        "from mnist_resnet.tracking.callback import RunInfo; from pathlib import Path\n"
        "tracker = NoTracker(mode='offline', project='p', entity='e', timeout=1.0)\n"
        "tracker.begin(RunInfo('i', 'n', None, [], Path('.'), {}, 1, 1)); tracker.batch(0, 0, 1.0, 0.5)\n"
        "tracker.epoch({'epoch': 0}); tracker.end({'status': 'completed'})\n"
        "WandbTracker(mode='offline')\n"
        "sys.exit('wandb' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2]).returncode == 0


def test_both_trackers_are_callbacks() -> None:
    callbacks: list[Callback] = [NoTracker(), WandbTracker()]
    assert len(callbacks) == 2


def _summary_run(sweep: Path, mode: str = "offline", files: tuple[Path, ...] = ()) -> None:
    sweep.mkdir(exist_ok=True)
    rows: list[list[Any]] = [["lr=0.02", 0.5], ["lr=0.001", None], ["lr=1", "diverged"], [Path("a"), 1]]
    log_summary_run(
        sweep, sweep.name, project="mine", entity=None, mode=mode, columns=["job", "accuracy"], rows=rows, files=files
    )


def _check_summary_run(server: WandbServer, sweep: Path) -> None:
    (sent,) = server.runs.values()
    assert (sent.records["groupName"], sent.records["jobType"]) == (sweep.name, "summary")
    table = sent.history[-1]["table"]
    assert (table["ncols"], table["nrows"]) == (2, 4)
    content = json.loads(server.files[f"{sent.id}/{table['path']}"])
    assert content["data"] == [["lr=0.02", 0.5], ["lr=0.001", None], ["lr=1", "diverged"], ["a", 1]]
    assert "dashboard" in sent.history[-1]
    assert server.files[f"{sent.id}/results.csv"] == b"a,b\n"


def _files(folder: Path) -> tuple[Path, ...]:
    files = folder / "dashboard.html", folder / "results.csv", folder / "missing.png"
    files[0].write_text("<b>all</b>")
    files[1].write_text("a,b\n")
    return files


def test_summary_run_has_the_table_and_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    sweep = tmp_path / "sweep"
    for _ in range(2):
        _summary_run(sweep, files=_files(tmp_path))
    assert len(_offline_runs(sweep)) == 1
    with WandbServer() as server:
        _sync(sweep, server)
        _check_summary_run(server, sweep)
    assert _warnings(caplog) == []


def test_online_summary_run_is_updated_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WandbServer() as server:
        _use(server, monkeypatch)
        for _ in range(2):
            _summary_run(tmp_path / "sweep", mode="auto", files=_files(tmp_path))
        _check_summary_run(server, tmp_path / "sweep")


def test_failing_summary_run_only_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "wandb").write_text("in the way")
    _summary_run(tmp_path)
    assert len(_warnings(caplog)) == 1


USERS_VARIABLES = {
    "WANDB_PROJECT": "of_the_variable",
    "WANDB_ENTITY": "team_of_the_variable",
    "WANDB_RUN_GROUP": "group_of_the_variable",
    "WANDB_JOB_TYPE": "ablation",
    "WANDB_NAME": "mine",
    "WANDB_NOTES": "for the paper",
    "WANDB_TAGS": "mine,quick",
}

SETTINGS_FILE = """[default]
project = of_the_file
entity = team_of_the_file
run_group = group_of_the_file
"""
"""What `wandb init` writes, and a key that a user added."""


@pytest.mark.parametrize("in_sweep", [True, False])
@pytest.mark.parametrize("typed", [None, "typed"])
@pytest.mark.parametrize("variables", [True, False])
def test_the_users_own_settings_count_below_what_is_typed(
    in_sweep: bool, typed: str | None, variables: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wandb").mkdir()
    (tmp_path / "wandb" / "settings").write_text(SETTINGS_FILE)
    if variables:
        for name, value in USERS_VARIABLES.items():
            monkeypatch.setenv(name, value)
    run = _run(tmp_path / "job")
    _train(WandbTracker(mode="offline", project=typed, entity=typed), run if in_sweep else replace(run, group=None), 1)
    started = begun(_offline_runs(tmp_path / "job")[0])
    origin = "variable" if variables else "file"
    assert started["project"] == (typed or f"of_the_{origin}")
    assert started["entity"] == (typed or f"team_of_the_{origin}")
    assert started["run_group"] == f"group_of_the_{origin}"
    assert started["job_type"] == ("ablation" if variables else "train")
    assert started.get("notes", "") == ("for the paper" if variables else "")
    assert started["display_name"] == ("mine" if variables and not in_sweep else "job")
    assert started["tags"] == ["quick", "report_d", "t" * 64, *(["mine"] if variables else [])]


def test_without_settings_the_project_is_ours_and_the_group_the_sweep(tmp_path: Path) -> None:
    _train(WandbTracker(mode="offline"), _run(tmp_path / "job"), until=1)
    started = begun(_offline_runs(tmp_path / "job")[0])
    assert (started["project"], started["run_group"]) == ("mnist-resnet", "lr_vs_stem")


@pytest.mark.parametrize(
    "setting",
    [
        "WANDB_BASE_URL=localhost:8080",
        "WANDB_MODE=OFFLINE",
        f"WANDB_TAGS={'t' * 78}",
        "WANDB_PROJECT=team/mnist",
        "base_url=localhost:8080",
        "project=team/mnist",
    ],
)
@pytest.mark.parametrize("mode", ["auto", "online"])
def test_a_bad_setting_is_named_and_the_run_kept_offline(
    setting: str, mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    name, _, value = setting.partition("=")
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "wandb" / "settings"
    with WandbServer() as server:
        _use(server, monkeypatch)
        if name.startswith("WANDB_"):
            monkeypatch.setenv(name, value)
        else:
            file.parent.mkdir()
            file.write_text(f"[default]\n{name} = {value}\n")
        _train(WandbTracker(mode=mode), _run(tmp_path / "job"), until=1)
        assert server.runs == {}
    _check_complete(history(_offline_runs(tmp_path / "job")[0]), epochs=1)
    (warning,) = _warnings(caplog)
    where = "" if name.startswith("WANDB_") else f"{file}: "
    assert warning.startswith(f"W&B runs are kept offline: {where}{setting}: ")
    assert "error" not in warning.lower()


def test_an_unreadable_settings_file_is_named_and_the_run_kept_offline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "wandb" / "settings"
    file.parent.mkdir()
    file.write_text("base_url = http://ours\n")
    with WandbServer() as server:
        _use(server, monkeypatch)
        assert wandb_mode.decide_mode("auto") == "offline"
        (warning,) = _warnings(caplog)
        assert warning.startswith(f"W&B runs are kept offline: {file}: File contains no section headers")
        monkeypatch.setenv("WANDB_MODE", "disabled")
        _reset_wandb()
        assert wandb_mode.decide_mode("auto") == "disabled", "there is no run to keep"


def test_a_name_is_cut_to_what_the_service_accepts_and_stays_unique() -> None:
    names = [f"{'a' * 100},seed={seed},{'b' * 100}" for seed in range(3)]
    assert {len(str(short_name(name))) for name in names} == {128}
    assert len({short_name(name) for name in names}) == 3
    assert short_name("n" * 128) == "n" * 128


def test_names_that_the_server_would_refuse_reach_it_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "n" * 200
    with WandbServer() as server:
        _use(server, monkeypatch)
        run = replace(_run(tmp_path / "job"), name=long, group=long, tags=[long])
        _train(WandbTracker(mode="online"), run, until=1)
        _summary_run(tmp_path / long, mode="online")
        job, whole = server.runs.values()
    for sent in (job, whole):
        assert sent.records["groupName"] == short_name(long)
        assert len(sent.records["displayName"]) == 128
    assert job.exit_code == whole.exit_code == 0


def test_a_refused_run_is_kept_offline_and_the_next_one_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with WandbServer() as server:
        _use(server, monkeypatch)
        tracker = WandbTracker(mode="online")
        monkeypatch.setenv("WANDB_JOB_TYPE", "j" * 65)
        _reset_wandb()
        _train(tracker, _run(tmp_path / "refused", identity="refused"), until=1)
        monkeypatch.delenv("WANDB_JOB_TYPE")
        sys.modules["wandb"].teardown()  # it would keep the variable
        _train(tracker, _run(tmp_path / "next", identity="next"), until=1)
        assert list(server.runs) == ["next"]
        _check_complete(server.runs["next"].history, epochs=1)
    _check_complete(history(_offline_runs(tmp_path / "refused")[0]), epochs=1)
    (warning,) = _warnings(caplog)
    assert warning.startswith("W&B refused a run, which is kept offline (")
    assert "64 limit exceeded for jobType" in warning
