"""Folder names for jobs (made from overrides) and sweeps (from the command line or the start time).

Names must be safe on every file system that a sweep may be copied to: case-insensitive (macOS, Windows), normalising
Unicode (macOS), or forbidding characters and words (Windows).
"""

import hashlib
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import count, takewhile
from operator import eq
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
NUMBER = re.compile(r"[+-]?[0-9.]+(e[+-]?[0-9]+)?", re.IGNORECASE)
PATH = re.compile(r"/|[a-z_]\.[a-z_]")
BETWEEN_WORDS = re.compile(r"[\W_]")
BETWEEN_OVERRIDES = re.compile(r",(?=[^,=]+=)")
# Windows reserves these device names in any case and with any extension ("Naming Files, Paths, and Namespaces",
# learn.microsoft.com).
DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE | re.DOTALL)


Differences = Mapping[str, tuple[int, int]]
"""For each key in which jobs differ: how many letters all of its values begin with, and end with."""


def job_name(overrides: Sequence[str], differences: Differences | None = None) -> str:
    """Return the folder name of the job with these overrides, such as `model=stem3x3,optim.lr=0.02`.

    Overrides are sorted by key, so the order in which they were typed does not matter. Plain lower-case ASCII is kept
    as it is. A hash of the full text is appended if characters were replaced or cut, or if the name could equal another
    one on some file system (upper case, non-ASCII letters). Different jobs therefore never share a name, even under
    case folding and Unicode normalisation: a name without a hash is the exact text, and names with one differ in it.

    Args:
        overrides: `key=value` each.
        differences: in what the sweep's jobs differ. A name that is too long shows that, and leaves out the rest.
    """
    if not overrides:
        return DEFAULTS
    parts = sorted(overrides, key=lambda override: override.partition("=")[0])
    text = ",".join(parts)
    if _is_unambiguous(text, parts):
        return text
    # ascii() of the list distinguishes ["a=1,b=2"] from ["a=1", "b=2"] and accepts bytes that argv could not decode.
    digest = hashlib.sha256(ascii(parts).encode()).hexdigest()[:HASH_DIGITS]
    return _with_suffix(_readable(_fitting(parts, differences or {})), f"-{digest}")


def abbreviated(name: str) -> str:
    """Return what a job's name is by itself, whatever jobs are beside it: its hash if it has one, else all of it."""
    end = name[-HASH_DIGITS - 1 :]
    return end if ENDS_LIKE_A_HASH.fullmatch(end) else name


def distinct_names(
    all_overrides: Sequence[Sequence[str]], taken: set[str], beside: Sequence[Sequence[str]] = ()
) -> list[str]:
    """Return one folder name per job, in order, distinct from each other and from `taken` on every file system.

    Only jobs with the same overrides need a suffix: `-2`, `-3` and so on.

    Args:
        all_overrides: overrides of each job that needs a name.
        taken: names of other jobs.
        beside: overrides of these other jobs.
    """
    used = {_folded(name) for name in taken}
    differences = _differences([*all_overrides, *beside])
    names = []
    for overrides in all_overrides:
        name = next(name for name in _numbered(job_name(overrides, differences)) if _folded(name) not in used)
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


def _differences(all_overrides: Sequence[Sequence[str]]) -> Differences:
    values: dict[str, list[str]] = defaultdict(list)
    for overrides in all_overrides:
        for key, _, value in (override.partition("=") for override in overrides):
            values[key].append(value)
    found = {}
    for key, levels in values.items():
        distinct = set(levels)
        if len(distinct) > 1:
            start, end = _shared_letters(distinct), _shared_letters({value[::-1] for value in distinct})
            found[key] = (start, end if start + end < min(map(len, distinct)) else 0)
        elif len(levels) < len(all_overrides):
            found[key] = (0, 0)
    return found


def _shared_letters(values: set[str]) -> int:
    """Return how many letters all values begin with: if sorted, the first and the last one differ most."""
    return sum(takewhile(bool, map(eq, min(values), max(values))))


def _fitting(parts: Sequence[str], differences: Differences) -> str:
    """Return the overrides as text that leaves room for a hash.

    If it must be, what is equal in all jobs is left out, then keys are short, then values.
    """
    full = [part.partition("=") for part in parts]
    differing = [part for part in full if part[0] in differences] or full
    keys = [key for key, _, _ in differing]
    short = [(_short_key(key, keys), equals, value) for key, equals, value in differing]
    shorter = [
        (name, equals, _short_value(value, differences.get(key, (0, 0))))
        for key, (name, equals, value) in zip(keys, short, strict=True)
    ]
    texts = [",".join(map("".join, form)) for form in (full, differing, short, shorter)]
    return next(
        (text for text in texts if len(text.encode(errors="surrogatepass")) < MAX_BYTES - HASH_DIGITS), texts[-1]
    )


def _short_key(key: str, keys: Iterable[str]) -> str:
    """Return the first letters of a key's last part that no other key's last part begins with; else all of the key."""
    last, others = key.rpartition(".")[2], [other.rpartition(".")[2] for other in keys if other != key]
    shortened = (last[:length] for length in range(min(SHORT_KEY, len(last)), len(last) + 1))
    return next((short for short in shortened if not any(other.startswith(short) for other in others)), key)


def _short_value(value: str, shared: tuple[int, int]) -> str:
    """Return some letters of a value; all of a number, which would be another one.

    Args:
        value: the value.
        shared: how many letters the values of all jobs begin with, and end with. The letters between are taken, with
            the rest of their word if there is room. Otherwise, those of a path or of `package.module.name` are its
            last ones, in which they mostly differ.
    """
    if len(value) <= SHORT_VALUE or NUMBER.fullmatch(value):
        return value
    before, after = shared
    part = value[before : len(value) - after]
    if not part or not any(shared):
        ends_apart = any(shared) or PATH.search(value)
        return value[-SHORT_VALUE:].lstrip("/") if ends_apart else value[:SHORT_VALUE]
    start, end = BETWEEN_WORDS.split(value[:before])[-1], BETWEEN_WORDS.split(value[len(value) - after :])[0]
    word = f"{start}{part}{end}"
    if len(word) <= SHORT_VALUE:
        return word
    return part if len(part) <= SHORT_VALUE else f"{part[: SHORT_VALUE // 2]}{part[-SHORT_VALUE // 2 :]}"


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
