"""Reads a job's `result.json`, without PyTorch."""

from pathlib import Path
from typing import Any

from mnist_resnet.job_folder import RESULT, MissingFile, Status, UnreadableFolder, check_job, read_json


def read_result(folder: Path, patient: bool = True) -> dict[str, Any] | None:
    """Return the content of the folder's `result.json`; None if there is none yet.

    Args:
        folder: The job folder.
        patient: See `read_json`.

    Raises:
        UndeliveredFile: A file server fails to deliver it at present.
        UnreadableFolder: It exists but can't be read, or lacks what a job's result has.
    """
    try:
        result = read_json(folder / RESULT, patient)
    except MissingFile:
        return None
    if result.get("status") not in list(Status) or not isinstance(result.get("signature"), str):
        raise UnreadableFolder(f"{folder / RESULT}: not a job's (it tells no status and signature)")
    check_job(folder / RESULT, result)
    return result
