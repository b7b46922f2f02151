"""What a record keeps of a sweep's files: nothing that names the user's paths or machine."""

import re
from typing import Any

PRIVATE_KEYS = {"host", "pid", "traceback", "config_folders"}
"""Keys that name the user's paths or machine and are irrelevant to the results."""
PATH_ARGUMENTS = ("data.root=", "hydra.run.dir=", "hydra.sweep.dir=", "--config-dir=", "--config-path=")
"""Prefixes of command-line arguments that contain a path."""
PROCESS = re.compile(r"process \d+ on \S+")
"""A process and its machine, as the reasons of crashes name them."""


def public(content: Any) -> Any:
    """Return a copy of what a sweep's JSON file holds, or of part of it, without what is private.

    Of a job's config only the data folder is private. All else may be signed, and a job can't go on without it.
    """
    if isinstance(content, dict):
        kept = {key: value for key, value in content.items() if key != "data.root"}
        return {key: _public_value(key, value) for key, value in kept.items()}
    if isinstance(content, list):
        return [public(value) for value in content if not str(value).startswith(PATH_ARGUMENTS)]
    return PROCESS.sub("its process", content) if isinstance(content, str) else content


def _public_value(key: str, value: Any) -> Any:
    if key == "config" and isinstance(value, dict):
        data = value.get("data")
        return value | {"data": data | {"root": None}} if isinstance(data, dict) and "root" in data else value
    return None if key in PRIVATE_KEYS else public(value)
