"""The W&B tracker's settings, and servers and settings that fail: jobs train on, and their runs are kept offline."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mnist_resnet.tracking import wandb_mode
from mnist_resnet.tracking.wandb import WandbTracker
from tests.tracking.reported_jobs import check_complete, job_run, metrics, offline_runs, own_warnings, train
from tests.tracking.wandb_account import reset_wandb, use_server
from tests.wandb_history import begun, history
from tests.wandb_server import WandbServer

pytestmark = pytest.mark.usefixtures("without_account")


def test_server_is_probed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WandbServer() as server:
        use_server(server, monkeypatch)
        assert [wandb_mode.decide_mode("auto") for _ in range(20)] == ["online"] * 20
        assert server.requests == ["GET /"]


def test_modes_without_a_key(caplog: pytest.LogCaptureFixture) -> None:
    assert [wandb_mode.decide_mode(mode) for mode in ("auto", "offline")] == ["offline", "offline"]
    assert own_warnings(caplog) == [], "offline is not a failure"
    assert [wandb_mode.decide_mode("online") for _ in range(3)] == ["offline"] * 3
    assert len(own_warnings(caplog)) == 1
    assert "no API key" in own_warnings(caplog)[0]


def test_key_in_netrc_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WandbServer() as server:
        monkeypatch.setenv("WANDB_BASE_URL", server.url)
        key = server.environment["WANDB_API_KEY"]
        (tmp_path / "no_netrc").write_text(f"machine {server.url.removeprefix('http://')} login user password {key}\n")
        reset_wandb()
        assert wandb_mode.decide_mode("auto") == "online"


def test_wandb_mode_of_the_user_overrides_auto(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with WandbServer() as server:
        use_server(server, monkeypatch)
        monkeypatch.setenv("WANDB_MODE", "offline")
        reset_wandb()
        assert wandb_mode.decide_mode("auto") == "offline"
        assert wandb_mode.decide_mode("online") == "online"
        monkeypatch.setenv("WANDB_MODE", "disabled")
        reset_wandb()
        train(WandbTracker(mode="auto"), job_run(tmp_path / "job"), until=3)
        assert not (tmp_path / "job" / "wandb").exists()


def test_closed_port_makes_jobs_offline_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with WandbServer() as server:
        environment = server.environment
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    reset_wandb()
    for index in range(3):
        train(WandbTracker(mode="auto"), job_run(tmp_path / str(index), identity=f"id{index}"), until=3)
        check_complete(history(offline_runs(tmp_path / str(index))[0]))
    assert len(own_warnings(caplog)) == 1
    assert "can't be reached" in own_warnings(caplog)[0]


def test_failing_server_makes_jobs_offline_with_one_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with WandbServer(status=500) as server:
        use_server(server, monkeypatch)
        for index in range(2):
            run = job_run(tmp_path / str(index), identity=f"id{index}")
            train(WandbTracker(mode="auto", timeout=2.0), run, until=3)
            check_complete(history(offline_runs(tmp_path / str(index))[0]))
    assert len(own_warnings(caplog)) == 1
    assert "did not take a run in time" in own_warnings(caplog)[0]


def test_unsent_rows_are_kept_when_the_server_is_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    tracker = WandbTracker(mode="online", timeout=2.0)
    with WandbServer() as server:
        use_server(server, monkeypatch)
        tracker.begin(job_run(tmp_path / "job"))
        server.status = 500
        tracker.epoch(metrics(0))
        tracker.end({"status": "completed"})
        server.status = 200
        assert wandb_mode.decide_mode("online") == "offline", "later jobs do not wait for the server again"
    assert len(own_warnings(caplog)) == 1
    assert "wandb sync --include-online" in own_warnings(caplog)[0]


def test_unwritable_folder_does_not_stop_the_job(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run = job_run(tmp_path / "job")
    (run.folder / "wandb").write_text("in the way")
    train(WandbTracker(mode="offline"), run, until=3)
    assert len(own_warnings(caplog)) == 1
    assert own_warnings(caplog)[0].startswith("W&B failed")
    assert "\n" not in own_warnings(caplog)[0]


def test_invalid_project_does_not_stop_the_job_and_keeps_the_earlier_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    job = tmp_path / "job"
    train(WandbTracker(mode="offline"), job_run(job), until=1, status="interrupted")
    train(WandbTracker(mode="offline", project="no/such?"), job_run(job, done=1), until=3)
    assert len(own_warnings(caplog)) == 1
    assert len(offline_runs(job)) == 1


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
    run = job_run(tmp_path / "job")
    train(WandbTracker(mode="offline", project=typed, entity=typed), run if in_sweep else replace(run, group=None), 1)
    started = begun(offline_runs(tmp_path / "job")[0])
    origin = "variable" if variables else "file"
    assert started["project"] == (typed or f"of_the_{origin}")
    assert started["entity"] == (typed or f"team_of_the_{origin}")
    assert started["run_group"] == f"group_of_the_{origin}"
    assert started["job_type"] == ("ablation" if variables else "train")
    assert started.get("notes", "") == ("for the paper" if variables else "")
    assert started["display_name"] == ("mine" if variables and not in_sweep else "job")
    assert started["tags"] == ["quick", "report_d", "t" * 64, *(["mine"] if variables else [])]


def test_without_settings_the_project_is_ours_and_the_group_the_sweep(tmp_path: Path) -> None:
    train(WandbTracker(mode="offline"), job_run(tmp_path / "job"), until=1)
    started = begun(offline_runs(tmp_path / "job")[0])
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
        use_server(server, monkeypatch)
        if name.startswith("WANDB_"):
            monkeypatch.setenv(name, value)
        else:
            file.parent.mkdir()
            file.write_text(f"[default]\n{name} = {value}\n")
        train(WandbTracker(mode=mode), job_run(tmp_path / "job"), until=1)
        assert server.runs == {}
    check_complete(history(offline_runs(tmp_path / "job")[0]), epochs=1)
    (warning,) = own_warnings(caplog)
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
        use_server(server, monkeypatch)
        assert wandb_mode.decide_mode("auto") == "offline"
        (warning,) = own_warnings(caplog)
        assert warning.startswith(f"W&B runs are kept offline: {file}: File contains no section headers")
        monkeypatch.setenv("WANDB_MODE", "disabled")
        reset_wandb()
        assert wandb_mode.decide_mode("auto") == "disabled", "there is no run to keep"


def test_a_refused_run_is_kept_offline_and_the_next_one_is_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with WandbServer() as server:
        use_server(server, monkeypatch)
        tracker = WandbTracker(mode="online")
        monkeypatch.setenv("WANDB_JOB_TYPE", "j" * 65)
        reset_wandb()
        train(tracker, job_run(tmp_path / "refused", identity="refused"), until=1)
        monkeypatch.delenv("WANDB_JOB_TYPE")
        sys.modules["wandb"].teardown()  # it would keep the variable
        train(tracker, job_run(tmp_path / "next", identity="next"), until=1)
        assert list(server.runs) == ["next"]
        check_complete(server.runs["next"].history, epochs=1)
    check_complete(history(offline_runs(tmp_path / "refused")[0]), epochs=1)
    (warning,) = own_warnings(caplog)
    assert warning.startswith("W&B refused a run, which is kept offline (")
    assert "64 limit exceeded for jobType" in warning
