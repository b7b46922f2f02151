"""Whether data may be downloaded: a dry run checks what is there and fetches nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from mnist_resnet.errors import UsageError

_allowed = ContextVar("downloads_allowed", default=True)


class DownloadNeeded(UsageError):
    """Raised where data would have to be downloaded and may not be."""


@contextmanager
def downloads(allowed: bool) -> Iterator[None]:
    """Allow or forbid downloads inside of this context."""
    token = _allowed.set(allowed)
    try:
        yield
    finally:
        _allowed.reset(token)


def check_download_allowed() -> None:
    """Check that data may be downloaded here.

    Raises:
        DownloadNeeded: it may not.
    """
    if not _allowed.get():
        raise DownloadNeeded("the data must be downloaded first")
