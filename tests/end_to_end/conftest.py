"""What the tests of the user's own config folder share, and those of bad input."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.end_to_end.config_folder import Commands, make_config_folder
from tests.end_to_end.refusals import Refuses, assert_refused
from tests.small_sweeps import Place, make_place, run_in_process

WITH_LAUNCHER = """# @package _global_
defaults:
  - override /hydra/launcher: basic
"""


@pytest.fixture(scope="session")
def config_folder(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_config_folder(tmp_path_factory.mktemp("config_folder"))


@pytest.fixture
def commands(
    config_folder: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Commands:
    return Commands(config_folder, tmp_path, monkeypatch, capfd)


@pytest.fixture(scope="module")
def bad_input_place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = make_place(tmp_path_factory.mktemp("bad_input"))
    (place.folder / "file").write_text("no folder")
    (place.folder / "conf" / "experiment").mkdir(parents=True)
    (place.folder / "conf" / "experiment" / "with_launcher.yaml").write_text(WITH_LAUNCHER)
    return place


@pytest.fixture
def bad_input_settings(monkeypatch: pytest.MonkeyPatch, bad_input_place: Place) -> None:
    monkeypatch.setenv("MNIST_RESNET_DATA", str(bad_input_place.images))
    monkeypatch.delenv("HYDRA_FULL_ERROR", raising=False)


@pytest.fixture
def minute_limit() -> Iterator[None]:
    """Interrupt a test after a minute: input that is not refused would train for hours.

    KeyboardInterrupt is raised because other exceptions only fail a job, and do not end a sweep.
    """

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt("not refused within a minute")

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 60, 1)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def refuses(
    bad_input_place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Refuses:
    """Runs a command line in an empty folder and checks that it is refused."""
    here = Place(tmp_path, bad_input_place.images)
    return lambda words, message: assert_refused(run_in_process(words, here, monkeypatch, capfd), message, here.folder)
