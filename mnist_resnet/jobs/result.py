"""A job's `result.json`, read back; who only reads it needs no PyTorch."""

from pathlib import Path
from typing import Any

from mnist_resnet.job_folder import RESULT, Status, UnreadableFolder, read_json


def read_result(folder: Path) -> dict[str, Any] | None:
    """The folder's `result.json`; None if there is none yet.

    Raises:
        UnreadableFolder: it is there and can't be read, or says nothing that a job's would.
    """
    if not (folder / RESULT).exists():
        return None
    result = read_json(folder / RESULT)
    if result.get("status") not in set(Status) or not isinstance(result.get("signature"), str):
        raise UnreadableFolder(f"{folder / RESULT}: not a job's (it tells no status and signature)")
    return result
