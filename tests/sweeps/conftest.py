"""A small sweep."""

import pytest

from tests.small_sweeps import CommandResult, Place, Run, run_in_process


@pytest.fixture
def sweep(place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a small sweep in this process: `sweep(name, override, …)`."""

    def run(name: str | None, *overrides: str) -> CommandResult:
        return run_in_process(place.sweep(name, *overrides), place, monkeypatch, capfd)

    return run
