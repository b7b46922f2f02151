"""What the tests of workers share: a small sweep, and one whose jobs have not started."""

import shutil
from pathlib import Path

import pytest

from mnist_resnet.sweeps.folder import Sweep, read_sweep
from tests.launchers.fateful_network import TARGET, make_fateful_place
from tests.small_sweeps import CommandResult, Place, Run, run_in_process


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    return make_fateful_place(tmp_path, monkeypatch)


@pytest.fixture
def sweep(place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Return a function that launches a small sweep from this process: `sweep(name, override, …)`."""

    def run(name: str, *overrides: str) -> CommandResult:
        return run_in_process(place.sweep(name, *overrides), place, monkeypatch, capfd)

    return run


@pytest.fixture(scope="session")
def unstarted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a sweep with two jobs that have not started: one of them raises an error."""
    folder = tmp_path_factory.mktemp("unstarted")
    with pytest.MonkeyPatch.context() as patch:
        place = make_fateful_place(folder, patch)
        own = [f"model._target_={TARGET}", "+model.fate=raises,lives"]
        done = place.start(place.sweep("frozen", *own)).wait()
    assert done.code == 1, done.out
    for job in place.multirun.glob("frozen/model*"):
        shutil.rmtree(job)
    return place.multirun / "frozen"


@pytest.fixture
def frozen(unstarted: Path, place: Place) -> Sweep:
    """A copy of the sweep with two jobs that have not started."""
    return read_sweep(Path(shutil.copytree(unstarted, place.multirun / "frozen")))
