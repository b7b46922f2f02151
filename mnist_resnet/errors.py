"""Exceptions for bad user input, each with a one-line message, and the words for all other exceptions."""

import re
import sysconfig
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mnist_resnet.stored_file import printable

NOT_THE_USERS = {"mnist_resnet", "torch", "hydra", "omegaconf"}
"""Packages whose code is never the user's, wherever they are installed."""


class UsageError(Exception):
    """Raised for invalid user input.

    The message is one line that names the key, the value and what would be right. The commands print it and exit with
    code 2.

    Args:
        lines: the message; several lines for as many problems.
    """

    def __init__(self, *lines: str) -> None:
        super().__init__("\n".join(map(printable, lines)))


class EndedEarly(Exception):
    """Raised by a launcher that can't run the remaining jobs; the message is a line for the user."""


class Refused(SystemExit):
    """Ends the program with exit code 2 because of invalid user input.

    Needed inside Hydra's callbacks and tasks: Hydra would turn an ordinary exception there into a warning or a log
    entry of its own.

    Attributes:
        error: the exception whose message is shown to the user.
    """

    def __init__(self, error: Exception) -> None:
        super().__init__(2)
        self.error = error


def wording(error: BaseException, limit: int | None = None) -> str:
    """Return what an exception says, in one line for the user and in words.

    The message of some exceptions means nothing without their class (`KeyError: 4`), others have none; the class's name
    alone is no sentence either.

    Args:
        error: the exception.
        limit: characters after which the line is cut; None for no limit.
    """
    return _words(error)[:limit]


def raised_at(error: BaseException) -> str | None:
    """Return the file and the line in the user's own code at which an exception was raised, None if there is none."""
    for frame, line in reversed([*traceback.walk_tb(error.__traceback__)]):
        package = str(frame.f_globals.get("__name__")).partition(".")[0]
        path = Path(frame.f_code.co_filename)
        if package not in NOT_THE_USERS and path.is_file() and not _is_of_a_library(path):
            return f"{path.name}, line {line}"
    return None


def _is_of_a_library(path: Path) -> bool:
    is_installed = not {"site-packages", "dist-packages"}.isdisjoint(path.parts)
    return is_installed or path.is_relative_to(sysconfig.get_path("stdlib"))


def _words(error: BaseException) -> str:
    if isinstance(error, KeyError) and len(error.args) == 1:
        missing = error.args[0]
        return _line(missing) if isinstance(missing, str) and " " in missing else f"there is no entry {missing!r}"
    if isinstance(error, SystemExit):
        is_number = error.code is None or isinstance(error.code, int)
        return f"ends the process, with exit code {error.code or 0}" if is_number else _line(error.code)
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if type(error).__module__.startswith("pydantic"):
        return _line("; ".join(_problem(problem) for problem in getattr(error, "errors", list)())) or _line(error)
    return _line(error) or re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(error).__name__).lower()


def _problem(problem: Mapping[str, Any]) -> str:
    return f"{'.'.join(map(str, problem['loc']))}={problem['input']}: {problem_message(problem)}"


def problem_message(problem: Mapping[str, Any]) -> str:
    """Return what one entry of pydantic's `errors()` says, without the class that a validator raised."""
    return re.sub(r"^(Value|Assertion) error, ", "", str(problem["msg"]))


def _line(text: object) -> str:
    return " ".join(str(text).split())
