"""Describes the config folders that a job was composed from, ours and the user's, as its code is described."""

import os
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from mnist_resnet.config.config_files import file_folders
from mnist_resnet.job_folder import ENVIRONMENT, write_atomically
from mnist_resnet.jobs.environment import SOURCE, git, hash_files

ConfigFolders = dict[str, dict[str, Any]]
"""By a folder's path: `groups`, the config groups whose files are hashed; `commit`, `dirty` and `source`, the hash."""

MAX_FILES = 10_000
"""Files in the groups of one folder; further ones are left out of its hash."""


def config_folders(composed: DictConfig) -> ConfigFolders:
    """Describe the folders in which Hydra looked for the files of a config.

    A folder is described once for a process: that is what the process composes from, whatever is edited later.

    Args:
        composed: Config with Hydra's own node, which names the folders and the choices.
    """
    groups = sorted({str(group).partition("@")[0].partition("/")[0] for group in composed.hydra.runtime.choices})
    return _described((str(folder), tuple(groups)) for folder in file_folders(composed))


def as_they_are(folders: ConfigFolders | None) -> ConfigFolders:
    """Describe folders as they are on this machine now; those that it doesn't have are left out."""
    return _described((path, tuple(map(str, folder.get("groups") or ()))) for path, folder in (folders or {}).items())


def by_name(folders: ConfigFolders | None) -> dict[str, dict[str, Any]]:
    """Return commit, whether files differ from it, and hash of each folder by a name that is short and not private."""
    keys = ("commit", "dirty", "source")
    return {_name(Path(path)): {key: folder.get(key) for key in keys} for path, folder in (folders or {}).items()}


def write_uncommitted_configs(job_folder: Path, folders: ConfigFolders | None) -> None:
    """Write the `git diff` of each of the user's config folders that differs from its commit into the job folder."""
    for path, folder in as_they_are(folders).items():
        if folder["dirty"] and not Path(path).is_relative_to(SOURCE):
            changes = git(Path(path), "diff", "HEAD", "--", ".")
            file = job_folder / ENVIRONMENT / f"{_name(Path(path)).replace('/', '_')}.diff"
            write_atomically(file, os.fsencode(changes + "\n"), sync=False)


def _described(folders: Iterable[tuple[str, tuple[str, ...]]]) -> ConfigFolders:
    return {
        path: {"groups": list(groups), **_git_state(path), "source": _hash(path, groups)}
        for path, groups in folders
        if Path(path).is_dir()
    }


@cache
def _git_state(path: str) -> Mapping[str, Any]:
    commit = git(Path(path), "rev-parse", "HEAD")
    return {
        "commit": commit or None,
        "dirty": bool(git(Path(path), "status", "--porcelain", "--", ".")) if commit else None,
    }


@cache
def _hash(path: str, groups: tuple[str, ...]) -> str:
    folder = Path(path)
    found = [*folder.glob("*.yaml"), *islice(_files(folder, groups), MAX_FILES)]
    return hash_files(folder, sorted(found))


def _files(folder: Path, groups: Iterable[str]) -> Iterator[Path]:
    """Yield the config files in the folders of these groups; other folders may hold anything, and be large."""
    for group in groups:
        if Path(group).name != group or group == "..":
            continue  # from a sweep folder, which may come from anywhere
        for place, _, names in os.walk(folder / group):
            yield from (Path(place, name) for name in names if name.endswith(".yaml"))


def _name(folder: Path) -> str:
    if folder.is_relative_to(SOURCE):
        return str(folder.relative_to(SOURCE))
    return "/".join(folder.parts[-2:])
