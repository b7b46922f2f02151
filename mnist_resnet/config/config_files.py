"""The config files that a config was composed from, to name the one that an error is about."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig

CONF = Path(__file__).parents[2] / "conf"

HEADER = re.compile(r"\s*#\s*@.*")
"""A line that Hydra reads; the first line of another kind ends a file's header."""

PACKAGE = re.compile(r"\s*#\s*@package\s+(\S+)\s*")
"""The line that names the node of the config to which a file's keys belong."""


@dataclass(frozen=True)
class ConfigFile:
    """A file in one of the config folders.

    Attributes:
        name: path inside its config folder, such as `experiment/lean.yaml`.
        path: where it is on disk.
        group: the group in which it is chosen, if that is not the file's folder, as for `experiment=mine/one`.
    """

    name: str
    path: Path
    group: str = ""

    @cached_property
    def text(self) -> str:
        """The file's text."""
        return self.path.read_text(encoding="utf-8")

    @cached_property
    def content(self) -> Any:
        """What YAML reads from the file, which its errors name: it may have been edited since Hydra read it."""
        return _read(self.path, self.path.stat().st_mtime_ns)

    @property
    def defaults(self) -> Iterator[tuple[str, Any]]:
        """The entries of the file's defaults list: key and choice, or an empty key and a file of the same folder."""
        listed = self.content.get("defaults") if isinstance(self.content, Mapping) else None
        for entry in listed if isinstance(listed, list) else []:
            if isinstance(entry, Mapping):
                yield from ((str(key), choice) for key, choice in entry.items())
            elif entry != "_self_":
                yield "", entry

    @property
    def choices(self) -> Iterator[tuple[str, Any]]:
        """The groups in which the defaults list chooses, as they are typed, with each choice."""
        for key, choice in self.defaults:
            if key:
                yield key.removeprefix("override ").strip(" /"), choice

    @property
    def inherited(self) -> list[str]:
        """The names of the files of config groups that the file inherits: those in its defaults list without a key."""
        group = self.name.rpartition("/")[0]
        files = [str(file).partition("@")[0] for key, file in self.defaults if not key]
        paths = [file if file.startswith("/") else f"{group}/{file}" for file in files]
        return [f"{path.strip('/').removesuffix('.yaml')}.yaml" for path in paths] if group else []

    @property
    def header(self) -> list[str]:
        """The lines in which Hydra looks for a package."""
        return [*takewhile(lambda line: not line.strip() or HEADER.fullmatch(line), self.text.splitlines())]

    @cached_property
    def package(self) -> str:
        """The node to which the file's keys belong, such as `optim`; empty for the whole config."""
        named = [found[1] for line in self.header if (found := PACKAGE.fullmatch(line))]
        package = named[-1] if named else (self.group or self.name.rpartition("/")[0]).replace("/", ".")
        return "" if package == "_global_" else package

    @property
    def _placed(self) -> Iterator[str]:
        """The nodes inside of the package in which the defaults list places a choice, as in `/model@teacher: lean`."""
        yield from (entry.partition("@")[2] for entry, _ in self.defaults if "@" in entry)

    def sets(self, key: str) -> bool:
        """Return whether the file gives a value to a key of the whole config, such as `hydra.sweep.dir`."""
        within = f"{self.package}." if self.package else ""
        if key == self.package or any(f"{key}.".startswith(f"{within}{node}.") for node in self._placed):
            return True
        if not key.startswith(within) or not isinstance(self.content, dict):
            return False
        node = self.content
        if not within and key in map(str, node):  # with a dot in it, or a number
            return True
        for part in key.removeprefix(within).split("."):
            if isinstance(node, list) and part.isdecimal() and int(part) < len(node):
                node = node[int(part)]
            elif isinstance(node, dict) and part in node:
                node = node[part]
            else:
                return False
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
    """Return the name of a chosen file for the whole config that sets `key`, None if only the command line does."""
    files = (file for file in config_files(composed) if "/" in file.name and not file.package)
    return next((file.name for file in files if file.sets(key)), None)


def own_file_that_sets(composed: DictConfig, key: str) -> str | None:
    """Return the name of a file outside of `conf/` that sets `key`, None if there is none."""
    files = [file for file in config_files(composed) if CONF not in file.path.parents and file.sets(key)]
    return next((file.name for file in sorted(files, key=lambda file: file.package != "")), None)


def with_inherited(folders: Sequence[Path], group: str, choice: str) -> Iterator[ConfigFile]:
    """Yield the file of a choice in the first of these folders that has it, then those that it inherits, each once."""
    names = [f"{group}/{choice.removesuffix('.yaml')}.yaml".lstrip("/")]
    for name in names:
        path = next((folder / name for folder in folders if (folder / name).is_file()), None)
        if path is not None:  # else it is one of Hydra's own, or of a plugin's
            file = ConfigFile(name, path, group if name == names[0] else "")
            yield file
            names += [inherited for inherited in file.inherited if inherited not in names]


@lru_cache(maxsize=1000)
def _read(path: Path, changed: int) -> Any:  # noqa: ARG001 (tells a file from an edited one)
    """Read a YAML file; each is asked for several times, and parsing takes most of the time of a check."""
    with path.open(encoding="utf-8") as file:
        return yaml.safe_load(file)
