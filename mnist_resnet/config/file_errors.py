"""Explains faults in config files in one line that names the file and what would be right."""

import re
import sys
from collections.abc import Callable, Collection, Iterable
from datetime import date
from pathlib import Path

from yaml import MarkedYAMLError
from yaml.reader import ReaderError

from mnist_resnet.config.config_files import ConfigFile
from mnist_resnet.config.signature import flatten
from mnist_resnet.config.validation_errors import suggest_option

YAML_CURES = [
    (r"character '\\t'", "holds a tab; indent with spaces"),
    (r"mapping values are not allowed", "a second ':' in one line, or a wrong indent; give each key its own line"),
    (r"found duplicate key (.*)", "{0} is given twice; keep one"),
    (r"character '(.)' that cannot start", "a value can't start with {0}; quote it"),
    (r"found undefined alias '?([^']+)'?", "*{0} refers to no &{0} above; quote a value that starts with *"),
    (
        r"constructor for the tag '(?:tag:yaml.org,2002:|!)([^']+)'",
        "!{0} is a tag, which builds nothing here",
    ),
    (r"found unhashable key", "a key can't be a list or a dictionary; quote it"),
    (r"found another document", "a second document begins; keep one, without ---"),
    (r"unexpected end of stream", "a quote or a bracket is not closed"),
]
"""Regular expressions on YAML's message, and what is said instead."""

FAULTS = [
    (
        r"Invalid defaults list in '([^']+)', defaults must be a list",
        "{0}.yaml: defaults must be a list; write '- ' before each of its entries",
    ),
    (
        r"In '?([^':]+)'?: Too many keys in default item",
        "{0}.yaml: an entry of defaults has several keys; write '- ' before each of them",
    ),
    (
        r"In '([^']+)': ConfigTypeError raised while composing config: "
        r"(?:Cannot merge DictConfig with ListConfig|Cannot merge incompatible container types)",
        "{0}.yaml: is a list, or gives one to a node; must hold keys with values",
    ),
    (
        r"In '([^']+)': ConfigKeyError raised while composing config: Key '[^']+' (?:is )?not in .*?full_key: (\S+)",
        "{0}.yaml: {1}: no such key with the choices of this command",
    ),
    (r"In '([^']+)': \w+ raised while composing config: (.*?) full_key: (\S+)", "{0}.yaml: {2}: {1}"),
    (
        r"In '([^']+)': Could not load '([^']+?)\.?'",
        "{0}.yaml: {1}.yaml: no such file; defaults names files of the same folder, or 'override /GROUP: CHOICE'",
    ),
    (r"Duplicate _self_ defined in (\S+)", "{0}.yaml: _self_ is twice in defaults; keep one"),
    (
        r"In '([^']+)': Overriding hydra\.searchpath is only supported",
        "{0}.yaml: hydra.searchpath: has no effect in a chosen file; give it on the command line",
    ),
]
"""Regular expressions on Hydra's text, and the message shown instead, with the groups filled in."""

NO_MATCH = [
    r"In '([^']+)': Could not override '([^']+)'\.",
    r"In '([^']+)': Invalid Defaults List override '.*?'\. No earlier Group Default for '([^']+)'",  # Hydra 1.4
]


def yaml_fault(error: MarkedYAMLError) -> str:
    """Return the message for a file that is not YAML."""
    problem = str(error.problem).removeprefix("did not find ")  # "expected …", in the words of another parser
    mark = error.problem_mark
    if mark and problem in ("found character that cannot start any token", "found undefined alias"):
        # OmegaConf 2.4's parser leaves out which.
        rest = Path(mark.name).read_text(encoding="utf-8").splitlines()[mark.line][mark.column :]
        problem = problem.replace("character", f"character {rest[:1]!r}")
        problem = problem.replace("alias", f"alias {rest[1:].strip()!r}")
    cures = ((re.search(pattern, problem), cure) for pattern, cure in YAML_CURES)
    reason = next((cure.format(*found.groups()) for found, cure in cures if found), problem)
    return f"{mark.name}, line {mark.line + 1}: {reason}" if mark else reason


def unreadable_character(error: ReaderError) -> str:
    """Return the message for a file with a character that YAML doesn't allow, such as a null byte."""
    line = Path(error.name).read_text(encoding="utf-8")[: error.position].count("\n") + 1
    return f"{error.name}, line {line}: holds the character {chr(error.character)!r}; take it out"


def no_config(chosen: Iterable[ConfigFile]) -> str | None:
    """Return the message for a file that holds a single number, true or false; None if there is none."""
    for file in chosen:
        if isinstance(file.content, int | float):
            return f"{file.name}: holds {str(file.content).lower()} alone; must hold keys with values"
    return None


def unfit_value(chosen: Iterable[ConfigFile]) -> str | None:
    """Return the message for a value of a type that OmegaConf doesn't know, such as a set; None if there is none."""
    for file in chosen:
        for key, value in flatten(file.content).items():
            if not isinstance(value, str | int | float | bytes | date | list | None):
                return f"{file.name}: {key}: a {type(value).__name__} is no value of a config; write a list"
    return None


