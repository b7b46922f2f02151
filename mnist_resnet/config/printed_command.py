"""The commands that are printed to be pasted: complete, with the options and config folders of the one that ran."""

import re
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from mnist_resnet.config.config_files import CONF

PLAIN = re.compile(r"(\w+:)?[\w./-]+")
"""Paths that Hydra reads without quotes."""
WORD = re.compile(r"(?!(true|false|null|inf|nan)$)[a-z_][\w-]*", re.ASCII | re.IGNORECASE)
"""Names that Hydra reads without quotes, and as no other value."""


def hydra_path(path: Path | str) -> str:
    """Return a path as a value in Hydra's grammar."""
    text = str(path)
    return text if PLAIN.fullmatch(text) else _quoted(text)


def hydra_name(name: str) -> str:
    """Return a name as a value in Hydra's grammar, in which 2024 is a number and `a,b` are two values."""
    return name if WORD.fullmatch(name) else _quoted(name)


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return f"'{escaped}'"


def train_command(program: str, arguments: Iterable[str]) -> str:
    """Return a command line of `train.py`.

    Args:
        program: How the command that ran named its program.
        arguments: What follows.
    """
    return shlex.join(["python", program if Path(program).name == "train.py" else "train.py", *arguments])


def search_path(folders: Iterable[str]) -> list[str]:
    """Return the override by which Hydra looks in these config folders, too; none if all of them are ours."""
    own = [hydra_path(f"file://{folder}") for folder in folders if Path(folder) != CONF]
    return [f"hydra.searchpath=[{','.join(own)}]"] if own else []


def resume_command(folder: Path, trusted: Sequence[str]) -> str:
    """Return the command that resumes a sweep whose jobs run these targets beside the shipped ones."""
    options = [word for target in trusted for word in ("--trust", target)]
    return shlex.join(["python", "-m", "mnist_resnet.resume", str(folder), *options])
