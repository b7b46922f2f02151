"""Reads the output of submitted workers, from the sweep folder."""

import os
from collections.abc import Iterator
from pathlib import Path

from mnist_resnet.job_folder import LAUNCHES
from mnist_resnet.stored_file import open_stored, printable

LAST_LINES = 5
"""Number of lines shown of a log whose worker has ended."""
END = 100_000
"""Bytes at a log's end in which they are looked for."""
SUBMITIT = "submitit INFO"
"""Start of submitit's own lines, which say nothing about a worker's end."""


class WorkerLogs:
    """Reads the output of a launch's workers. Each worker has its own log file in the sweep folder.

    Args:
        folder: The sweep folder.
        launch: Identifier of the launch.
    """

    def __init__(self, folder: Path, launch: str) -> None:
        self._folder, self._launch = folder / LAUNCHES, launch
        self._read: dict[Path, tuple[int, bytes]] = {}

    def lines(self) -> list[str]:
        """Return the complete lines written since the last call."""
        lines: list[str] = []
        for file in sorted(self._folder.glob(f"{self._launch}-*.log")):
            offset, rest = self._read.get(file, (0, b""))
            with open_stored(file) as opened:
                opened.seek(offset)
                new = opened.read()
            *whole, incomplete = (rest + new).split(b"\n")
            self._read[file] = offset + len(new), incomplete
            lines += [line.decode(errors="replace").rstrip() for line in whole]
        return lines

    def last_lines(self) -> list[str]:
        """Return the last lines of the newest worker's log, and of what Slurm itself wrote, each after its path."""
        return [
            line
            for pattern in (f"{self._launch}-*.log", f"{self._launch}-slurm/*_log.out")
            for line in self._last_lines(pattern)
        ]

    def _last_lines(self, pattern: str) -> Iterator[str]:
        for file in sorted(self._folder.glob(pattern), key=_modified, reverse=True):
            lines = [line for line in _end_of(file) if line.strip() and not line.startswith(SUBMITIT)]
            if lines:
                yield f"{file} ends with:"
                yield from (f"    {printable(line)}" for line in lines[-LAST_LINES:])
                return


def _end_of(file: Path) -> list[str]:
    """Return the lines in the last `END` bytes of a log; none if it can't be read."""
    try:
        with open_stored(file) as opened:
            opened.seek(max(0, opened.seek(0, os.SEEK_END) - END))
            return opened.read(END).decode(errors="replace").splitlines()
    except OSError:
        return []


def newest_launch(folder: Path) -> str | None:
    """Return the launch whose submitted workers logged last; None if no launch of the sweep in `folder` has logs."""
    logs = [*(folder / LAUNCHES).glob("*-*.log"), *(folder / LAUNCHES).glob("*-slurm/*_log.out")]
    newest = max(logs, key=_modified, default=None)
    if newest is None:
        return None
    return str(newest.relative_to(folder / LAUNCHES).parts[0]).rpartition("-")[0]


def _modified(file: Path) -> int:
    return file.stat().st_mtime_ns
