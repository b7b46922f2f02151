"""The config files that a config was composed from, to name the one that an error is about."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig

GLOBAL_PACKAGE = re.compile(r"^\s*#\s*@package\s+_global_\s*$", re.MULTILINE)
"""The line by which a file of a config group sets keys of the whole config."""


@dataclass(frozen=True)
class ConfigFile:
    """A file in one of the config folders.

    Attributes:
        name: path inside its config folder, such as `experiment/lean.yaml`.
        path: where it is on disk.
    """

    name: str
    path: Path

    @cached_property
    def text(self) -> str:
        """The file's text."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def content(self) -> Any:
        """What YAML reads from the file, which its errors name: it may have been edited since Hydra read it."""
        with self.path.open(encoding="utf-8") as file:
            return yaml.safe_load(file)

    @property
    def defaults(self) -> Iterator[tuple[str, Any]]:
        """The entries of the file's defaults list: key and choice, or an empty key and a file of the same folder."""
        listed = self.content.get("defaults") if isinstance(self.content, Mapping) else None
        for entry in listed if isinstance(listed, list) else []:
            if isinstance(entry, Mapping):
                yield from ((str(key), choice) for key, choice in entry.items())
            elif entry != "_self_":
                yield "", entry

    def sets(self, key: str) -> bool:
        """Return whether the file gives a value to a key of the whole config, such as `hydra.sweep.dir`."""
        if "/" in self.name and not GLOBAL_PACKAGE.search(self.text):
            return False
        node = self.content
        for part in key.split("."):
            if not isinstance(node, dict) or part not in node:
                return False
            node = node[part]
        return True


def file_folders(composed: DictConfig) -> list[Path]:
    """Return the folders in which Hydra looked for config files, in that order; those in packages are left out."""
    sources = composed.hydra.runtime.config_sources
    return [Path(source.path).absolute() for source in sources if source.schema == "file"]


def config_files(composed: DictConfig) -> Iterator[ConfigFile]:
    """Yield the files that a composed config consists of: the main one, each choice, and those that these inherit.

    Args:
        composed: composed config, including Hydra's own node, which names folders and choices.
    """
    folders = file_folders(composed)
    yield from with_inherited(folders, "", str(composed.hydra.job.config_name))
    for group, choices in composed.hydra.runtime.choices.items():
        for choice in choices if isinstance(choices, list) else [choices]:
            if choice is not None:
                yield from with_inherited(folders, str(group).partition("@")[0], str(choice))


def file_that_sets(composed: DictConfig, key: str) -> str | None:
    """Return the name of a chosen file that gives a value to `key`, None if only the command line does."""
    return next((file.name for file in config_files(composed) if "/" in file.name and file.sets(key)), None)


def with_inherited(folders: Sequence[Path], group: str, choice: str) -> Iterator[ConfigFile]:
    """Yield the file of a choice in the first of these folders that has it, then those that it inherits."""
    name = f"{group}/{choice.removesuffix('.yaml')}.yaml".lstrip("/")
    path = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if path is None:
        return  # one of Hydra's own, or of a plugin's
    file = ConfigFile(name, path)
    yield file
    for key, inherited in file.defaults if group else ():
        if not key:
            yield from with_inherited(folders, "" if inherited.startswith("/") else group, inherited)
