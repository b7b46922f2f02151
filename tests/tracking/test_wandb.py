"""The W&B tracker's runs: real ones, offline and with a local server, read back with W&B's own reader."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mnist_resnet.tracking.callback import Callback, RunInfo
from mnist_resnet.tracking.no_tracker import NoTracker
from mnist_resnet.tracking.wandb import WandbTracker
from mnist_resnet.tracking.wandb_files import sync_command
from mnist_resnet.tracking.wandb_run import short_name
from mnist_resnet.tracking.wandb_summary import log_summary_run
from tests.tracking.reported_jobs import (
    CONFIG,
    STEPS,
    check_complete,
    job_run,
    metrics,
    offline_runs,
    own_warnings,
    train,
)
from tests.tracking.wandb_account import use_server
from tests.wandb_history import history, summary
from tests.wandb_server import WandbServer

pytestmark = pytest.mark.usefixtures("without_account")


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
        train(tracker, job_run(tmp_path / f"lr={index}", identity=f"id{index}"), until=3, status=status)
    for index, (status, exit_code) in enumerate([("completed", 0), ("failed", 1), ("diverged", 1)]):
        (run,) = offline_runs(tmp_path / f"lr={index}")
        found = summary(run)
        assert found["config"] | {"_wandb": 0} == CONFIG | {"name": f"lr={index}", "_wandb": 0}
        assert (found["run_id"], found["name"], found["project"]) == (f"id{index}", f"lr={index}", "mine")
        assert (found["exit_code"], found["summary"]["status"]) == (exit_code, status)
        check_complete(history(run))


def test_summary_holds_last_and_best(tmp_path: Path) -> None:
    train(WandbTracker(mode="offline"), job_run(tmp_path / "job"), until=3)
    found = summary(offline_runs(tmp_path / "job")[0])["summary"]
    assert (found["last/test_accuracy"], found["last/epoch"]) == (0.9, 2)
    assert (found["best/test_accuracy"], found["best/epoch"], found["best/picked_on"]) == (0.95, 1, "test")
    assert (found["seconds"], found["images_per_second"]) == (2.5, 10.0)


def test_job_without_sweep_and_without_epochs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracker = WandbTracker(mode="offline")
    tracker.begin(job_run(tmp_path / "job"))
    tracker.end({"status": "failed", "last": None, "best": None, "error": {"type": "ValueError", "message": "why"}})
    assert summary(offline_runs(tmp_path / "job")[0])["summary"]["error"] == "why"
    assert own_warnings(caplog) == []


def test_resumed_offline_job_is_one_run_with_each_step_once(tmp_path: Path) -> None:
    job = tmp_path / "job"
    train(WandbTracker(mode="offline"), job_run(job), until=1, status="interrupted")
    train(WandbTracker(mode="offline"), job_run(job, done=1), until=3)
    (run,) = offline_runs(job)
    check_complete(history(run))
    assert len(list(job.glob("wandb/superseded/*"))) == 1, "the first attempt's run is set aside"


def test_resume_within_an_epoch(tmp_path: Path) -> None:
    run = job_run(tmp_path / "job", done=1)
    within = [*run.batch_losses, (STEPS, 1.0 + STEPS)]
    tracker = WandbTracker(mode="offline")
    tracker.begin(RunInfo(**(vars(run) | {"batch_losses": within})))
    for step in (2, 4):
        tracker.batch(1, step, 1.0 + STEPS + step, 0.5)
    tracker.epoch(metrics(1))
    tracker.end({"status": "completed"})
    check_complete(history(offline_runs(tmp_path / "job")[0]), epochs=2)


KILLED = """
import os, signal, sys, time
from pathlib import Path
from mnist_resnet.tracking.wandb import WandbTracker
from tests.tracking.reported_jobs import job_run, metrics, offline_runs
from tests.wandb_history import history
job = Path(sys.argv[1])
tracker = WandbTracker(mode="offline")
tracker.begin(job_run(job))
tracker.batch(0, 0, 1.0, 0.5)
tracker.epoch(metrics(0))
until = time.monotonic() + 12  # W&B itself flushes after 15 seconds
while len(history(offline_runs(job)[0])) < 2 and time.monotonic() < until:
    time.sleep(0.2)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_job_resumes_as_one_run(tmp_path: Path) -> None:
    job = tmp_path / "job"
    child = subprocess.run([sys.executable, "-c", KILLED, str(job)], cwd=Path(__file__).parents[2])
    assert child.returncode == -signal.SIGKILL
    assert [row.get("epoch") for row in history(offline_runs(job)[0])] == [None, 0], "flushed before the kill"
    with WandbServer() as server:
        _sync(job, server)
        train(WandbTracker(mode="offline"), job_run(job, done=1), until=3)
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
    tracker.begin(job_run(tmp_path / "first"))
    _kill_service()
    train(tracker, job_run(tmp_path / "first"), until=3)
    for name in ("second", "third"):
        train(WandbTracker(mode="offline"), job_run(tmp_path / name, identity=f"{name:0>16}"), until=3)
        check_complete(history(offline_runs(tmp_path / name)[-1]))
        if name == "second":
            _kill_service()
    assert len(own_warnings(caplog)) <= 1, "only the job in which it died is without"


