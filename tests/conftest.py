"""For all tests: one thread per process, since threads that wait for each other on busy cores are slow; a place."""

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.small_sweeps import Place

# Asserts outside test modules say what differs only if they are named here.
pytest.register_assert_rewrite("tests.end_to_end.refusals", "tests.tracking.reported_jobs")
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A shell's background job ignores Ctrl-C, and so would each process that a test starts.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests all the time that they take."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(0))


@pytest.fixture(autouse=True)
def nothing_allowed_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start each test as a new process starts: no target is allowed because an earlier test composed it."""
    monkeypatch.setattr("mnist_resnet.config.allowed_targets._allowed_here", set())


@pytest.fixture
def place(tmp_path: Path) -> "Place":
    """Return a place with few images to train on."""
    from tests.small_sweeps import make_place  # after the number of threads is set

    return make_place(tmp_path)
