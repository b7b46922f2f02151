"""What the kernel ends first where memory runs out: a worker, whose job is tried again, and not who supervises it."""

from contextlib import suppress
from pathlib import Path

SCORE = Path("/proc/self/oom_score_adj")
"""From -1000 (never killed) to 1000 (first); processes that this one starts inherit it. See proc(5)."""

WORKER = 500


def be_killed_first() -> None:
    """Let the kernel's out-of-memory killer prefer this process to others; on Linux alone.

    A worker shares its memory limit with the launcher (one container, one Slurm step), and by size alone the kernel may
    choose either.
    """
    with suppress(OSError, ValueError):
        if int(SCORE.read_text(encoding="ascii")) < WORKER:
            SCORE.write_text(str(WORKER), encoding="ascii")
