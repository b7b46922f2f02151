"""A full disk, for tests and the chaos run."""

from pathlib import Path


def fill_disk(file: Path) -> None:
    """Write a file that leaves no room on its disk; removing it makes room again."""
    with file.open("wb", buffering=0) as filler:
        for size in (1 << 20, 4096):
            try:
                while True:
                    filler.write(b"\0" * size)
            except OSError:
                pass
