"""Refuses defaults lists and package lines that Hydra would read in another way than they look, or in silence."""

import re
from collections.abc import Collection, Iterable
from typing import Any

from omegaconf import DictConfig

from mnist_resnet.config.config_files import ConfigFile, config_files
from mnist_resnet.config.metric import is_image_classifier
from mnist_resnet.config.schema import Config, JobConfig
from mnist_resnet.config.typed_overrides import typed_overrides
from mnist_resnet.errors import UsageError

NAME = re.compile(r"[\w./-]+")
"""What may be a choice's name."""

NO_SPACE = re.compile(r"((?:\w+ )?[\w@./-]+) ?:(\S+)")
"""An entry that YAML reads as text, as no space follows the colon."""

PACKAGE_LINE = re.compile(r"#\s*@package\b")
"""What is meant to be a package line, wherever it is; in a longer text of YAML it would be indented."""

NEEDED = [name for name in Config.model_fields if name not in {*JobConfig.model_fields, "seed", "seeds", "scale"}]
"""Config groups of the image classifier, each with exactly one choice."""

PLUGINS = ("hydra/launcher", "hydra/sweeper")
"""Config groups that are chosen once for the whole sweep."""

NEEDED_BY_HYDRA = (
    *PLUGINS,
    *("hydra/job_logging", "hydra/hydra_logging", "hydra/help", "hydra/hydra_help", "hydra/output"),
)
"""Hydra's own config groups, each with exactly one choice, which can't be swept."""


def refuse_ignored_choices(composed: DictConfig) -> None:
    """Check the defaults lists of the files that a config was composed from.

    Args:
        composed: composed config, including Hydra's own node.

    Raises:
        UsageError: a file chooses twice in one group, of which Hydra 1.3 takes the first and Hydra 1.4 the last; or it
            chooses a launcher or sweeper, or in another of Hydra's groups for which `conf/config.yaml` has a choice:
            with Hydra 1.3 that one counts, with Hydra 1.4 the file's.
    """
    files = [*config_files(composed)]
    main = [file for file in files if "/" not in file.name]
    ours = {_group(key): choice for file in main for key, choice in file.defaults if key.startswith("override ")}
    of_hydra = typed_overrides(composed, "hydra")
    typed = {override.partition("=")[0] for override in of_hydra}
    needed = NEEDED if is_image_classifier(composed) else []
    refuse_no_choice([*of_hydra, *typed_overrides(composed, "task")], [*needed, *NEEDED_BY_HYDRA])
    for file in files[len(main) :]:
        refuse_faulty_defaults(file, [str(group) for group in composed.hydra.runtime.choices], needed)
        for key, choice in file.defaults:
            group = _group(key)
            if group in ours and group not in typed and choice != ours[group]:
                where = " of a sweep (-m)" if group in PLUGINS else ""
                raise UsageError(
                    f"{group}={choice}: set in {file.name}, where it has no effect; give it on the command line{where}"
                )


def refuse_faulty_defaults(file: ConfigFile, groups: Collection[str], needed: Collection[str]) -> None:
    """Check what a file chooses, without the rest of the config.

    Args:
        file: a config file of a group.
        groups: the config groups that have defaults.
        needed: those of them that have exactly one choice.

    Raises:
        UsageError: an entry is no choice, or one that only one version of Hydra takes; a group is chosen twice, or
            outside of the defaults list, or has no choice or several where it needs one; or the package is named twice,
            or below the file's first lines.
    """
    _refuse_ignored_package_line(file)
    seen: dict[str, str] = {}
    for key, choice in file.defaults:
        _refuse_faulty_entry(file.name, key, choice)
        _refuse_second_choice(file, key, choice, needed)
        group = _group(key)
        if group in needed and not _is_one(choice):
            entry = f"{key}: " + (f"[{', '.join(map(str, choice))}]" if isinstance(choice, list) else "")
            raise UsageError(
                f"{file.name}: '{entry.strip()}' in defaults: {group} needs one choice; write '{key}: CHOICE'"
            )
        if key.startswith("override ") and group == file.name.rpartition("/")[0]:
            raise UsageError(
                f"{file.name}: '{key}: {choice}' would replace this file itself; to inherit the other write '{choice}'"
            )
        if key and group in seen:
            raise UsageError(f"{file.name}: '{key}' is given twice, with {seen[group]} and {choice}; keep one")
        seen[group] = choice
    for group in groups:
        choice = file.content.get(group) if isinstance(file.content, dict) and not file.package else None
        if isinstance(choice, str) and NAME.fullmatch(choice):
            raise UsageError(
                f"{file.name}: '{group}: {choice}' would replace all keys of {group}; write 'override /{group}: "
                f"{choice}' in its defaults list"
            )


