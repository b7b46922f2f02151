"""Every option of every config group composes and runs, says what it means, and keeps the knobs scripts rely on."""

import json
import runpy
from pathlib import Path

import pytest
import yaml

from mnist_resnet.job_folder import read_metrics
from tests.idx_files import write_idx_files
from tests.small_sweeps import CHECKOUT, Place, make_place, result_of, run_here

CONF = CHECKOUT / "conf"
GROUPS = ("data", "debug", "experiment", "model", "optim", "regularization", "scale", "schedule", "tracking", "trainer")
OPTIONS = [f"{file.parent.name}={file.stem}" for group in GROUPS for file in sorted((CONF / group).glob("*.yaml"))]
KNOBS = {
    "model": ["width", "block_norm"],
    "regularization": ["dropout"],
    "optim": ["lr"],
    "data": ["root", "train_size", "val_size", "test_size", "batch_size", "test_batch_size"],
    "trainer": ["epochs", "device", "precision", "log_interval"],
    "tracking": ["mode"],
}
"""Names that scripts rely on, in every option of their group."""


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = make_place(tmp_path)
    write_idx_files(tmp_path / "images", data_set="FashionMNIST")
    return place


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_runs(
    option: str, place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    group = option.partition("=")[0]
    size = [] if group == "debug" else ["data.train_size=16", "data.test_size=8", "trainer.epochs=1"]
    common = [override for override in place.common if override.partition("=")[0] not in (group, "trainer.epochs")]
    data = [] if option in ("debug=profile", "scale=quick") else size
    if option == "debug=profile":
        data = ["data.train_size=64", "data.test_size=16"]
    if option == "scale=quick":
        data = [*size[:2], "trainer.epochs=10"]
    monkeypatch.setenv("WANDB_MODE", "offline")
    arguments = [*common, *data, option, f"hydra.run.dir={place.folder / 'run'}"]
    ended = run_here(arguments, place, monkeypatch, capfd)
    assert ended.code == 0, ended.err + ended.out
    result = result_of(place.folder / "run")
    assert result["status"] == "completed"
    assert result["choices"][group] == option.partition("=")[2]


def test_overfit_learns_its_batch_by_heart(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    small = [o for o in place.common if o.partition("=")[0] not in ("trainer.epochs", "model.width", "model.blocks")]
    run = place.folder / "run"
    arguments = [*small, "model.width=8", "model.blocks=[1,1]", "debug=overfit", f"hydra.run.dir={run}"]
    ended = run_here(arguments, place, monkeypatch, capfd)
    assert ended.code == 0, ended.err
    assert read_metrics(run)[-1]["train_accuracy"] == 1.0


def test_profile_leaves_a_trace(
    place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run = place.folder / "run"
    size = ["data.train_size=32", "data.test_size=16"]
    small = [override for override in place.common if not override.startswith("trainer.epochs")]
    run_here([*small, *size, "debug=profile", f"hydra.run.dir={run}"], place, monkeypatch, capfd)
    assert json.loads((run / "trace.json").read_text())["traceEvents"]


@pytest.mark.parametrize("file", sorted(CONF.rglob("*.yaml")), ids=lambda file: str(file.relative_to(CONF)))
def test_each_file_opens_with_what_it_means(file: Path) -> None:
    lines = [line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("# @package")]
    assert lines[0].startswith("# ")
    assert len(lines[0]) > 20


@pytest.mark.parametrize("option", [option for option in OPTIONS if option.partition("=")[0] in KNOBS])
def test_the_knobs_that_scripts_rely_on_are_in_every_option(
    option: str, place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    group = option.partition("=")[0]
    monkeypatch.setattr("sys.argv", ["train.py", option, "--cfg", "job"])
    monkeypatch.chdir(place.folder)
    capfd.readouterr()
    runpy.run_path(str(CHECKOUT / "train.py"), run_name="__main__")
    shown = yaml.safe_load(capfd.readouterr().out)
    assert not [knob for knob in KNOBS[group] if knob not in shown[group]]
