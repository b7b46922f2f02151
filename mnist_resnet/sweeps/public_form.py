"""What a record keeps of a sweep's files: nothing that names the user's paths or machine."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException

from mnist_resnet.config.printed_command import hydra_name, hydra_path

PRIVATE_KEYS = {"host", "pid", "traceback", "config_folders"}
"""Keys that name the user's paths or machine and are irrelevant to the results."""
NAMED_BY_USERS = {"swept", "choices", "last", "best"}
"""Keys of nodes whose own keys are those of configs and metrics, which may be called `host`."""
FOLDERS = ("data.root", "hydra.run.dir", "hydra.sweep.dir")
"""Keys whose values are folders of the user's."""
PRIVATE_OVERRIDE = re.compile(rf"\+{{0,2}}({'|'.join(map(re.escape, FOLDERS))})=")
NODE_OVERRIDE = re.compile(r"(\+{0,2})(data|hydra|hydra\.run|hydra\.sweep)=.*\{", re.DOTALL)
"""An override of a whole node, which may hold a private key."""
CONFIG_FOLDER = re.compile(r"--config-[dp][a-z]*|-cd|-cp")
"""Options of a command line that take a config folder."""
SEARCH_PATH = re.compile(r"\+{0,2}hydra\.searchpath=")
"""An override that adds config folders."""
GAP = "CONFIG_DIR"
"""Stands for a config folder that whoever pastes a command has to fill in."""
PROCESS = re.compile(r"process \d+ on \S+")
"""A process and its machine, as the reasons of crashes name them."""


def public(content: Any) -> Any:
    """Return a copy of what a sweep's JSON file holds, or of part of it, without what is private.

    Of a job's config only the data folder is private. All else may be signed, and a job can't go on without it.
    """
    if isinstance(content, dict):
        return {key: _public_value(key, value) for key, value in content.items()}
    if isinstance(content, list):
        return [
            public(_public_node(value) if isinstance(value, str) else value)
            for value in content
            if not PRIVATE_OVERRIDE.match(str(value))
        ]
    return PROCESS.sub("its process", content) if isinstance(content, str) else content


def public_command(words: Sequence[str]) -> list[str]:
    """Return a command line without what is private, and with a gap for each config folder."""
    program, *arguments = words
    shown = [Path(program).name]
    for before, word in zip(words, arguments, strict=False):
        option, equals, value = word.partition("=")
        if CONFIG_FOLDER.fullmatch(option) and Path(value).is_absolute():
            shown.append(f"{option}{equals}{GAP}")
        elif CONFIG_FOLDER.fullmatch(before) and Path(word).is_absolute():
            shown.append(GAP)
        elif not PRIVATE_OVERRIDE.match(word):
            shown.append(_public_search_path(word) if SEARCH_PATH.match(word) else _public_node(word))
    return shown


def _public_node(override: str) -> str:
    """Return an override such as `+data={root:/home/me,verify:false}` without its private keys; others as they are."""
    if not (node := NODE_OVERRIDE.match(override)):
        return override
    try:
        value = OverridesParser.create().parse_override(override).value()
    except HydraException:
        value = None
    kept = _without_private(value, node[2]) if isinstance(value, dict) else {}
    return override if kept == value else f"{node[1]}{node[2]}={_in_grammar(kept)}"


def _without_private(value: Any, key: str) -> Any:
    if not isinstance(value, dict):
        return value
    paths = {name: f"{key}.{name}" for name in value}
    return {
        name: _without_private(value[name], path)
        for name, path in paths.items()
        if path not in (*FOLDERS, "hydra.searchpath")
    }


def _in_grammar(value: Any) -> str:
    if isinstance(value, dict):
        return f"{{{','.join(f'{name}:{_in_grammar(content)}' for name, content in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_in_grammar, value))}]"
    return hydra_name(value) if isinstance(value, str) else json.dumps(value)


def _public_search_path(override: str) -> str:
    try:
        paths = OverridesParser.create().parse_override(override).value()
    except HydraException:
        paths = None
    public_paths = [_public_path(str(path)) for path in paths] if isinstance(paths, list) else [f"file://{GAP}"]
    return f"{override.partition('=')[0]}=[{','.join(public_paths)}]"


def _public_path(path: str) -> str:
    return f"file://{GAP}" if path.removeprefix("file://").startswith("/") else hydra_path(path)


def _public_value(key: str, value: Any) -> Any:
    if key == "config" and isinstance(value, dict):
        data = value.get("data")
        return value | {"data": data | {"root": None}} if isinstance(data, dict) and "root" in data else value
    if key in NAMED_BY_USERS and isinstance(value, dict):
        return {inner_key: inner for inner_key, inner in value.items() if inner_key != "data.root"}
    return None if key in PRIVATE_KEYS else public(value)
