"""Checks the folder that a record, or the sweep of one, is to be written to, before anything is written."""

from pathlib import Path

from mnist_resnet.attempts import ATTEMPTS
from mnist_resnet.config.names import RECORDS
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import LAUNCHES, RESULT, SEARCH, SWEEP


def check_for_record(record: Path, sweep: Path) -> None:
    """Check that `record` is no folder in which jobs run, and lies in none.

    Raises:
        UsageError: it is or does.
    """
    if record.resolve() == sweep.resolve():
        raise UsageError(f"{record}: is the sweep itself; choose another --output")
    if (record / LAUNCHES).exists() or any(record.glob(f"*/{ATTEMPTS}")):
        raise UsageError(f"{record}: jobs run there, so it is no record; choose another --output")
    _refuse_nested(record)


def check_for_sweep(folder: Path) -> None:
    """Check that the sweep in `folder` will lie in no record, no other sweep, and not among the records.

    Raises:
        UsageError: it would.
    """
    if is_record(folder):
        raise UsageError(f"{folder}: is in a folder of records, where no job may run; choose another --output")
    _refuse_nested(folder)


def is_record(folder: Path) -> bool:
    """Return whether a folder lies in a folder of records."""
    return folder.resolve().parent.name == RECORDS


def _refuse_nested(folder: Path) -> None:
    for parent in folder.resolve().parents:
        if any((parent / name).exists() for name in (SWEEP, SEARCH, RESULT)):
            raise UsageError(f"{folder}: is in {parent}, which holds a sweep, job or record; choose another --output")
