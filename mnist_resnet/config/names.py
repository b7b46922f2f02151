"""Folder names for jobs (made from overrides) and sweeps (from the command line or the start time).

Names must be safe on every file system that a sweep may be copied to: case-insensitive (macOS, Windows), normalising
Unicode (macOS), or forbidding characters and words (Windows).
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path

from mnist_resnet.errors import UsageError

MAX_BYTES = 100
"""Longest name in bytes of UTF-8: eCryptfs allows 143, most file systems 255, Windows 260 characters in a full path."""

DEFAULTS = "defaults"
"""Name of the job without overrides; unique, since every other name contains `=` or a hash."""

RECORDS = "records"
"""Folder in `multirun/` that is kept in git; no sweep may write to it."""

PUNCTUATION = "=,.+_@()[] -"
HASH_DIGITS = 12
SHORT_KEY, SHORT_VALUE = 3, 10
"""Fewest letters of a key, and most of a value, where a name would be too long."""

ORDINARY = re.compile(r"[a-z0-9_+][a-z0-9=,.+_@()\[\] -]*[a-z0-9=,+_@()\[\]-]")
ENDS_LIKE_A_HASH = re.compile(rf"-[0-9a-f]{{{HASH_DIGITS}}}")
BETWEEN_OVERRIDES = re.compile(r",(?=[^,=]+=)")
# Windows reserves these device names in any case and with any extension ("Naming Files, Paths, and Namespaces",
# learn.microsoft.com).
DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE | re.DOTALL)


def job_name(overrides: Sequence[str]) -> str:
    """Return the folder name of the job with these overrides, such as `model=stem3x3,optim.lr=0.02`.

    Overrides are sorted by key, so the order in which they were typed does not matter. Plain lower-case ASCII is kept
    as it is. A hash of the full text is appended if characters were replaced or cut, or if the name could equal another
    one on some file system (upper case, non-ASCII letters). Different jobs therefore never share a name, even under
    case folding and Unicode normalisation: a name without a hash is the exact text, and names with one differ in it.
    """
    if not overrides:
        return DEFAULTS
    parts = sorted(overrides, key=lambda override: override.partition("=")[0])
    text = ",".join(parts)
    if _is_unambiguous(text, parts):
        return text
    # ascii() of the list distinguishes ["a=1,b=2"] from ["a=1", "b=2"] and accepts bytes that argv could not decode.
    digest = hashlib.sha256(ascii(parts).encode()).hexdigest()[:HASH_DIGITS]
    return _with_suffix(_readable(_fitting(parts)), f"-{digest}")


def distinct_names(all_overrides: Iterable[Sequence[str]], taken: set[str]) -> list[str]:
    """Return one folder name per job, in order, distinct from each other and from `taken` on every file system.

    Only jobs with the same overrides need a suffix: `-2`, `-3` and so on.
    """
    used = {_folded(name) for name in taken}
    names = []
    for overrides in all_overrides:
        name = next(name for name in _numbered(job_name(overrides)) if _folded(name) not in used)
        used.add(_folded(name))
        names.append(name)
    return names


def sweep_folder(multirun: Path, name: str) -> Path:
    """Return the folder of the sweep called `name`, directly inside `multirun`, without creating it.

    Raises:
        UsageError: `name` is outside `multirun`, not valid on every file system, reserved, or equal to an existing
            folder's name on file systems that ignore case or normalise Unicode.
    """
    normal = unicodedata.normalize("NFC", name)
    if not normal:
        raise _bad_sweep_name(name, "is empty")
    if len(normal.encode(errors="surrogatepass")) > MAX_BYTES:
        raise _bad_sweep_name(name, "is too long")
    if not _safe(normal):
        raise _bad_sweep_name(name, "is not a valid folder name on every file system")
    if _folded(normal) == RECORDS:
        raise _bad_sweep_name(name, "is reserved for the records kept in git")
    folder = multirun / normal
    if folder.exists():
        if not folder.is_dir():
            raise _bad_sweep_name(name, f"is a file in {multirun}")
    elif equivalent := _equivalent_folder(multirun, normal):
        raise _bad_sweep_name(name, f"is the same folder as {equivalent!r} on some file systems")
    return folder


def new_sweep_folder(parent: Path, now: datetime) -> Path:
    """Create the folder of an unnamed sweep, named by its start time, and return its path.

    `mkdir` is atomic: if two sweeps start in the same second, even on two machines, the second one gets `-2`.

    Raises:
        UsageError: `parent` is not writable.
    """
    started = now.strftime("%Y-%m-%d_%H-%M-%S")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        for name in _numbered(started):
            try:
                (parent / name).mkdir()
            except FileExistsError:
                continue
            return parent / name
    except OSError as error:
        raise UsageError(
            f"{parent}: no sweep folder can be created there ({error.strerror}); choose a writable folder"
        ) from None
    raise AssertionError("unreachable: _numbered never ends")


def _is_unambiguous(text: str, parts: list[str]) -> bool:
    """Return whether `text` can be used unchanged: it is safe, and no other overrides give the same text."""
    return (
        ORDINARY.fullmatch(text) is not None
        and len(text) <= MAX_BYTES
        and DEVICE.fullmatch(text) is None
        and ENDS_LIKE_A_HASH.fullmatch(text[-HASH_DIGITS - 1 :]) is None
        and all("=" in part for part in parts)
        and BETWEEN_OVERRIDES.split(text) == parts
    )


def _fitting(parts: Sequence[str]) -> str:
    """Return the overrides as text that leaves room for a hash: if it must be, with short keys, then short values."""
    full = [part.partition("=") for part in parts]
    keys = [key for key, _, _ in full]
    short = [(_short_key(key, keys), equals, value) for key, equals, value in full]
    shorter = [(key, equals, _short_value(value)) for key, equals, value in short]
    texts = [",".join(map("".join, form)) for form in (full, short, shorter)]
    return next(
        (text for text in texts if len(text.encode(errors="surrogatepass")) < MAX_BYTES - HASH_DIGITS), texts[-1]
    )


def _short_key(key: str, keys: Iterable[str]) -> str:
    """Return the first letters of a key's last part that no other key's last part begins with; else all of the key."""
    last, others = key.rpartition(".")[2], [other.rpartition(".")[2] for other in keys if other != key]
    shortened = (last[:length] for length in range(min(SHORT_KEY, len(last)), len(last) + 1))
    return next((short for short in shortened if not any(other.startswith(short) for other in others)), key)


def _short_value(value: str) -> str:
    """Return the first letters of a value; of a path the last ones, in which folders differ."""
    return value[-SHORT_VALUE:].lstrip("/") if "/" in value else value[:SHORT_VALUE]


def _readable(text: str) -> str:
    """Return `text` with unsafe characters replaced by `_`; the caller must add a hash."""
    normal = unicodedata.normalize("NFC", text)
    safe = unicodedata.normalize("NFC", "".join(char if _is_safe_char(char) else "_" for char in normal))
    return safe if _has_safe_start(safe) and not DEVICE.fullmatch(safe) else f"_{safe}"


def _safe(name: str) -> bool:
    return (
        _has_safe_start(name)
        and all(map(_is_safe_char, name))
        and not name.endswith((".", " "))
        and not DEVICE.fullmatch(name)
    )


def _has_safe_start(name: str) -> bool:
    return name[:1].isalnum() or name[:1] in {"_", "+"}


def _is_safe_char(char: str) -> bool:
    """Return whether `char` is a letter, digit or mark of any script, or harmless punctuation."""
    return char.isalnum() or char in PUNCTUATION or unicodedata.category(char).startswith("M")


def _numbered(name: str) -> Iterator[str]:
    yield name
    for number in count(2):
        yield _with_suffix(name, f"-{number}")


def _with_suffix(name: str, suffix: str) -> str:
    """Append `suffix`, cutting `name` at a character boundary so that the result has at most `MAX_BYTES` bytes."""
    return name.encode()[: MAX_BYTES - len(suffix)].decode(errors="ignore") + suffix


def _folded(name: str) -> str:
    """Return the key by which a file system that ignores case and normalisation compares names."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _equivalent_folder(multirun: Path, name: str) -> str | None:
    """Return the existing folder that some file systems take for the same as `name`, if there is one."""
    if not multirun.is_dir():
        return None
    return next((entry.name for entry in multirun.iterdir() if _folded(entry.name) == _folded(name)), None)


def _bad_sweep_name(name: str, reason: str) -> UsageError:
    value = repr(name) if len(name) <= MAX_BYTES else f"{name[:40]!r}…"
    return UsageError(
        f"sweep.name={value} {reason}; a sweep's name is up to {MAX_BYTES} bytes of letters, digits, inner spaces and "
        f"{PUNCTUATION.replace(' ', '')}, and starts with a letter or digit"
    )
