"""Hydra's options, where its parser takes what can't be meant, or what other code that reads the options would miss."""

import argparse
from collections.abc import Sequence
from typing import Any

from hydra._internal.utils import get_args_parser

from mnist_resnet.errors import UsageError


class _Given(argparse.Namespace):
    """What is given: of an option that is given twice, a plain namespace drops the first value."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(getattr(self, name, None), str):
            others = ", and hydra.searchpath=[…] for others" if name == "config_dir" else ""
            raise UsageError(f"--{name.replace('_', '-')}: given more than once; give one{others}")
        super().__setattr__(name, value)


def check_options(arguments: Sequence[str]) -> None:
    """Check that each option is given at most once, and with its whole name.

    Raises:
        UsageError: one isn't.
    """
    parser = get_args_parser()
    parser.allow_abbrev = False
    _, unknown = parser.parse_known_args(arguments, _Given())
    if options := [argument for argument in unknown if argument.startswith("--")]:
        parser.error(f"unrecognized arguments: {options[0]}")