def test_job_resumed_after_a_sync_appends_to_the_uploaded_run(tmp_path: Path) -> None:
    job = tmp_path / "job"
    with WandbServer() as server:
        for until in (1, 2, 3):
            train(WandbTracker(mode="offline"), job_run(job, done=until - 1), until=until, status="interrupted")
            _sync(job, server)
        (sent,) = server.runs.values()
    check_complete(sent.history)
    assert sync_command(job) is None, "everything is uploaded"


def test_sync_command_works_when_pasted(tmp_path: Path) -> None:
    study = tmp_path / "it's a study, $HOME"
    sweep = study / "lr_vs_stem"
    names = ["model=stem3x3,optim.lr=0.02", "naïve name & more"]
    for index, name in enumerate(names):
        train(WandbTracker(mode="offline"), job_run(sweep / name, identity=f"id{index}"), until=3)
    _summary_run(sweep)
    with WandbServer() as server:
        line = sync_command(study)
        assert line is not None
        assert len(line.splitlines()) == 1
        _sync(study, server)
        assert {run.records["displayName"] for run in server.runs.values()} == {*names, "lr_vs_stem: table"}
        assert {run.records["groupName"] for run in server.runs.values()} == {"lr_vs_stem"}
        check_complete(server.runs["id0"].history)
    assert sync_command(study) is None


def test_no_sync_command_if_nothing_is_unsent(tmp_path: Path) -> None:
    assert sync_command(tmp_path) is None
    assert sync_command(tmp_path / "missing") is None


def test_online_run_is_complete(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WandbServer() as server:
        use_server(server, monkeypatch)
        train(WandbTracker(mode="auto", project="mine", entity="us"), job_run(tmp_path / "job"), until=3)
        (sent,) = server.runs.values()
    check_complete(sent.history)
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
        use_server(server, monkeypatch)
        train(WandbTracker(mode="online"), job_run(job), until=2, status="interrupted")
        # The checkpoint was older than what W&B received: epoch 1 is logged again.
        train(WandbTracker(mode="online"), job_run(job, done=1), until=3)
        (sent,) = server.runs.values()
    check_complete(sent.history)
    assert own_warnings(caplog) == []


def test_offline_start_is_uploaded_by_the_online_rest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = tmp_path / "job"
    train(WandbTracker(mode="offline"), job_run(job), until=1, status="interrupted")
    with WandbServer() as server:
        use_server(server, monkeypatch)
        train(WandbTracker(mode="auto"), job_run(job, done=1), until=3)
        (sent,) = server.runs.values()
    check_complete(sent.history)
    assert sync_command(job) is None


def test_online_start_resumes_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = tmp_path / "job"
    with WandbServer() as server:
        use_server(server, monkeypatch)
        train(WandbTracker(mode="online"), job_run(job), until=1, status="interrupted")
        train(WandbTracker(mode="offline"), job_run(job, done=1), until=3)
        _sync(job, server)
        (sent,) = server.runs.values()
    check_complete(sent.history)


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
    assert len(offline_runs(sweep)) == 1
    with WandbServer() as server:
        _sync(sweep, server)
        _check_summary_run(server, sweep)
    assert own_warnings(caplog) == []


def test_online_summary_run_is_updated_in_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WandbServer() as server:
        use_server(server, monkeypatch)
        for _ in range(2):
            _summary_run(tmp_path / "sweep", mode="auto", files=_files(tmp_path))
        _check_summary_run(server, tmp_path / "sweep")


def test_failing_summary_run_only_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "wandb").write_text("in the way")
    _summary_run(tmp_path)
    assert len(own_warnings(caplog)) == 1


def test_a_name_is_cut_to_what_the_service_accepts_and_stays_unique() -> None:
    names = [f"{'a' * 100},seed={seed},{'b' * 100}" for seed in range(3)]
    assert {len(str(short_name(name))) for name in names} == {128}
    assert len({short_name(name) for name in names}) == 3
    assert short_name("n" * 128) == "n" * 128


def test_names_that_the_server_would_refuse_reach_it_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = "n" * 200
    with WandbServer() as server:
        use_server(server, monkeypatch)
        run = replace(job_run(tmp_path / "job"), name=long, group=long, tags=[long])
        train(WandbTracker(mode="online"), run, until=1)
        _summary_run(tmp_path / long, mode="online")
        job, whole = server.runs.values()
    for sent in (job, whole):
        assert sent.records["groupName"] == short_name(long)
        assert len(sent.records["displayName"]) == 128
    assert job.exit_code == whole.exit_code == 0
