"""Reads overrides whose values are written as Python writes them, which is what W&B's agent passes."""

import ast
import re
from collections.abc import Iterator, Sequence

from mnist_resnet.config.signature import flatten

OVERRIDE = re.compile(r"([+~]{0,2}[\w./@]+)=(None|null|\{.*\})", re.DOTALL)
"""An override whose value may be Python's None or dictionary."""
UNSET_GROUPS = ("experiment", "debug")
"""Config groups in which nothing is chosen by default. Hydra takes no null there, which leaves it at that."""
AGENT_KEYS = ("_wandb",)
"""Keys that W&B's agent adds for itself."""


def from_python(arguments: Sequence[str]) -> list[str]:
    """Return command-line arguments in Hydra's syntax: null for None, and an override for each key of a dictionary."""
    return [translated for argument in arguments for translated in _translate(argument)]


def _translate(argument: str) -> Iterator[str]:
    found = OVERRIDE.fullmatch(argument)
    if found is None:
        yield argument
        return
    key, value = found.groups()
    if value in ("None", "null"):
        if key not in UNSET_GROUPS:
            yield f"{key}=null"
        return
    try:
        content = ast.literal_eval(value)
    except (ValueError, SyntaxError):
        yield argument  # in Hydra's own syntax, which has no quotes around keys
        return
    if not isinstance(content, dict) or not _has_text_keys(content):
        yield argument  # whole-number keys are the same in Hydra's syntax
        return
    if key not in AGENT_KEYS:
        for name, level in flatten({str(name): level for name, level in content.items()}, f"{key}.").items():
            yield f"{name}={_hydra_value(level)}"


def _has_text_keys(content: object) -> bool:
    if not isinstance(content, dict):
        return True
    return all(isinstance(name, str) and _has_text_keys(inner) for name, inner in content.items())


def _hydra_value(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return f"[{','.join(map(_hydra_value, value))}]"
    if isinstance(value, str) and not re.fullmatch(r"[\w.+-]*", value):
        escaped = value.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return str(value)
