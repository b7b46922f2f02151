"""What Hydra 1.4 changed and a user would meet, on the version of Hydra that is installed; `.ci/run` tries both."""

import os
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from hydra.core.plugins import Plugins
from hydra.errors import InstantiationException
from hydra.plugins.launcher import Launcher
from hydra.plugins.sweeper import Sweeper
from torch import nn

from mnist_resnet.config.allowed_targets import trust
from mnist_resnet.config.build import build
from mnist_resnet.config.hydra_versions import SINCE_1_4
from mnist_resnet.errors import UsageError
from tests.small_sweeps import CHECKOUT, Place, make_place, python_path

MODULE = """
import logging
from hydra.experimental.callback import Callback

class Calls(Callback):
    def __getattribute__(self, name):
        if name.startswith("on_") and not name.startswith("on_job"):
            print("called:", name, flush=True)
        return super().__getattribute__(name)

class Marked(logging.StreamHandler):
    def emit(self, record):
        print("logged:", record.getMessage(), flush=True)

def fail(*_, **__):
    raise RuntimeError("no loss")
"""

OURS = ("hydra_plugins.ablation", "hydra_plugins.search", "hydra_plugins.workers")
NAMES = {"AblationSweeper", "SequentialLauncher", "SearchSweeper", "WorkersLauncher"}

FILES = {
    "experiment/calls.yaml": "# @package _global_\nhydra:\n  callbacks:\n    calls:\n      _target_: mine.Calls\n",
    "hydra/hydra_logging/marked.yaml": (
        "version: 1\nhandlers:\n  marked: {class: mine.Marked}\nroot: {level: DEBUG, handlers: [marked]}\n"
        "disable_existing_loggers: false\n"
    ),
}
"""Files of a user's own config folder, whose targets are in a module of the user's."""


def network() -> nn.Module:
    return nn.Sequential(nn.Identity())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "mine.py").write_text(MODULE)
    for name, text in FILES.items():
        (tmp_path / "conf" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "conf" / name).write_text(text)
    return make_place(tmp_path)


