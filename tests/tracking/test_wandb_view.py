"""Workspaces and reports on W&B: what is sent to a local server, and one-line errors."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Iterator
from os import environ
from pathlib import Path
from typing import Any

import pytest

from mnist_resnet.compare import main
from mnist_resnet.comparing.frame import load_sweep
from mnist_resnet.job_folder import RESULT, read_json, write_metrics
from mnist_resnet.tracking.wandb_view import config_keys
from tests.synthetic_sweep import SyntheticSweep
from tests.wandb_server import WandbServer

INSTALLED = importlib.util.find_spec("wandb_workspaces") is not None


class ViewServer(WandbServer):
    """A server that also accepts workspaces and reports; `views` holds what it received."""

    def __init__(self) -> None:
        super().__init__()
        self.views: list[dict[str, Any]] = []

    def answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "upsertView" in query:
            self.views.append(variables)
            project = {"id": "p", "name": variables["projectName"], "entityName": variables["entityName"]}
            view = {key: variables.get(key) for key in ("name", "displayName", "description", "type", "spec")}
            dates = {"createdAt": "2026-11-24T20:00:00Z", "updatedAt": "2026-11-24T20:00:00Z"}
            return {"upsertView": {"view": {"id": "Vmlldzox", "user": None, "project": project, **view, **dates}}}
        if "ProjectInternalId" in query:
            return {"project": {"internalId": "cDox"}}
        if "GetProjects" in query:
            node = {"id": "p", "name": "mnist-resnet", "entityName": "tester", "createdAt": "x", "isBenchmark": False}
            edges = [{"node": {**node, "user": None}, "cursor": "c"}]
            return {"models": {"edges": edges, "pageInfo": {"endCursor": None, "hasNextPage": False}}}
        return super().answer(query, variables)


@pytest.fixture
def server() -> Iterator[ViewServer]:
    with ViewServer() as started:
        yield started


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    base = {"tracking": {"project": "mnist-resnet", "entity": None}}
    return SyntheticSweep(name="it's mine", base=base, predictions=False).write(tmp_path / "sweep")


def saved_views(sweep: Path, server: ViewServer) -> list[dict[str, Any]]:
    """Save workspace and report of a sweep, and return what the server received."""
    # In a new process, because wandb reads its server and key only once; the service inherited from the parent may be
    # gone.
    command = [sys.executable, "-m", "mnist_resnet.compare", str(sweep), "--wandb"]
    environment = {**environ, "WANDB_SERVICE": "3-1-unix-/no/such/socket", **server.environment}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(done.stdout.split()) == len(server.views) == 2
    return server.views


@pytest.fixture
def language_models(tmp_path: Path) -> Path:
    """A sweep of a training function that declares one metric and reports another one as well."""
    base = {
        "tracking": {"project": "mnist-resnet", "entity": None},
        "task": {"_target_": "language_study.characters.train"},
        "metrics": {"bits_per_character": {"better": "lower", "scale": "positive", "pick": "best"}},
    }
    folder = SyntheticSweep(name="characters", base=base, predictions=False).write(tmp_path / "sweep")
    for number, path in enumerate(sorted(folder.glob(f"*/{RESULT}"))):
        lines = [{"step": step, "bits_per_character": 3.0 + number / step, "words": 9.0} for step in (1, 2)]
        write_metrics(path.parent, [line | {"seconds": 1.0} for line in lines])
        result = read_json(path)
        path.write_text(json.dumps(result | {"last": lines[-1], "best": lines[0]}))
    return folder


@pytest.mark.skipif(not INSTALLED, reason="the wandb-view extra is not installed")
def test_workspace_and_report_show_the_metrics_of_the_sweeps_own_task(
    language_models: Path, server: ViewServer
) -> None:
    for view in saved_views(language_models, server):
        spec = view["spec"]
        assert "accuracy" not in spec.replace("Over seeds", "")
        for text in ('"bits_per_character"', '"words"', "Factors and bits per character", "best/bits_per_character"):
            assert text in spec
        assert '"xAxis": "step"' in spec.replace('":"', '": "')


@pytest.mark.skipif(not INSTALLED, reason="the wandb-view extra is not installed")
def test_workspace_and_report_show_the_runs_of_the_sweep(sweep: Path, server: ViewServer) -> None:
    workspace, report = saved_views(sweep, server)
    for view in (workspace, report):
        spec = view["spec"]
        assert "it's mine" in json.dumps(json.loads(spec), ensure_ascii=False)
        assert '"train_loss"' in spec
        assert "Factors and test accuracy" in spec
        for panel in ("Run History Line Plot", "Parallel Coordinates Plot", "Parameter Importance", "optim.value.lr"):
            assert panel in spec
    assert "Over seeds" in report["spec"]


@pytest.mark.skipif(not INSTALLED, reason="the wandb-view extra is not installed")
def test_missing_key_is_a_one_line_error(sweep: Path, tmp_path: Path) -> None:
    bare = {key: value for key, value in environ.items() if not key.startswith("WANDB_")}
    done = subprocess.run(
        [sys.executable, "-m", "mnist_resnet.compare", str(sweep), "--wandb"],
        capture_output=True, text=True, env={**bare, "HOME": str(tmp_path)}, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 2
    assert "wandb login" in done.stderr


@pytest.mark.skipif(INSTALLED, reason="the wandb-view extra is installed")
def test_missing_extra_is_a_one_line_error(sweep: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(sweep), "--wandb"]) == 2
    assert "[wandb-view]" in capsys.readouterr().err


def test_untracked_sweep_is_rejected(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = SyntheticSweep(predictions=False).write(tmp_path / "sweep")
    assert main([str(folder), "--wandb"]) == 2
    assert "no job was tracked" in capsys.readouterr().err


def test_group_is_replaced_by_its_varying_keys(sweep: Path) -> None:
    assert config_keys(load_sweep(sweep), ["sweep", "model", "optim.lr"]) == ["model.stem", "optim.lr"]
