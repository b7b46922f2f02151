"""Hydra's option `--config-name`: which of the config folders' files it may not name."""

from collections.abc import Iterator, Sequence

from mnist_resnet.config.config_files import CONF
from mnist_resnet.errors import UsageError

OPTIONS = ("--config-name", "-cn")

ADDED = ("sweep",)
"""Groups without a default, in which a choice is added."""


def refuse_choice_as_config(arguments: Sequence[str]) -> None:
    """Reject the file of a choice as main config: it is only a part of one.

    Raises:
        UsageError: a choice is named.
    """
    for name in _named(arguments):
        group, slash, choice = name.rpartition("/")
        if slash and (CONF / group).is_dir():
            typed = f"{'+' * (group in ADDED)}{group}={choice.removesuffix('.yaml')}"
            raise UsageError(f"--config-name {name}: is a choice of the group {group}; write {typed}")


def _named(arguments: Sequence[str]) -> Iterator[str]:
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        option, equals, joined = argument.partition("=")
        if option in OPTIONS:
            yield joined if equals else following
