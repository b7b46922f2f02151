"""Reads a job's `result.json`, without PyTorch."""

from pathlib import Path
from typing import Any

from mnist_resnet.job_folder import RESULT, Status, UnreadableFolder, read_json


def read_result(folder: Path) -> dict[str, Any] | None:
    """Return the content of the folder's `result.json`; None if there is none yet.

    Raises:
        UnreadableFolder: It exists but can't be read, or lacks what a job's result has.
    """
    try:
        if not (folder / RESULT).exists():
            return None
    except OSError as error:
        raise UnreadableFolder(f"{folder / RESULT}: can't be read ({error})") from None
    result = read_json(folder / RESULT)
    if result.get("status") not in set(Status) or not isinstance(result.get("signature"), str):
        raise UnreadableFolder(f"{folder / RESULT}: not a job's (it tells no status and signature)")
    return result
