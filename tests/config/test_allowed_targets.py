"""A stored config runs no `_target_` outside the allowlist, wherever it occurs."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.utils import get_object

from mnist_resnet import resume
from mnist_resnet.config.allowed_targets import TRUST_VARIABLE, TRUSTED_TARGETS, check_targets, targets
from mnist_resnet.config.compose import make_job_spec
from mnist_resnet.errors import UsageError
from mnist_resnet.sweeps.folder import freeze
from tests.small_training import resolved


def test_targets_are_found_at_any_depth() -> None:
    config = {"a": {"_target_": "one", "b": [1, [{"_target_": "two", "c": {"_target_": "three"}}]]}, "_target_": "four"}
    assert sorted(targets(config)) == ["four", "one", "three", "two"]


def test_shipped_targets_are_trusted_and_importable() -> None:
    check_targets(resolved())
    assert all(callable(get_object(target)) for target in TRUSTED_TARGETS)


def test_message_names_all_untrusted_targets() -> None:
    config = {"model": {"_target_": "mine.Network"}, "optim": {"_target_": "mine.Optimizer"}}
    with pytest.raises(UsageError, match=r"mine\.Network, mine\.Optimizer: .*--trust mine\.Network --trust mine\.Opt"):
        check_targets(config)


def test_targets_named_by_the_user_are_trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"model": {"_target_": "mine.Network"}, "optim": {"_target_": "mine.Optimizer"}}
    monkeypatch.setenv(TRUST_VARIABLE, "mine.Optimizer, mine.Schedule")
    check_targets(config, trusted=["mine.Network"])
    with pytest.raises(UsageError, match=r"_target_=mine\.Network: "):
        check_targets(config)


@pytest.mark.parametrize("trusted", ["mine", "mine.", "mine.Network", "MINE.NETWORK.os", ""])
def test_trust_needs_the_full_name(trusted: str) -> None:
    with pytest.raises(UsageError):
        check_targets({"model": {"_target_": "mine.Network.os.system"}}, [trusted])


Attack = Callable[[dict[str, Any], str], Any]
ATTACKS: dict[str, Attack] = {
    "in place of the model": lambda config, shell: config.update(model={"_target_": "os.system", "command": shell}),
    "beside the model's arguments": lambda config, shell: config["model"].update(
        inner={"_target_": "os.system", "command": shell}
    ),
    "in a list": lambda config, shell: config["optim"].update(betas=[0.9, {"_target_": "os.system", "command": shell}]),
    "in a list in a list": lambda config, shell: config["data"].update(
        extra=[[{"_target_": "subprocess.check_output", "_args_": [["sh", "-c", shell]]}]]
    ),
    "as the data set": lambda config, shell: config.update(
        data=config["data"] | {"_target_": "builtins.exec", "_args_": [f"import os; os.system({shell!r})"]}
    ),
    "as the tracker": lambda config, shell: config["tracking"].update(
        _target_="subprocess.Popen", _args_=[["sh", "-c", shell]]
    ),
    "through a trusted module": lambda config, shell: config["schedule"].update(
        _target_="mnist_resnet.data.sources.os.system", command=shell
    ),
    "in a group of its own": lambda config, shell: config.update(own={"_target_": "os.system", "command": shell}),
}


def frozen_sweep(folder: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Freeze a sweep folder as `train.py -m` does, then change a config in it."""
    freeze(folder, [make_job_spec(resolved("sweep.keep=none"), {}, [], [])], [], ["train.py"])
    content = json.loads((folder / "sweep.json").read_text())
    change(content["jobs"][0]["config"])
    (folder / "sweep.json").write_text(json.dumps(content))


def resume_exit_code(folder: Path, *arguments: str) -> int:
    return resume.main([str(folder), *arguments])


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=list(ATTACKS))
def test_malicious_sweep_folder_runs_nothing(
    attack: Attack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    marker = tmp_path / "marker"
    frozen_sweep(tmp_path / "sweep", lambda config: attack(config, f"touch {marker}"))
    before = sorted(tmp_path.rglob("*"))
    assert resume_exit_code(tmp_path / "sweep") == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: _target_=")
    assert "not on the list of what a stored config may run" in printed.err
    assert printed.err.count("\n") == 1
    assert not marker.exists()
    assert sorted(tmp_path.rglob("*")) == before


def test_stored_config_reads_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("A_SECRET", "of mine")
    frozen_sweep(tmp_path / "sweep", lambda config: config["tracking"].update(project="${oc.env:A_SECRET}"))
    assert resume_exit_code(tmp_path / "sweep") == 2
    printed = capsys.readouterr()
    assert printed.err.startswith("error: tracking.project=${oc.env:A_SECRET}: a stored config must hold plain values")
    assert "of mine" not in printed.err + printed.out


def test_untouched_sweep_folder_is_resumed(tmp_path: Path) -> None:
    frozen_sweep(tmp_path / "sweep", lambda _: None)
    assert resume_exit_code(tmp_path / "sweep") == 0
    assert json.loads((tmp_path / "sweep" / "defaults" / "result.json").read_text())["status"] == "completed"
