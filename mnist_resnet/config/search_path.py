"""Hydra's key `hydra.searchpath`, which it reads before the others."""

from collections.abc import Iterable

from mnist_resnet.errors import UsageError


def refuse_added_search_path(arguments: Iterable[str]) -> None:
    """Reject a search path that is added, as Hydra stores it then, and looks into none of its folders.

    Raises:
        UsageError: it is.
    """
    for argument in arguments:
        written = argument.lstrip("+")
        if written != argument and written.startswith("hydra.searchpath="):
            raise UsageError(f"{argument}: Hydra reads it without a + only; write {written}")
