"""Hydra's options that take a value: of an option that is given twice, argparse drops the first value."""

from collections.abc import Sequence

from mnist_resnet.errors import UsageError

OPTIONS = (
    ("--config-dir", "-cd"),
    ("--config-name", "-cn"),
    ("--config-path", "-cp"),
    ("--cfg", "-c"),
    ("--package", "-p"),
)
"""The spellings of each."""


def refuse_repeated_options(arguments: Sequence[str]) -> None:
    """Reject an option that is given several times.

    Raises:
        UsageError: one is.
    """
    given = [argument.partition("=")[0] for argument in arguments]
    for names in OPTIONS:
        times = sum(map(given.count, names))
        if times > 1:
            others = ", and hydra.searchpath=[…] for others" if names[0] == "--config-dir" else ""
            raise UsageError(f"{names[0]}: given {times} times; give one{others}")
