"""Command lines that have one error, and what is left of them: one line and nothing on the disk."""

import shlex
from collections.abc import Callable
from pathlib import Path

from tests.small_sweeps import CommandResult, Place


def arguments(typed: str, place: Place) -> list[str]:
    """Return the arguments of a command line that uses existing images, so that it has only the tested error."""
    words = shlex.split(typed.replace("FILE", str(place.folder / "file")))
    if "data.verify=" not in typed:
        words.insert(1 if "-m" in words[:1] else 0, "data.verify=false")
    if any("with_launcher" in word for word in words):
        words += ["--config-dir", str(place.folder / "conf")]
    return words


def assert_refused(ended: CommandResult, message: str, folder: Path) -> None:
    assert ended.err.startswith("error: ")
    assert message in ended.err
    assert ended.err.count("\n") == 1
    assert ended.err.endswith("\n")
    assert ended.out == ""
    assert ended.code == 2
    assert list(folder.iterdir()) == []


Refuses = Callable[[list[str], str], None]
