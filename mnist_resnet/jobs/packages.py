"""Describes the packages that a job's config names, beside our own.

What the user has written is described by a hash and its git state, what is installed by its version.
"""

import ast
import os
import sys
import sysconfig
import warnings
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from mnist_resnet.config.allowed_targets import targets
from mnist_resnet.job_folder import ENVIRONMENT, write_atomically
from mnist_resnet.jobs.environment import PROGRAM, SOURCE, git, hash_files
from mnist_resnet.stored_file import read_stored

STANDARD_LIBRARY = Path(sysconfig.get_path("stdlib")).resolve()
INSTALLED = {"site-packages", "dist-packages"}
"""Names of the folders with installed packages, which their authors' versions describe."""


def package_versions(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Describe the packages of a config's `_target_`s, and what those that the user has written import, by name.

    Nothing is imported. Each is described once for a process: that is the code that it runs, whatever is edited later.

    Args:
        config: resolved config.

    Returns:
        For the user's own packages and modules `source` (a hash), `commit` and `dirty`; for others `version`.
    """
    return dict(_versions(frozenset(_first_parts(targets(config))), tuple(sys.path)))


@cache
def _versions(roots: frozenset[str], _path: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    described: dict[str, dict[str, Any]] = {}
    names = set(roots)
    while names:
        name = names.pop()
        if name in described or name in PROGRAM:
            continue
        if own := _own(name):
            described[name] = _describe(own)
            # Of what it imports, only the user's own code is described: the list of installed packages has the rest.
            names |= {other for location in own for other in _imported(location) if _own(other)} - described.keys()
        else:
            described |= _installed_version(name)
    return dict(sorted(described.items()))


def write_uncommitted_changes(folder: Path, config: dict[str, Any]) -> None:
    """Write the `git diff` of each of the user's own packages that differs from its commit into the job folder."""
    for name, package in package_versions(config).items():
        places = [location for location in _own(name) if not location.is_relative_to(SOURCE)]
        if package.get("dirty") and places:
            changes = "".join(git(place.parent, "diff", "HEAD", "--", place.name) + "\n" for place in places)
            write_atomically(folder / ENVIRONMENT / f"{name}.diff", os.fsencode(changes), sync=False)


def _own(name: str) -> tuple[Path, ...]:
    """Return those of a package's locations that hold the user's own code."""
    return tuple(location for location in _locations(name) if not _is_installed(location))


def _is_installed(location: Path) -> bool:
    if location.is_relative_to(STANDARD_LIBRARY) or not INSTALLED.isdisjoint(location.parts):
        return True
    versions = _recorded_versions(location)
    return versions.count("") < len(versions) / 2  # the user may have added a file, or have a folder of the same name


def _recorded_versions(location: Path) -> list[str]:
    """Return, for each file that is directly in a package, the version of the distribution that has it; '' if none."""
    versions = _installed_into(location.parent)
    files = (list(location.glob("*.*")) or _files(location)) if versions else []
    return [versions.get(file.relative_to(location.parent).as_posix(), "") for file in files]


@cache
def _installed_into(folder: Path) -> dict[str, str]:
    """Return the files that an installer has put into a folder, as `pip install --target` does, with their versions.

    Its RECORD lists them. What was installed as editable has none beside its source.
    """
    versions: dict[str, str] = {}
    for record in folder.glob("*.dist-info/RECORD"):
        with suppress(OSError):
            lines = read_stored(record).decode(errors="surrogateescape").splitlines()
            files = (line.rsplit(",", 2)[0].strip('"') for line in lines)
            versions |= dict.fromkeys(files, record.parent.stem.partition("-")[2])
    return versions


def _installed_version(name: str) -> dict[str, dict[str, Any]]:
    try:
        return {name: {"version": version(name)}}
    except (PackageNotFoundError, ValueError):  # Python's own, of a distribution with another name, or not in UTF-8
        versions = {one for location in _locations(name) for one in _recorded_versions(location)} - {""}
        return {name: {"version": versions.pop()}} if len(versions) == 1 else {}


def _locations(name: str) -> list[Path]:
    """Return a package's folders, of which a namespace may have several, or a module's file, or the archive with it.

    There are none if it can't be found, is built into Python, or is a namespace that only an installer's finder knows.
    """
    try:
        spec = find_spec(name)
    except Exception:  # of a finder, and anybody may have added one
        return []
    if spec is None:
        return []
    module = [spec.origin] if spec.origin and spec.has_location else []
    paths = [Path(os.path.realpath(place)) for place in spec.submodule_search_locations or module]
    existing = [next(place for place in (path, *path.parents) if place.exists()) for path in paths]
    return [place for path, place in zip(paths, existing, strict=True) if place == path or place.is_file()]


@cache
def _describe(locations: tuple[Path, ...]) -> dict[str, Any]:
    commits = [git(location.parent, "rev-parse", "HEAD") for location in locations]
    dirty = [git(location.parent, "status", "--porcelain", "--", location.name) for location in locations]
    sources = [hash_files(location.parent, _files(location)) for location in locations]
    return {"commit": commits[0] or None, "dirty": any(dirty) if commits[0] else None, "source": "+".join(sources)}


@cache
def _imported(location: Path) -> frozenset[str]:
    """Return the top-level names that the files of a package import."""
    names: set[str] = set()
    for file in _files(location):
        try:
            with warnings.catch_warnings(action="ignore"):  # an escape such as \d in a file of the user's
                tree = ast.parse(read_stored(file))
        except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: nested too deeply
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names |= _first_parts(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names |= _first_parts([node.module])
    return frozenset(names)


def _first_parts(names: Iterable[str]) -> set[str]:
    return {name.partition(".")[0] for name in names}


def _files(location: Path) -> list[Path]:
    found = [location] if location.is_file() else []
    for folder, folders, names in os.walk(location):
        # What is installed inside, as in a virtual environment, is no part of a package.
        folders[:] = [name for name in folders if name not in INSTALLED and not name.startswith(".")]
        found += [Path(folder, name) for name in names if name.endswith(".py")]
    return sorted(found)
