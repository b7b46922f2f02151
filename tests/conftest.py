"""Settings for all tests: one thread per process, since threads that wait for each other on busy cores are slow."""

import os

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture(autouse=True)
def nothing_allowed_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start each test as a new process starts: no target is allowed because an earlier test composed it."""
    monkeypatch.setattr("mnist_resnet.config.allowed_targets._allowed_here", set())
