"""Describes the packages that a job's config names, beside our own.

What the user has written is described by a hash and its git state, what is installed by its version.
"""

import ast
import sys
import sysconfig
from collections.abc import Iterable
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
        location = _location(name)
        if name in described or name in PROGRAM or location is None:
            continue
        if _is_installed(location):
            described |= _installed_version(name)
        else:
            described[name] = _describe(location)
            # Of what it imports, only the user's own code is described: the list of installed packages has the rest.
            names |= {other for other in _imported(location) if _is_own(other)} - described.keys()
    return dict(sorted(described.items()))


def write_uncommitted_changes(folder: Path, config: dict[str, Any]) -> None:
    """Write the `git diff` of each of the user's own packages that differs from its commit into the job folder."""
    for name, package in package_versions(config).items():
        location = _location(name)
        if package.get("dirty") and location is not None and not location.is_relative_to(SOURCE):
            changes = git(location.parent, "diff", "HEAD", "--", location.name)
            write_atomically(folder / ENVIRONMENT / f"{name}.diff", changes + "\n", sync=False)


def _is_own(name: str) -> bool:
    location = _location(name)
    return location is not None and not _is_installed(location)


def _is_installed(location: Path) -> bool:
    if location.is_relative_to(STANDARD_LIBRARY) or not INSTALLED.isdisjoint(location.parts):
        return True
    return location.name in _installed_into(location.parent)


@cache
def _installed_into(folder: Path) -> frozenset[str]:
    """Return the packages and modules that an installer has put into a folder, as `pip install --target` does.

    Its RECORD lists them. What was installed as editable has none beside its source.
    """
    content = (_read(record).decode(errors="surrogateescape") for record in folder.glob("*.dist-info/RECORD"))
    paths = (line.rsplit(",", 2)[0].strip('"') for text in content for line in text.splitlines())
    return frozenset(path.partition("/")[0] for path in paths)


@cache
def _installed_version(name: str) -> dict[str, dict[str, Any]]:
    try:
        return {name: {"version": version(name)}}
    except (PackageNotFoundError, ValueError):  # Python's own, of a distribution with another name, or not in UTF-8
        return {}


def _location(name: str) -> Path | None:
    """Return a package's folder or a module's file; None if it can't be found, or is built into Python."""
    try:
        spec = find_spec(name)
    except (ImportError, ValueError):
        return None
    if spec is None:
        return None
    folders = list(spec.submodule_search_locations or [])
    place = folders[0] if folders else spec.origin if spec.has_location else None
    return Path(place).resolve() if place else None


@cache
def _describe(location: Path) -> dict[str, Any]:
    commit = git(location.parent, "rev-parse", "HEAD")
    dirty = bool(git(location.parent, "status", "--porcelain", "--", location.name)) if commit else None
    source = hash_files(location.parent, _files(location))
    return {"commit": commit or None, "dirty": dirty, "source": source}


@cache
def _imported(location: Path) -> frozenset[str]:
    """Return the top-level names that the files of a package import."""
    names: set[str] = set()
    for file in _files(location):
        try:
            tree = ast.parse(_read(file))
        except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two: nested too deeply
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
    return sorted(location.rglob("*.py")) if location.is_dir() else [location]


def _read(file: Path) -> bytes:
    try:
        return read_stored(file)
    except OSError:
        return b""
