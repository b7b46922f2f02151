"""A finished run is not run again, and what Hydra's `--experimental-rerun` takes and refuses."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest

from mnist_resnet.config.hydra_versions import SINCE_1_4
from tests.small_sweeps import CommandResult, Place, make_place, run_in_process

Run = Callable[..., CommandResult]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_place(tmp_path_factory.mktemp("data")).images


@pytest.fixture
def place(images: Path, tmp_path: Path) -> Place:
    return Place(tmp_path, images)


@pytest.fixture
def run(place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs `train.py`, with overrides for a small job unless a job is to be rerun."""

    def command(*arguments: str) -> CommandResult:
        common = [] if arguments[0].startswith("--") else place.common
        return run_in_process([*common, *arguments], place, monkeypatch, capfd)

    return command


def test_finished_run_is_not_called_completed_again(run: Run) -> None:
    assert run("hydra.run.dir=here").code == 0
    again = run("hydra.run.dir=here")
    assert again.out.startswith("completed before, so nothing was run: ")
    assert again.out.endswith("here; to run it again choose another hydra.run.dir\n")
    assert again.code == 0


def test_run_that_goes_on_says_that_it_keeps_the_numerics_with_which_it_began(place: Place, run: Run) -> None:
    assert run("hydra.run.dir=here").code == 0
    result = place.folder / "here" / "result.json"
    result.write_text(json.dumps(json.loads(result.read_text()) | {"status": "interrupted"}))
    again = run("hydra.run.dir=here", "trainer.convolutions=pytorch", "trainer.compile=true")
    assert "here: began with trainer.compile=auto trainer.convolutions=auto, and goes on so where it can; " in again.out
    assert json.loads(result.read_text())["config"]["trainer"]["convolutions"] == "auto"
    assert again.code == 0


@pytest.mark.skipif(SINCE_1_4, reason="Hydra 1.4 reruns from a job's folder, not from a pickled config")
def test_rerun_of_a_finished_job_says_that_nothing_was_run(run: Run) -> None:
    callback = "+hydra.callbacks.pickle._target_=hydra.experimental.callbacks.PickleJobInfoCallback"
    assert run("hydra.run.dir=here", callback).code == 0
    again = run("--experimental-rerun", "here/.hydra/config.pickle")
    assert again.out.startswith("completed before, so nothing was run: ")
    assert again.err == ""


@pytest.mark.skipif(not SINCE_1_4, reason="Hydra 1.3 reruns from a pickled config")
def test_rerun_of_a_jobs_folder_takes_the_jobs_overrides(place: Place, run: Run) -> None:
    assert run("hydra.run.dir=here", "seed=3").code == 0
    assert run("--experimental-rerun", "here").out.startswith("completed before, so nothing was run: ")
    assert run("--experimental-rerun", "here", "hydra.run.dir=there").code == 0
    config = json.loads((place.folder / "there" / "result.json").read_text())["config"]
    assert config["seed"] == 3


@pytest.mark.skipif(not SINCE_1_4, reason="Hydra 1.3 reruns from a pickled config")
def test_rerun_of_a_sweeps_job_names_the_way(place: Place, run: Run) -> None:
    (place.folder / "job" / ".hydra").mkdir(parents=True)
    (place.folder / "job" / ".hydra" / "overrides.yaml").write_text("- seed=1\n")
    refused = run("--experimental-rerun", "job")
    assert "name a single run's folder (a job of a sweep is run again by sweep.rerun)" in refused.err
    assert (refused.code, refused.err.count("\n")) == (2, 1)


@pytest.mark.parametrize("what", ["nowhere", "a_folder", "no_config"])
def test_rerun_of_something_else_is_refused(what: str, place: Place, run: Run) -> None:
    (place.folder / "a_folder").mkdir()
    (place.folder / "no_config").write_bytes(pickle.dumps({"seed": 1}))
    refused = run("--experimental-rerun", what)
    assert refused.err.startswith(f"error: --experimental-rerun {what}: can't be read; name a ")
    assert (refused.code, refused.err.count("\n")) == (2, 1)


def test_rerun_ignores_nothing_beside_it(run: Run) -> None:
    refused = run("--experimental-rerun", "here", "-m")
    takes = "does not support --multirun" if SINCE_1_4 else "Hydra 1.3 takes nothing beside it; leave out -m"
    assert takes in refused.err
    assert (refused.code, refused.err.count("\n")) == (2, 1)