def circular_defaults(chosen: Iterable[ConfigFile]) -> str | None:
    """Return the message for files whose defaults lists lead back to themselves, None if there are none."""
    chosen = list(chosen)
    for file in chosen:
        for placed, choice in file.choices:
            if placed == f"{file.package}@_here_":
                again = f"{file.name}: '{placed}: {choice}' in defaults chooses this file again"
                return f"{again}; write '/{file.package}/{choice}@_here_'"
    inherited = {file.name: file.inherited for file in chosen}
    for name in inherited:
        reached = list(inherited[name])
        for other in reached:
            reached += [further for further in inherited.get(other, ()) if further not in reached]
        if name in reached:
            others = [other for other in reached if other != name]
            through = f", through {' and '.join(others)}" if others else ""
            return f"{name}: its defaults lead back to it{through}; take one of them out"
    return None


def encoding_fault(error: UnicodeDecodeError, folders: Iterable[Path]) -> str | None:
    """Return the message for a config file that is not UTF-8; None if no file in these folders is to blame."""
    for folder in folders:
        for path in sorted(path for path in folder.rglob("*.yaml") if path.is_file()):
            try:
                path.read_text(encoding="utf-8")
            except UnicodeDecodeError as found:
                if error.object[error.start : error.end] == found.object[found.start : found.end]:
                    line = found.object[: found.start].count(b"\n") + 1
                    return f"{path}, line {line}: is not UTF-8; save it in that encoding"
    return None


def defaults_fault(text: str, groups: Collection[str], chosen: Iterable[ConfigFile]) -> str | None:
    """Return the message for a fault in a file's defaults list or keys, None if Hydra's text is about something else.

    Args:
        text: Hydra's message.
        groups: the config groups that exist.
        chosen: the files that the command line chooses.
    """
    for pattern, message in FAULTS:
        if found := re.search(pattern, text):
            return message.format(*found.groups())
    for pattern in NO_MATCH:
        if found := re.search(pattern, text):
            return _no_match(found[1], found[2], groups)
    if found := re.search(r"In '([^']+)': Could not find '([^']+)/([^/']*)'", text):
        return _no_such_file(found[1], found[2], found[3], groups)
    if found := re.search(r"(?:Too many components in|Expected header format: .*got) '(@.*)'", text):
        line, name = found[1], "a config file"
        name = next((file.name for file in chosen if any(one.lstrip("# ") == line for one in file.header)), name)
        return f"{name}: '# {line}': must be # @package and one word; put a comment into a line of its own"
    if found := re.search(r"Error resolving interpolation '([^']+)', possible", text):
        entry = found[1]
        name = next(
            (file.name for file in chosen for _, choice in file.choices if entry in str(choice)), "a config file"
        )
        return f"{name}: '{entry}' in defaults: names no group that is chosen before; write the choice itself"
    if found := re.search(r"Multiple values for (\S+)\.", text):
        group = found.group(1)
        return _second_choice(lambda words: words[-1].lstrip("/") == group, chosen)
    if found := re.search(r"Unsupported keyword '([^']+)' in defaults list", text):  # Hydra 1.4
        keyword = found.group(1)
        return _second_choice(lambda words: words[0] == keyword, chosen)
    return None


def _no_match(file: str, placed: str, groups: Collection[str]) -> str:
    group, at, _ = placed.partition("@")
    inner = _below(file, group)
    if inner in groups:
        return f"{file}.yaml: 'override {inner}' lacks a slash; write 'override /{inner}: …'"
    if group in groups:
        cure = f"write 'override /{group}: …'" if at else f"write '/{group}: …' without override"
        return f"{file}.yaml: 'override /{placed}': it has no default to replace; {cure}"
    known = [name for name in groups if "/" not in name and name != "hydra"]
    return f"{file}.yaml: 'override /{group}': no such group{suggest_option(group, known)}"


def _no_such_file(file: str, group: str, choice: str, groups: Collection[str]) -> str | None:
    inner = _below(file, group)
    if inner is None or file == "hydra/config":
        return None  # it was typed
    if any(argument.lstrip("+").startswith(f"{group}=") for argument in sys.argv[1:]):
        return None  # what was typed replaces the file's choice
    replaced = inner.removeprefix("override/")
    cure = f"; to replace a choice write 'override /{replaced}: {choice}'" if replaced in groups else ""
    return f"{file}.yaml: '{inner}: {choice}': no such file {group}/{choice}.yaml{cure}"


def _second_choice(is_meant: Callable[[list[str]], bool], chosen: Iterable[ConfigFile]) -> str | None:
    for file in chosen:
        for key, choice in file.defaults:
            words = key.split()
            if words and is_meant(words) and words[0] != "override":
                group = words[-1].lstrip("/")
                return (
                    f"{file.name}: '{key}: {choice}' would be a second {group}; to replace the first write "
                    f"'override /{group}: {choice}'"
                )
    return None


def _below(file: str, group: str) -> str | None:
    """Return the group's path inside the file's own folder, None if it is somewhere else."""
    folder = file.rpartition("/")[0]
    return group.removeprefix(f"{folder}/") if folder and group.startswith(f"{folder}/") else None
