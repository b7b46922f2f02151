"""Real sweeps with W&B: online, offline, server unreachable, W&B's agent, and its terminal dashboard."""

import fcntl
import importlib.util
import json
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml

from mnist_resnet.job_folder import read_metrics
from mnist_resnet.tracking.wandb_files import sync_command
from tests.small_sweeps import CHECKOUT, Place, make_place, result_of, statuses
from tests.wandb_server import SentRun, WandbServer

NAMES = ["optim.lr=0.02,seed=1", "optim.lr=0.02,seed=2", "optim.lr=0.001,seed=1", "optim.lr=0.001,seed=2"]
SWEEP = ["optim.lr=0.02,0.001", "seed=1,2", "tracking=wandb", "trainer.log_interval=2"]


def _environment(place: Place, **more: str) -> dict[str, str]:
    """Return an environment with this Python's commands and without W&B settings except `more`."""
    environment = {name: value for name, value in os.environ.items() if not name.upper().startswith(("WANDB", "HYDRA"))}
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        environment.pop(name, None)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    home = {"NETRC": str(place.folder / "no_netrc"), "WANDB_CONFIG_DIR": str(place.folder / "no_settings")}
    return environment | {"PATH": path, "OMP_NUM_THREADS": "1"} | home | more


def _run(command: list[str], place: Place, **environment: str) -> str:
    """Run a command in the folder of `place` and return its output."""
    done = subprocess.run(
        command, cwd=place.folder, env=_environment(place, **environment), text=True, check=False, timeout=180,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


def _train(place: Place, arguments: list[str], **environment: str) -> str:
    return _run([sys.executable, str(CHECKOUT / "train.py"), *arguments], place, **environment)


def _without_empty(config: dict[str, Any]) -> dict[str, Any]:
    """Return the config without its empty mappings, which W&B does not keep."""
    kept = {key: _without_empty(value) if isinstance(value, dict) else value for key, value in config.items()}
    return {key: value for key, value in kept.items() if value != {}}


def _check_jobs(server: WandbServer, sweep: Path) -> None:
    """Check that each job is a separate run with all its data."""
    jobs = {run.records["displayName"]: run for run in server.runs.values() if run.records["jobType"] == "train"}
    assert sorted(jobs) == sorted(NAMES)
    for name, run in jobs.items():
        result, metrics = result_of(sweep / name), read_metrics(sweep / name)
        assert (run.records["groupName"], run.records["project"], run.exit_code) == (sweep.name, "mnist-resnet", 0)
        assert "scale=full" in run.records["tags"]
        assert run.config == _without_empty(result["config"])
        assert [{key: row[key] for key in metrics[0]} for row in run.history if "epoch" in row] == metrics
        losses = [row for row in run.history if "batch_loss" in row]
        assert [row["global_step"] for row in losses] == [0, 2, 4, 6]
        for epoch in ("last", "best"):
            assert {key: run.summary[f"{epoch}/{key}"] for key in result[epoch]} == result[epoch]
        assert run.summary["status"] == "completed"


def _check_summary_run(server: WandbServer, sweep: Path) -> None:
    """Check that one run holds the sweep's table, plots and dashboard."""
    (run,) = [run for run in server.runs.values() if run.records["jobType"] == "summary"]
    assert (run.records["groupName"], run.records["displayName"]) == (sweep.name, f"{sweep.name}: table")
    table = json.loads(_sent(server, run, "table"))
    assert [row[table["columns"].index("name")] for row in table["data"]] == NAMES
    accuracies = [result_of(sweep / name)["last"]["test_accuracy"] for name in NAMES]
    assert [row[table["columns"].index("test_accuracy")] for row in table["data"]] == accuracies
    assert _sent(server, run, "dashboard") == (sweep / "dashboard.html").read_bytes()
    if importlib.util.find_spec("matplotlib"):
        assert _sent(server, run, "curves") == (sweep / "figures/curves.png").read_bytes()


def _sent(server: WandbServer, run: SentRun, key: str) -> bytes:
    return server.files[f"{run.id}/{run.summary[key]['path']}"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_place(tmp_path_factory.mktemp("wandb"))


@pytest.fixture(scope="module")
def offline(place: Place) -> tuple[Path, str]:
    """A sweep that was run without an API key: its folder and its output."""
    output = _train(place, place.sweep("offline", *SWEEP))
    return place.folder / "multirun/offline", output


def test_online_sweep_is_uploaded_and_prints_its_url(place: Place) -> None:
    with WandbServer() as server:
        output = _train(place, place.sweep("online", *SWEEP), **server.environment)
        sweep = place.folder / "multirun/online"
        _check_jobs(server, sweep)
        _check_summary_run(server, sweep)
        (summary,) = [run.id for run in server.runs.values() if run.records["jobType"] == "summary"]
        assert f"on W&B: {server.url}/tester/mnist-resnet/runs/{summary}" in output.splitlines()
        assert server.requests.count("GET /") == 1, "the server is probed once per sweep"


def test_offline_sweep_prints_the_command_that_uploads_it(place: Place, offline: tuple[Path, str]) -> None:
    sweep, output = offline
    (line,) = [line.removeprefix("upload to W&B: ") for line in output.splitlines() if "wandb sync" in line]
    with WandbServer() as server:
        _run(["bash", "-c", line], place, **server.environment)
        _check_jobs(server, sweep)
        _check_summary_run(server, sweep)
    assert sync_command(sweep) is None, "everything is uploaded"


class UnresponsiveServer:
    """A server that closes each connection at once, and counts them."""

    def __init__(self) -> None:
        self.connections = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"
        Thread(target=self._hang_up, daemon=True).start()

    def _hang_up(self) -> None:
        with suppress(OSError):
            while True:
                self._socket.accept()[0].close()
                self.connections += 1

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def unresponsive() -> Iterator[UnresponsiveServer]:
    server = UnresponsiveServer()
    yield server
    server.close()


@pytest.mark.slow
def test_unreachable_server_is_probed_once_per_sweep(place: Place, unresponsive: UnresponsiveServer) -> None:
    key = {"WANDB_BASE_URL": unresponsive.url, "WANDB_API_KEY": "k" * 40}
    output = " ".join(_train(place, place.sweep("unreachable", *SWEEP, "seed=1"), **key).split())
    assert output.count("W&B runs are kept offline from here on") == 1
    assert unresponsive.connections == 1
    sweep = place.folder / "multirun/unreachable"
    assert statuses(sweep) == {"optim.lr=0.001": "completed", "optim.lr=0.02": "completed"}
    assert len(list(sweep.glob("*/wandb/offline-run-*"))) == 2
    assert "upload to W&B: wandb sync" in output


AGENT = "import wandb.wandb_agent; wandb.wandb_agent.Agent.POLL_INTERVAL = 0.2; from wandb.cli.cli import cli; cli()"
"""The `wandb` command with an agent that polls more often than every five seconds."""


@pytest.mark.slow
def test_wandb_agent_runs_the_same_entry_point(place: Place) -> None:
    definition: dict[str, Any] = yaml.safe_load((CHECKOUT / "wandb-sweep.yaml").read_text())
    definition["program"] = str(CHECKOUT / definition["program"])
    tiny = [override for override in place.common if not override.startswith(("trainer.epochs", "tracking"))]
    definition["command"] += [*tiny, "data.train_size=64", "data.test_size=32"]
    (place.folder / "wandb-sweep.yaml").write_text(yaml.safe_dump(definition, sort_keys=False))
    with WandbServer() as server:
        output = _run(["wandb", "sweep", "wandb-sweep.yaml"], place, **server.environment)
        printed = re.search(r"wandb agent (\S+)$", output, re.MULTILINE)
        assert printed, output
        command = [sys.executable, "-c", AGENT, "agent", "--count", "2", printed[1]]
        _run(command, place, **server.environment)
        (sweep,) = server.sweeps.values()
        assert list(server.runs) == sweep.run_ids
        runs = list(server.runs.values())
    assert [run.exit_code for run in runs] == [0, 0]
    assert [run.records["project"] for run in runs] == ["mnist-resnet"] * 2
    jobs = [result_of(file.parent) for file in sorted(place.folder.glob("outputs/*/*/result.json"))]
    assert [job["choices"]["scale"] for job in jobs] == ["quick"] * 2
    for run, job in zip(runs, jobs, strict=True):
        assert (run.config["model"], run.config["model.width"]) == (job["choices"]["model"], 2)
        assert run.config["optim.lr"] == job["config"]["optim"]["lr"]
        assert run.config["optim"] == job["config"]["optim"]
        metric = definition["metric"]["name"]
        assert run.summary[metric] == job["best"]["test_accuracy"]


def test_documented_leet_command_shows_the_runs(place: Place, offline: tuple[Path, str]) -> None:
    line = re.search(r"^    (runs=.*wandb leet.*)$", (CHECKOUT / "docs/wandb.md").read_text(), re.MULTILINE)
    assert line
    sweep = offline[0].relative_to(place.folder)
    shown = ["[4 items]", *(run.name[:26] for run in place.folder.glob(f"{sweep}/*/wandb/offline-run-*"))]
    _watch_terminal(line[1].replace("SWEEP_DIR", str(sweep)), place, until=[*shown, "Name: optim.lr=0.0"])


def _watch_terminal(line: str, place: Place, until: list[str], timeout: float = 60) -> None:
    """Run a command line in a 200 × 50 terminal until all texts in `until` have appeared."""
    process, terminal = pty.fork()
    if process == 0:
        os.chdir(place.folder)
        os.execvpe("bash", ["bash", "-c", line], _environment(place, TERM="xterm-256color"))
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    drawn, end = "", time.monotonic() + timeout
    try:
        while missing := [text for text in until if text not in drawn]:
            assert time.monotonic() < end, f"{missing} not in {drawn}"
            if select.select([terminal], [], [], 0.2)[0]:
                drawn += re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", os.read(terminal, 65536).decode(errors="replace"))
    finally:
        os.killpg(process, signal.SIGKILL)  # the shell leads a session of its own; W&B's process is in its group
        os.waitpid(process, 0)
        os.close(terminal)
