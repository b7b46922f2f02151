"""The page on a study of one's own: its files and commands, as they stand there, from an empty folder to a search."""

import re
import shlex
import sys
from pathlib import Path

import pytest

from mnist_resnet import command_line
from mnist_resnet.comparing.frame import load_sweep
from mnist_resnet.resume import main as resume
from tests.small_sweeps import CHECKOUT, Place, run_in_process, statuses

PAGE = (CHECKOUT / "docs/own_study.md").read_text()
BLOCK = re.compile(r"^```(\w+)(?: (\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def test_the_page_leads_to_a_resumed_searched_and_tabled_sweep(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    commands: list[str] = []
    for language, name, content in BLOCK.findall(PAGE):
        if name:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
        elif language == "sh":
            commands += content.splitlines()
    assert len((tmp_path / "study.py").read_text().splitlines()) <= 30
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    for command in commands:
        words = shlex.split(command)
        if "train.py" in command:
            ended = run_in_process(words[2:], Place(tmp_path, tmp_path), monkeypatch, capfd)
            assert ended.code == 0, ended.out + ended.err
        elif "resume" in command:
            assert resume(words[3:]) == 0
        elif "compare" in command:
            monkeypatch.setattr(sys, "argv", words)
            assert command_line.main() == 0
            table = capfd.readouterr().out
        else:
            assert command == "export PYTHONPATH=."
    assert set(statuses(tmp_path / "multirun/rates").values()) == {"completed"}
    assert re.search(r"task.rate +seed +accuracy, % +length +seconds", table)
    assert "task.rate: 0.01 → 0.1" in table
    assert set(load_sweep(tmp_path / "multirun/best")["status"]) <= {"completed", "pruned"}
    assert (tmp_path / "multirun/best/experiment/best.yaml").exists()


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("task=function", "task._target_: must be given; task=function names no function, a file of yours inherits it"),
        ("task=function data=mnist", "data: is no group of task=function; leave it out, or add it: +data=…"),
    ],
)
def test_task_to_inherit_is_no_study(
    typed: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = run_in_process(typed.split(), Place(tmp_path, tmp_path), monkeypatch, capfd)
    assert ended.err.startswith(f"error: {message}")
    assert ended.code == 2
