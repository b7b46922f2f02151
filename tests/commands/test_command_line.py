"""The console command `mnist-resnet` and its sub-commands."""

import signal
import subprocess
import sys
import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from mnist_resnet.command_line import COMMANDS, main
from tests.synthetic_sweep import SyntheticSweep

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"


def test_pyproject_declares_the_command() -> None:
    scripts = tomllib.loads(PYPROJECT.read_text())["project"]["scripts"]
    module, _, function = scripts["mnist-resnet"].partition(":")
    assert getattr(import_module(module), function) is main


@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_help_lists_each_command_on_one_line(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([flag]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(COMMANDS)


@pytest.mark.parametrize(("arguments", "problem"), [(["train"], "train: unknown command"), ([], "no command given")])
def test_unknown_command_is_one_line_and_exit_2(
    arguments: list[str], problem: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith(f"error: {problem}; choose from compare, ")
    assert printed.err.count("\n") == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command_is_a_module_with_its_own_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_info:
        main([command, "--help"])
    assert exit_info.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: mnist-resnet {command} ")


def test_arguments_and_exit_codes_pass_through(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sweep = SyntheticSweep(predictions=False).write(tmp_path / "sweep")
    assert main(["compare", str(sweep), "--format", "markdown"]) == 0
    assert "12 jobs: 12 completed" in capsys.readouterr().out
    assert main(["compare", str(tmp_path / "missing")]) == 2
    assert main(["sweep", str(tmp_path / "missing")]) == 2


@pytest.mark.parametrize("command", COMMANDS)
def test_ctrl_c_ends_each_command_without_a_traceback(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("argparse.ArgumentParser.parse_args", interrupted)
    # As `python -m`, which a launcher starts its workers with.
    assert import_module(f"mnist_resnet.{command}").main([]) == 130
    assert main([command]) == 130


def test_help_imports_no_command() -> None:
    code = "import sys; from mnist_resnet.command_line import main; main(['-h']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stderr.split()
    assert not {f"mnist_resnet.{command}" for command in COMMANDS} & set(loaded)
    assert not {"torch", "pandas", "hydra"} & set(loaded)
