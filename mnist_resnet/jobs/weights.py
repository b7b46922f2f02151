"""Removes the weights in the folder of a job that has ended, without PyTorch."""

from contextlib import suppress
from pathlib import Path

from mnist_resnet.job_folder import (
    CHECKPOINT,
    EXPORTED_MODEL,
    PREVIOUS_CHECKPOINT,
    TRACED_MODEL,
    WEIGHTS,
    Status,
    UnreadableFolder,
)
from mnist_resnet.jobs.result import read_result


def remove_unkept_weights(folder: Path) -> None:
    """Remove the weights that `sweep.keep` does not keep of an ended job.

    For jobs that ended earlier this is repeated, because a process may have been killed before it got this far, or the
    disk refused: that is no reason to lose the result. The setting that counts is the one that the job ran with.
    """
    with suppress(OSError, UnreadableFolder):
        _remove_unkept_weights(folder)


def _remove_unkept_weights(folder: Path) -> None:
    weights = (CHECKPOINT, PREVIOUS_CHECKPOINT, TRACED_MODEL, EXPORTED_MODEL, WEIGHTS)
    result = read_result(folder) if any((folder / name).exists() for name in weights) else None
    if result is None or result["status"] not in (Status.COMPLETED, Status.PRUNED):
        return
    keep = result["config"]["sweep"]["keep"]
    if keep != "checkpoint" or result["status"] == Status.PRUNED:
        drop_checkpoints(folder)
    if keep == "none":
        for name in (TRACED_MODEL, EXPORTED_MODEL, WEIGHTS):
            (folder / name).unlink(missing_ok=True)


def drop_checkpoints(folder: Path) -> None:
    """Remove the job's checkpoints, and temporary files of a killed writer."""
    for path in (folder / CHECKPOINT, folder / PREVIOUS_CHECKPOINT, *folder.glob(f".{CHECKPOINT}.*")):
        path.unlink(missing_ok=True)
