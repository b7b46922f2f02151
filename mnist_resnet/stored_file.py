"""Reads files of folders that may come from anywhere, in bounded time and memory, and writes through no link in them.

A file is read only if it is a regular one of bounded size: a pipe would be waited for without end, and a link to a
device has no end. JSON is read only if its nesting and its numbers are such as this program writes, and what would
control a terminal is replaced in its strings. Archives are read only if they unpack to a bounded size.

A link in such a folder may lead to any file of the user's. Whole files are replaced, and a link with them; what is
appended to, and the folders that are written in, must not be links.
"""

import errno
import json
import os
import re
import stat
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, BinaryIO, TextIO

MEGABYTE = 1_000_000
MAX_TEXT = 64 * MEGABYTE
"""Largest JSON file of one job, and largest log, in bytes; some hundred thousand epochs."""

MAX_SWEEP = 512 * MEGABYTE
"""Largest `sweep.json` in bytes: a job takes about 5 kB of it."""

MAX_ARRAYS = 2_000 * MEGABYTE
"""Largest unpacked size of a `.npz` archive or of an idx file, in bytes."""

MAX_WEIGHTS = 64_000 * MEGABYTE
"""Largest model file or checkpoint, in bytes."""

MAX_DEPTH = 100
"""Deepest nesting of JSON. Config nodes are some ten levels deep."""

MAX_VALUES = 20_000_000
"""Most values in JSON, each of which takes some hundred bytes of memory; a job in `sweep.json` has about 150."""

MAX_DIGITS = 30
"""Most digits of a whole number in JSON; others can't be converted to a float, or not in bounded time."""

_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that move a terminal's cursor, or change the direction of text."""

_SUSPICIOUS = re.compile(rf"{_CONTROLS.pattern}|\\u(?:00|20)")
"""What the text of JSON contains if one of its strings has a control character, plain or escaped."""


def printable(text: object) -> str:
    """Return the text without control characters, so that an untrusted name can't control the terminal."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in str(text))


class RefusedFile(OSError):
    """Raised for what is no regular file of bounded size; `strerror` says what it is."""


def open_stored(path: Path) -> BinaryIO:
    """Open a regular file to read it.

    Raises:
        RefusedFile: It is no regular file.
        OSError: It can't be opened.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link to itself, a socket
            raise _not_regular() from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_regular()
    return os.fdopen(descriptor, "rb")


def read_stored(path: Path, most: int = MAX_TEXT) -> bytes:
    """Return the content of a regular file of at most `most` bytes.

    Raises:
        RefusedFile: It is no regular file, or larger.
        OSError: It can't be read.
    """
    with open_stored(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise RefusedFile(errno.EFBIG, f"larger than {most // MEGABYTE:,} MB")
        # A file that is being written may have grown: Python allocates what it is asked for.
        return file.read(max(size, MEGABYTE))


def append_stored(path: Path) -> TextIO:
    """Open a regular file to append UTF-8 text, line by line; it is made if it is missing.

    Raises:
        RefusedFile: It is a link, or no regular file.
        OSError: It can't be opened.
    """
    refuse_links(path.parent, [path.name])
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):  # a link made just now, a pipe or a socket
            raise _not_regular() from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_regular()
    return os.fdopen(descriptor, "a", encoding="utf-8", buffering=1)


def refuse_links(folder: Path, names: Iterable[str]) -> None:
    """Check that no entry of these names in `folder` is a link; the folder itself may be reached by one.

    Raises:
        RefusedFile: One is; `strerror` names it.
    """
    for name in names:
        if (folder / name).is_symlink():
            raise RefusedFile(errno.ELOOP, f"{name} is a link, and nothing is written through links")


def _not_regular() -> RefusedFile:
    return RefusedFile(errno.EINVAL, "not a regular file")


def parse_json(text: str | bytes, object_hook: Callable[[dict[str, Any]], Any] | None = None) -> Any:
    """Return what JSON of unknown origin holds.

    Raises:
        ValueError: It is no JSON, is nested too deeply, or holds too many values or a number that is too long.
    """
    text = text.decode("utf-8") if isinstance(text, bytes) else text
    if len(text) > MAX_VALUES and sum(map(text.count, ",[{")) > MAX_VALUES:
        raise ValueError(f"more than {MAX_VALUES:,} values")
    try:
        content = json.loads(text, object_hook=object_hook, parse_int=_whole_number)
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from None
    _check_depth(content)
    return _without_controls(content) if _SUSPICIOUS.search(text) else content


def check_archive(archive: zipfile.ZipFile, most: int) -> None:
    """Check that an archive's records unpack to `most` bytes together, whatever they say.

    Tensors that PyTorch saves are not compressed, so that they unpack to less than the file.

    Raises:
        ValueError: They take more.
    """
    if sum(record.file_size for record in archive.infolist()) > most:
        raise ValueError(f"it unpacks to more than {most:,} bytes")


def _whole_number(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number of {len(digits):,} digits")
    return int(digits)


def _check_depth(content: Any) -> None:
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if type(outer) in (dict, list)
            for inner in (outer.values() if type(outer) is dict else outer)
        ]
        if not level:
            return
    raise ValueError(f"nested more than {MAX_DEPTH} deep")


def _without_controls(value: Any) -> Any:
    if isinstance(value, str):
        return _CONTROLS.sub("\N{REPLACEMENT CHARACTER}", value)
    if isinstance(value, dict):
        return {_without_controls(key): _without_controls(inner) for key, inner in value.items()}
    return [_without_controls(inner) for inner in value] if isinstance(value, list) else value
