"""Refuses values in config files that YAML 1.1 takes for something else than they look like.

It reads `2:30:00` as 9000 (base 60), `017` as 15 (octal) and `no` as false; Hydra's command line reads them as written.
"""

import re
from collections.abc import Iterator
from functools import lru_cache

import yaml
from omegaconf import DictConfig

from mnist_resnet.config.config_files import config_files
from mnist_resnet.errors import UsageError

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""PyYAML's C implementation if available."""

AS_WRITTEN = {
    "tag:yaml.org,2002:bool": re.compile(r"true|false", re.IGNORECASE),
    "tag:yaml.org,2002:int": re.compile(r"[-+]?(0|[1-9]\d*|0x[\da-fA-F]+|0b[01]+)"),
    "tag:yaml.org,2002:float": re.compile(r"[^_:]+"),
}
"""Forms of each type's values that mean the same to everybody."""


def refuse_ambiguous_values(composed: DictConfig) -> None:
    """Check the files that a composed config was made from.

    Raises:
        UsageError: a value or key in one of them is read as something else than it looks like.
    """
    for file in config_files(composed):
        if file.text.startswith("\ufeff"):
            raise UsageError(f"{file.path}, line 1: begins with a byte order mark; save it as UTF-8 without one")
        for line, written in _ambiguous(file.text):
            read = str(yaml.safe_load(written)).lower()
            raise UsageError(
                f"{file.path}, line {line}: YAML reads {written} as {read}; write '{written}' in quotes, or {read}"
            )


@lru_cache(maxsize=1000)
def _ambiguous(text: str) -> list[tuple[int, str]]:
    """Return line and text of each ambiguous value or key."""
    document = yaml.compose(text, Loader=LOADER)
    scalars = _scalars(document) if document is not None else iter(())
    return [
        (scalar.start_mark.line + 1, scalar.value)
        for scalar in scalars
        if not scalar.style and scalar.tag in AS_WRITTEN and not AS_WRITTEN[scalar.tag].fullmatch(scalar.value)
    ]


def _scalars(node: yaml.Node) -> Iterator[yaml.ScalarNode]:
    if isinstance(node, yaml.ScalarNode):
        yield node
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _scalars(key)
            yield from _scalars(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _scalars(item)
