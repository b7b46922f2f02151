"""How long threads have waited for a processor, as Linux counts it (its documentation's sched-stats.rst)."""

from pathlib import Path


def thread_wait() -> float:
    """Return the seconds that this thread has waited for a processor so far; 0 if the system doesn't tell."""
    return _wait(Path("/proc/thread-self"))


def process_wait() -> float:
    """Return the seconds that all of this process's threads have waited so far; 0 if the system doesn't tell."""
    return sum(_wait(thread) for thread in Path("/proc/self/task").glob("*"))


def _wait(thread: Path) -> float:
    try:
        _, nanoseconds, _ = (thread / "schedstat").read_text().split()
        return int(nanoseconds) / 1e9
    except (OSError, ValueError):
        return 0.0
