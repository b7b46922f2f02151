"""A small search."""

import pytest

from tests.small_sweeps import CommandResult, Place, Run, run_in_process


@pytest.fixture
def search(place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a small search in this process: `search(name, override, …)`."""

    def run(name: str | None, *overrides: str) -> CommandResult:
        small = ("hydra/sweeper=search", "data.val_size=16", "hydra/sweeper/pruner=none", *overrides)
        return run_in_process(place.sweep(name, *small), place, monkeypatch, capfd)

    return run
