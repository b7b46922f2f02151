"""Folder names: of jobs, from their overrides, and of sweeps, from the command line or the clock.

They must be safe on every disk that a sweep may be copied to: a case-insensitive one (macOS, Windows), one that
normalises Unicode (macOS), one that forbids characters or words (Windows).
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import count
from pathlib import Path

from mnist_resnet.errors import UsageError

LONGEST = 100
"""Bytes of UTF-8 in a name: eCryptfs allows 143, most disks 255, and Windows 260 characters for a whole path."""

DEFAULTS = "defaults"
"""Name of the job that overrides nothing; no other job gets it, as every other name holds `=` or a hash."""

RECORDS = "records"
"""The folder of `multirun/` that git keeps; no sweep may write there."""

PUNCTUATION = "=,.+_@()[] -"
HASH_DIGITS = 12

ORDINARY = re.compile(r"[a-z0-9_+][a-z0-9=,.+_@()\[\] -]*[a-z0-9=,+_@()\[\]-]")
ENDS_LIKE_A_HASH = re.compile(rf"-[0-9a-f]{{{HASH_DIGITS}}}")
BETWEEN_OVERRIDES = re.compile(r",(?=[^,=]+=)")
# Windows keeps these for devices, in any case and with any extension ("Naming Files, Paths, and Namespaces",
# learn.microsoft.com).
DEVICE = re.compile(r"(con|prn|aux|nul|(com|lpt)[0-9¹²³]) *(\..*)?", re.IGNORECASE | re.DOTALL)


def job_name(overrides: Sequence[str]) -> str:
    """The folder name of the job with these overrides, such as `model=stem3x3,optim.lr=0.02`.

    Sorted by key, so that the order in which they were typed does not matter. Ordinary lower-case ASCII stays as it is;
    whatever was changed or cut, or might be the same as another name on some disk (capitals, any other script), is
    made up for by a hash of the whole text at the end. So two different jobs never share a name, also under case
    folding and Unicode normalisation: names without a hash are what they say, names with one differ in it.
    """
    if not overrides:
        return DEFAULTS
    parts = sorted(overrides, key=lambda override: override.partition("=")[0])
    text = ",".join(parts)
    if _stays(text, parts):
        return text
    # ascii() rather than the text: it tells ["a=1,b=2"] from ["a=1", "b=2"] and takes what argv could not decode.
    digest = hashlib.sha256(ascii(parts).encode()).hexdigest()[:HASH_DIGITS]
    return _with_ending(_readable(text), f"-{digest}")


def distinct_names(all_overrides: Iterable[Sequence[str]], taken: set[str]) -> list[str]:
    """A folder name for each job, in order, different from all others and from those `taken`, on every disk.

    Names differ by themselves unless two jobs have the same overrides; then `-2`, `-3` … is added.
    """
    used = {_folded(name) for name in taken}
    names = []
    for overrides in all_overrides:
        name = next(name for name in _numbered(job_name(overrides)) if _folded(name) not in used)
        used.add(_folded(name))
        names.append(name)
    return names


def sweep_folder(multirun: Path, name: str) -> Path:
    """The folder of the sweep that was named `name` on the command line: directly inside `multirun`, not created here.

    Raises:
        UsageError: `name` would leave `multirun`, or is not a name for every disk, or is kept for something else, or
            differs from a folder that is there only in what some disks do not tell apart.
    """
    normal = unicodedata.normalize("NFC", name)
    if not normal:
        raise _bad_sweep_name(name, "is empty")
    if len(normal.encode(errors="surrogatepass")) > LONGEST:
        raise _bad_sweep_name(name, "is too long")
    if not _safe(normal):
        raise _bad_sweep_name(name, "is no folder name on every disk")
    if _folded(normal) == RECORDS:
        raise _bad_sweep_name(name, "is kept for the records that git holds")
    folder = multirun / normal
    if folder.exists():
        if not folder.is_dir():
            raise _bad_sweep_name(name, f"is a file in {multirun}")
    elif twin := _twin(multirun, normal):
        raise _bad_sweep_name(name, f"is the same folder as {twin!r} on some disks")
    return folder


def new_sweep_folder(parent: Path, now: datetime) -> Path:
    """Create the folder of an unnamed sweep, called by its start time, and shared with no other sweep.

    `mkdir` is atomic: of two sweeps in one second, also on two machines, the second gets `-2`.

    Raises:
        UsageError: `parent` can't be written.
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
            f"{parent}: no sweep can be put there ({error.strerror}); choose a folder to write in"
        ) from None
    raise AssertionError("there are numbers enough")


def _stays(text: str, parts: list[str]) -> bool:
    """Whether `text` can be the name as it is: safe, and no other overrides could have it for theirs."""
    return (
        ORDINARY.fullmatch(text) is not None
        and len(text) <= LONGEST
        and DEVICE.fullmatch(text) is None
        and ENDS_LIKE_A_HASH.fullmatch(text[-HASH_DIGITS - 1 :]) is None
        and all("=" in part for part in parts)
        and BETWEEN_OVERRIDES.split(text) == parts
    )


def _readable(text: str) -> str:
    """What can be shown of `text` in a name, the rest as `_`; a hash must still be added."""
    normal = unicodedata.normalize("NFC", text)
    shown = unicodedata.normalize("NFC", "".join(char if _keeps(char) else "_" for char in normal))
    return shown if _starts_well(shown) and not DEVICE.fullmatch(shown) else f"_{shown}"


def _safe(name: str) -> bool:
    return (
        _starts_well(name) and all(map(_keeps, name)) and not name.endswith((".", " ")) and not DEVICE.fullmatch(name)
    )


def _starts_well(name: str) -> bool:
    return name[:1].isalnum() or name[:1] in {"_", "+"}


def _keeps(char: str) -> bool:
    """Letters, digits and marks of any script, and the punctuation that no disk and no shell minds much."""
    return char.isalnum() or char in PUNCTUATION or unicodedata.category(char).startswith("M")


def _numbered(name: str) -> Iterator[str]:
    yield name
    for number in count(2):
        yield _with_ending(name, f"-{number}")


def _with_ending(name: str, ending: str) -> str:
    """`name`, cut between two characters where that must be, and `ending`: at most LONGEST bytes."""
    return name.encode()[: LONGEST - len(ending)].decode(errors="ignore") + ending


def _folded(name: str) -> str:
    """What a disk that ignores case and normalisation compares names by."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _twin(multirun: Path, name: str) -> str | None:
    if not multirun.is_dir():
        return None
    return next((there.name for there in multirun.iterdir() if _folded(there.name) == _folded(name)), None)


def _bad_sweep_name(name: str, why: str) -> UsageError:
    value = repr(name) if len(name) <= LONGEST else f"{name[:40]!r}…"
    return UsageError(
        f"sweep.name={value} {why}; a sweep's name is up to {LONGEST} bytes of letters, digits, inner spaces and "
        f"{PUNCTUATION.replace(' ', '')}, and starts with a letter or digit"
    )
