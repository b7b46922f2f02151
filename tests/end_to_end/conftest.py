"""What the tests of the user's own config folder share."""

from pathlib import Path

import pytest

from tests.end_to_end.config_folder import Commands, make_config_folder
from tests.small_sweeps import Place


@pytest.fixture(scope="session")
def config_folder(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return make_config_folder(tmp_path_factory.mktemp("config_folder"))


@pytest.fixture
def commands(
    config_folder: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Commands:
    return Commands(config_folder, tmp_path, monkeypatch, capfd)
