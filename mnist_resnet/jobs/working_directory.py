"""The working directory, which a user's code may change: paths that the user typed are relative to the first one."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def keeping_working_directory(report: Callable[[str], None]) -> Iterator[None]:
    """Set the working directory back after the `with` statement, and report in one line that it was changed."""
    before = Path.cwd()
    try:
        yield
    finally:
        now = _working_directory()
        if now != before:
            os.chdir(before)
            report(f"the working directory was changed to {now or 'one that is gone'}, and is set back to {before}")


def _working_directory() -> Path | None:
    try:
        return Path.cwd()
    except FileNotFoundError:
        return None
