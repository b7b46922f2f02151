"""Hydra's options that take a value: of an option that is given twice, argparse drops the first value."""

import argparse
from collections.abc import Sequence
from typing import Any

from hydra._internal.utils import get_args_parser

from mnist_resnet.errors import UsageError


class _Given(argparse.Namespace):
    """What is given. It is filled by Hydra's own parser, which knows all spellings of an option."""

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(getattr(self, name, None), str):
            others = ", and hydra.searchpath=[…] for others" if name == "config_dir" else ""
            raise UsageError(f"--{name.replace('_', '-')}: given more than once; give one{others}")
        super().__setattr__(name, value)


def refuse_repeated_options(arguments: Sequence[str]) -> None:
    """Reject an option that is given several times.

    Raises:
        UsageError: one is, or an option has no such value.
    """
    get_args_parser().parse_known_args(arguments, _Given())