def train(place: Place, arguments: list[str]) -> "subprocess.CompletedProcess[str]":
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("WANDB", "HYDRA"))}
    return subprocess.run(
        [sys.executable, str(CHECKOUT / "train.py"), "--config-dir", "conf", *arguments],
        cwd=place.folder,
        env=inherited | {"PYTHONPATH": python_path(place.folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_sweep_prints_no_warning_and_calls_the_users_callbacks_once(place: Place) -> None:
    ended = train(place, place.sweep("quiet", "experiment=calls", "seed=1,2", "trainer.epochs=1"))
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "2 jobs: 2 completed" in ended.stdout
    called = [line for line in ended.stdout.splitlines() if line.startswith("called:")]
    assert called == ["called: on_multirun_start", "called: on_multirun_end"]


def test_failed_sweep_calls_the_users_callbacks_once(place: Place) -> None:
    failing = ("experiment=calls", "seed=1", "trainer.epochs=1", "loss._target_=mine.fail")
    ended = train(place, place.sweep("failing", *failing))
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout.count("called: on_multirun_end") == 1


def test_single_run_takes_the_users_log_handler(place: Place) -> None:
    ended = train(place, [*place.common, "hydra/hydra_logging=marked", "hydra.verbose=true", "debug=step"])
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "logged: " in ended.stdout


@pytest.mark.skipif(not SINCE_1_4, reason="Hydra 1.3 has its own list of refused targets")
def test_callback_that_runs_a_command_is_refused(place: Place) -> None:
    ended = train(place, ["+hydra.callbacks.bad={_target_: os.system, command: touch ran}", *place.common])
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: Target 'os.system' cannot be authorized")
    assert not (place.folder / "ran").exists()


def test_only_targets_on_our_list_are_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mnist_resnet.config.allowed_targets._allowed_here", set())
    node = {"_target_": "torch.nn.Sequential", "_args_": [{"_target_": "torch.nn.CrossEntropyLoss"}]}
    with pytest.raises(UsageError, match=r"_target_=torch\.nn\.Sequential: not on the list"):
        build(node)
    trust(["torch.nn.Sequential"])
    assert type(build(node)[0]).__name__ == "CrossEntropyLoss"
    # A function may return a callable of any class.
    trust([f"{__name__}.network", "os.system"])
    assert len(build({"_target_": f"{__name__}.network"})) == 1
    with pytest.raises(InstantiationException, match=r"os\.system"):
        build({"_target_": "os.system", "command": "true"})


def test_what_a_target_raises_is_wrapped() -> None:
    name = "builtins.int"
    trust([name])
    with pytest.raises(InstantiationException, match=f"'{name}'") as raised:
        build({"_target_": name, "_args_": ["three"]})
    assert isinstance(raised.value.__cause__, ValueError)


def test_plugins_are_declared_by_entry_point_and_found_once() -> None:
    declared = [entry.load() for entry in entry_points(group="hydra.plugins") if entry.value.startswith(OURS)]
    assert {plugin.__name__ for plugin in declared} == NAMES
    found = [*Plugins.instance().discover(Launcher), *Plugins.instance().discover(Sweeper)]
    assert sorted(plugin.__name__ for plugin in found if plugin.__module__.startswith(OURS)) == sorted(NAMES)


OTHER_APPLICATION = """
import hydra

@hydra.main(config_path=None)
def run(config):
    print("ran")

run()
"""


@pytest.mark.parametrize("choice", ["hydra/sweeper=ablation", "hydra/launcher=sequential"])
def test_another_application_that_picks_our_plugin_ends_with_one_line(choice: str, tmp_path: Path) -> None:
    (tmp_path / "other.py").write_text(OTHER_APPLICATION)
    command = [sys.executable, "-W", "ignore", "other.py", "-m", choice, "+x=1,2"]
    ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.stderr == f"error: {choice}: works with the train.py of mnist-resnet only; take another\n"
    assert (ended.returncode, ended.stdout) == (2, "")


def test_overrides_on_both_sides_of_an_option(place: Place) -> None:
    ended = train(place, ["seed=3", "--cfg", "job", "--package", "seed"])
    assert ended.stdout == "3\n"
    ended = train(place, ["seed=3", "--cfg", "job", "optim=sgd"])
    if SINCE_1_4:
        assert "_target_: torch.optim.SGD" in ended.stdout
    else:
        assert ended.stderr.startswith("error: optim=sgd: is separated from the other overrides")


def test_run_folder_may_be_named_by_the_overrides(place: Place) -> None:
    resolver = "hydra_override_dirname:" if SINCE_1_4 else "hydra:job.override_dirname"
    excluded = [override.partition("=")[0] for override in place.common]
    named = f"hydra.job.config.override_dirname.exclude_keys=[{','.join(excluded)}]"
    ended = train(place, [*place.common, "seed=7", named, f"hydra.run.dir=outputs/${{{resolver}}}"])
    assert (ended.returncode, ended.stderr) == (0, "")
    assert (place.folder / "outputs" / "seed=7" / "result.json").exists()


def test_study_is_a_sweep_without_being_told(place: Place) -> None:
    planned = train(place, [*place.common, "+sweep=report_ablation", "sweep.seeds=1", "sweep.dry_run=true"])
    assert planned.stderr == ""
    assert planned.stdout.count("experiment=report_") == 5
    refused = train(place, [*place.common, "+sweep=report_ablation", "hydra.mode=RUN"])
    assert refused.stderr == "error: sweep.name=report_ablation: is for a sweep; add -m, or leave it out\n"


def test_chdir_is_no_null_with_hydra_1_4(place: Place) -> None:
    ended = train(place, ["--cfg", "hydra", "hydra.job.chdir=null"])
    if SINCE_1_4:
        assert ended.stderr.startswith("error: hydra.job.chdir")
        assert (ended.returncode, ended.stderr.count("\n")) == (2, 1)
    else:
        assert (ended.returncode, ended.stderr) == (0, "")
        assert "chdir: null" in ended.stdout


def test_range_that_hydra_casts_is_listed_alike(place: Place) -> None:
    planned = train(place, [*place.sweep(None, "seed=int(range(1.0,4.0))"), "sweep.dry_run=true"])
    assert [line.split()[1] for line in planned.stdout.splitlines()[1:]] == ["seed=1", "seed=2", "seed=3"]
