"""Tests of GPU sharing, with a fake control program that records its calls."""

import os
from pathlib import Path

import pytest

from mnist_resnet.launchers.devices import VISIBLE, Placement, placements
from mnist_resnet.launchers.gpu_sharing import CONTROL, LOGS, PIPES, share_gpus

CONTROLLER = f"""#!/bin/sh
echo "$1 $(cat) gpu=${VISIBLE} $([ -d "${PIPES}" ] && [ -d "${LOGS}" ] && echo folders)" >> "$CALLS"
exit "$FAILS"
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put the fake control program on the path; return the file with one line for each call."""
    program = tmp_path / "bin" / CONTROL
    program.parent.mkdir()
    program.write_text(CONTROLLER)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("CALLS", str(tmp_path / "calls"))
    monkeypatch.setenv("FAILS", "0")
    monkeypatch.delenv(PIPES, raising=False)
    return tmp_path / "calls"


def read_calls(calls: Path) -> list[list[str]]:
    return [line.split() for line in calls.read_text().splitlines()]


def test_each_shared_gpu_has_its_own_service_until_the_end(calls: Path) -> None:
    with share_gpus(placements(4, ["2", "GPU-ab"], cores=4), works=lambda _: True) as (given, line):
        assert line == "jobs share their GPU through NVIDIA's Multi-Process Service"
        assert read_calls(calls) == [["-d", "gpu=2", "folders"], ["-d", "gpu=GPU-ab", "folders"]]
        assert [placement.environment[VISIBLE] for placement in given] == ["0", "GPU-ab", "0", "GPU-ab"]
        pipes = [placement.environment[PIPES] for placement in given]
        assert pipes[0] == pipes[2] != pipes[1] == pipes[3]
        assert all(placement.environment["OMP_NUM_THREADS"] == "1" for placement in given)
    assert read_calls(calls)[2:] == [["quit", "gpu=GPU-ab", "folders"], ["quit", "gpu=2", "folders"]]
    assert not Path(pipes[0]).exists()


@pytest.mark.parametrize("gpus", [[], ["0", "1"]])
def test_no_service_is_started_if_no_gpu_is_shared(calls: Path, gpus: list[str]) -> None:
    expected = placements(2, gpus, cores=2)
    with share_gpus(expected, works=lambda _: True) as (given, line):
        assert (given, line) == (expected, None)
    assert not calls.exists()


def shared_without_service(works: bool = True) -> tuple[list[Placement], str | None]:
    expected = placements(3, ["0"], cores=3)
    with share_gpus(expected, works=lambda _: works) as (given, line):
        assert given == expected
        return given, line


def test_without_the_control_program_jobs_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv(PIPES, raising=False)
    assert shared_without_service()[1] == f"jobs take turns on their GPU: {CONTROL} is not installed"


def test_jobs_take_turns_if_the_service_does_not_start(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILS", "1")
    assert f"turns on their GPU: {CONTROL} failed" in str(shared_without_service()[1])


def test_service_is_stopped_if_nothing_computes_through_it(calls: Path) -> None:
    assert "no process can compute" in str(shared_without_service(works=False)[1])
    assert [call[0] for call in read_calls(calls)] == ["-d", "quit"]


def test_running_service_is_used_as_it_is(calls: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PIPES, "/somewhere")
    assert shared_without_service()[1] is None
    assert not calls.exists()
