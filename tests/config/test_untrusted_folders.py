"""A folder from elsewhere builds nothing that is not allowed, whichever command opens it and wherever the target hides.

The targets here make a folder, which shows harmlessly that something was called.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mnist_resnet import resume, sweep, work
from mnist_resnet.config.allowed_targets import trust
from mnist_resnet.config.build import build
from mnist_resnet.errors import UsageError
from mnist_resnet.jobs.disk_space import parameter_count
from mnist_resnet.tracking.guarded import GuardedTracker

FROZEN = Path(__file__).parents[1] / "frozen_sweeps"
Command = Callable[[list[str]], int]
COMMANDS: dict[str, tuple[Command, list[str]]] = {
    "resume": (resume.main, []),
    "work": (work.main, []),
    "sweep --workers": (sweep.main, ["--workers", "1"]),
}


def _call(mark: Path) -> dict[str, Any]:
    return {"_target_": "os.mkdir", "path": str(mark)}


def _edit(file: Path, edit: Callable[[dict[str, Any]], object]) -> None:
    content = json.loads(file.read_text())
    edit(content)
    file.write_text(json.dumps(content))


def _by_reference(content: dict[str, Any], mark: Path) -> None:
    for shared in content["commons"]:
        shared["config"]["hidden"] = {"name": "os.mkdir"}
        shared["config"]["tracking"] = {"_target_": "${hidden.name}", "path": str(mark), "mode": "auto"}


def _by_the_space(content: dict[str, Any], mark: Path) -> None:
    one = {"name": "CategoricalDistribution", "attributes": {"choices": ["os.mkdir"]}}
    content["space"].append({"key": "tracking._target_", "typed": "os.mkdir", "distribution": one, "is_group": False})
    for shared in content["commons"]:
        shared["config"]["tracking"] |= {"path": str(mark)}


def _in_a_choice(content: dict[str, Any], mark: Path) -> None:
    node = f"{{_target_: os.mkdir, path: '{mark}', mode: auto}}"
    one = {"name": "CategoricalDistribution", "attributes": {"choices": [node]}}
    content["space"].append({"key": "tracking", "typed": node, "distribution": one, "is_group": False})


def _in_the_sampler(content: dict[str, Any], mark: Path) -> None:
    content["sampler"] = _call(mark)


def _from_the_environment(content: dict[str, Any], mark: Path) -> None:
    one = {"name": "CategoricalDistribution", "attributes": {"choices": ["${oc.env:HOME}"]}}
    content["space"].append({"key": "+note", "typed": "x", "distribution": one, "is_group": False})


def _from_the_environment_in_the_report(content: dict[str, Any], mark: Path) -> None:
    for shared in content["commons"]:
        shared["plain"]["note"] = "${oc.env:HOME}"


def _with_an_empty_name(content: dict[str, Any], mark: Path) -> None:
    for shared in content["commons"]:
        shared["config"]["loss"]["inner"] = {"_target_": ""}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    "attack",
    [
        _by_reference,
        _by_the_space,
        _in_a_choice,
        _in_the_sampler,
        _from_the_environment,
        _from_the_environment_in_the_report,
        _with_an_empty_name,
    ],
)
def test_a_stored_search_is_refused(
    attack: Callable[[dict[str, Any], Path], None], command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, mark = tmp_path / "search", tmp_path / "called"
    shutil.copytree(FROZEN / "half_done_search", folder)
    _edit(folder / "search.json", lambda content: attack(content, mark))
    before = sorted(path.name for path in folder.iterdir())
    _assert_refused(command, folder, mark, capsys)
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("position", [0, -1])
def test_a_tracker_is_refused_whether_or_not_its_job_has_ended(
    position: int, command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, mark = tmp_path / "sweep", tmp_path / "called"
    shutil.copytree(FROZEN / "half_done", folder)
    _edit(folder / "sweep.json", lambda content: content["jobs"][position]["config"].update(tracking=_call(mark)))
    _assert_refused(command, folder, mark, capsys)


def _assert_refused(command: str, folder: Path, mark: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main, options = COMMANDS[command]
    code = main([str(folder), *options])
    error = capsys.readouterr().err
    assert (code, error.count("\n")) == (2, 1), error
    assert error.startswith("error: ")
    assert not mark.exists()


def test_nothing_is_built_past_the_list(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    mark = tmp_path / "called"
    with pytest.raises(UsageError, match=r"_target_=os\.mkdir: not on the list"):
        build({"_target_": "torch.nn.Identity", "inner": [_call(mark)]})
    GuardedTracker(_call(mark))
    assert parameter_count(json.dumps(_call(mark))) == 0
    assert not mark.exists()
    trust(["os.mkdir"])
    build(_call(mark))
    assert mark.exists()