def refuse_no_choice(overrides: Iterable[str], needed: Collection[str]) -> None:
    """Check that the command line leaves one choice in each group that needs one.

    Args:
        overrides: as typed.
        needed: see `refuse_faulty_defaults`.

    Raises:
        UsageError: it takes away a group's choice, or gives several that Hydra would merge into one node.
    """
    for override in overrides:
        key, _, choice = override.partition("=")
        if key.lstrip("~") in needed and key.startswith("~"):
            raise UsageError(f"{override}: {key[1:]} needs one choice; write {key[1:]}=CHOICE")
        if key in needed and choice.startswith("[") and "," in choice:
            levels = choice.strip("[]").replace(" ", "")
            cure = f"write {key}=CHOICE" if key in NEEDED_BY_HYDRA else f"a sweep over several is -m {key}={levels}"
            raise UsageError(f"{override}: {key} needs one choice; {cure}")


def _refuse_ignored_package_line(file: ConfigFile) -> None:
    lines = [line for line in file.text.splitlines() if PACKAGE_LINE.match(line)]
    if len(lines) > 1:
        raise UsageError(f"{file.name}: '{lines[0]}' and '{lines[1]}': Hydra takes one package a file; keep one line")
    if lines and lines[0] not in file.header:
        raise UsageError(f"{file.name}: '{lines[0]}': Hydra doesn't read it there; make it the first line")


def _is_one(choice: Any) -> bool:
    return len(choice) == 1 if isinstance(choice, list) else choice is not None


def _refuse_faulty_entry(file: str, key: str, choice: Any) -> None:
    entry = f"{key}: {choice}" if key else str(choice)
    joined = NO_SPACE.fullmatch(entry) if not key else None
    if joined:
        raise UsageError(
            f"{file}: '{entry}' in defaults: write '{joined[1]}: {joined[2]}', with a space after the colon"
        )
    listed = choice if key and isinstance(choice, list) else [choice]
    if not all(isinstance(one, str) or (key and one is None) for one in listed):
        raise UsageError(
            f"{file}: '{entry}' in defaults: must be 'override /GROUP: CHOICE', or name a file of the same folder"
        )
    if "\\" in entry or ".." in [part for path in [*key.split(), *map(str, listed)] for part in path.split("/")]:
        raise UsageError(
            f"{file}: '{entry}' in defaults: a path has neither .. nor \\; write it from the config folder, as in "
            f"/model/lean"
        )
    if {"optional", "override"} <= {*key.split()}:
        raise UsageError(f"{file}: '{entry}' in defaults: leave out optional, what is replaced exists")


def _refuse_second_choice(file: ConfigFile, key: str, choice: Any, needed: Collection[str]) -> None:
    """Reject a file that Hydra would merge into the chosen one of its group, or put one node deeper."""
    path = f"{key}/{choice}" if key else str(choice)
    group, _, name = path.strip("/").rpartition("/")
    if not path.startswith("/") or "@" in path or group not in needed:
        return
    entry = f"{key}: {choice}" if key else path
    if file.package == group:
        cure = f"would be put into {group}.{group}; write '{path}@_here_'"
    elif not file.package and not key:  # with a key, Hydra itself refuses it
        cure = f"would be mixed with the {group} that is chosen; write 'override /{group}: {name}'"
    else:
        return
    raise UsageError(f"{file.name}: '{entry}' in defaults {cure}")


def _group(key: str) -> str:
    return key.removeprefix("override ").lstrip(" /")
