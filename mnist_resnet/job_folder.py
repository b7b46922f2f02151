"""The job folder: the one thing that the running half writes and the comparing half reads.

A job is a folder. Its files are named here, with how they are written (beside, synced, renamed: a reader or a crash
never meets half a file) and how they are read back, whatever happened to them.
"""

import json
import os
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import Any

FORMAT = 1
"""Version of `result.json` and `sweep.json`; a reader refuses newer ones by name."""

RESULT = "result.json"
METRICS = "metrics.jsonl"
HYDRA = ".hydra"
BATCH_LOSSES = "batch_losses.npy"
CHECKPOINT = "checkpoint.pt"
PREVIOUS_CHECKPOINT = "checkpoint.previous.pt"
TRACED_MODEL = "model.pt"
EXPORTED_MODEL = "model.pt2"
PREDICTIONS = "predictions.npz"
ENVIRONMENT = "environment"
LOG = "train.log"
SWEEP = "sweep.json"
SEARCH = "search.json"
LAUNCHES = "launches"
"""Folder in a sweep's, claimed while the job list is read and written: launches come one after the other."""
TABLE = "table.md"
RESULTS = "results.csv"
DASHBOARD = "dashboard.html"
FIGURES = "figures"

MOVED_TARGETS = {
    "mnist_resnet.running.augmentation.Affine": "mnist_resnet.data.augmentation.Affine",
    "mnist_resnet.running.augmentation.Elastic": "mnist_resnet.data.augmentation.Elastic",
    "mnist_resnet.running.augmentation.Translate": "mnist_resnet.data.augmentation.Translate",
    "mnist_resnet.running.averaging.ExponentialAverage": "mnist_resnet.training.averaging.ExponentialAverage",
    "mnist_resnet.running.averaging.LatestWeights": "mnist_resnet.training.averaging.LatestWeights",
    "mnist_resnet.running.averaging.TailAverage": "mnist_resnet.training.averaging.TailAverage",
    "mnist_resnet.running.lean_network.LeanNetwork": "mnist_resnet.models.lean.LeanNetwork",
    "mnist_resnet.running.network.ResNet": "mnist_resnet.models.resnet.ResNet",
    "mnist_resnet.running.schedule.constant": "mnist_resnet.training.schedule.constant",
    "mnist_resnet.running.schedule.cosine": "mnist_resnet.training.schedule.cosine",
    "mnist_resnet.running.schedule.linear": "mnist_resnet.training.schedule.linear",
    "mnist_resnet.running.schedule.onecycle": "mnist_resnet.training.schedule.onecycle",
    "mnist_resnet.running.sources.digits": "mnist_resnet.data.sources.digits",
    "mnist_resnet.running.sources.fashion_mnist": "mnist_resnet.data.sources.fashion_mnist",
    "mnist_resnet.running.sources.mnist": "mnist_resnet.data.sources.mnist",
    "mnist_resnet.running.tracking.NoTracker": "mnist_resnet.tracking.wandb.NoTracker",
    "mnist_resnet.running.tracking.WandbTracker": "mnist_resnet.tracking.wandb.WandbTracker",
}
"""Where each `_target_` of this package has moved to since folders were first written.

Readers translate old paths to new ones (`read_json`); signatures hash the old ones, so that no job is renamed.
"""

Metrics = dict[str, float]
"""One epoch's line of `metrics.jsonl`: accuracies as fractions of one, losses as means per image, times in seconds."""


class Status(StrEnum):
    """What became of a job, as `result.json` says it."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"
    PRUNED = "pruned"


class UnreadableFolder(Exception):
    """A folder, or a file of it, that can't be read as what it should be; its text is one line that says why."""


def write_atomically(path: Path, content: str | bytes, sync: bool = True) -> None:
    """Put `content` at `path` so that every reader, and every crash, finds the old file or the new one, whole.

    Which of the two a loss of power leaves is open until `sync_folder`.

    Args:
        path: of the file.
        content: of it; text as UTF-8.
        sync: wait for the disk, which takes milliseconds. Without it a loss of power soon afterwards may leave the file
            empty: for what no result depends on.
    """
    data = content.encode() if isinstance(content, str) else content
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    beside = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        beside.chmod(0o644)
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove what killed writers left beside a job's files; for the one who holds the job."""
    for name in (RESULT, METRICS, BATCH_LOSSES, CHECKPOINT, TRACED_MODEL, EXPORTED_MODEL, PREDICTIONS):
        for beside in folder.glob(f".{name}.*"):
            beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a loss of power (POSIX asks for a sync of the folder itself)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in `path`, a `result.json` or `sweep.json`.

    Raises:
        UnreadableFolder: it is missing, torn, no object, or of a format that this version does not know.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_hook=_with_moved_target)
    except FileNotFoundError:
        raise UnreadableFolder(f"{path.parent}: no {path.name} in it") from None
    except (OSError, ValueError) as error:
        raise UnreadableFolder(f"{path}: can't be read ({error})") from None
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise UnreadableFolder(f"{path}: not a file of this program (it names no format)")
    if content["format"] != FORMAT:
        raise UnreadableFolder(f"{path}: format {content['format']}, and this version reads format {FORMAT}")
    return content


def _with_moved_target(node: dict[str, Any]) -> dict[str, Any]:
    target = node.get("_target_")
    if isinstance(target, str) and target in MOVED_TARGETS:
        node["_target_"] = MOVED_TARGETS[target]
    return node


def read_metrics(folder: Path) -> list[Metrics]:
    """The epochs of `metrics.jsonl` in order; a torn line ends them, a missing file means none yet."""
    try:
        lines = (folder / METRICS).read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    epochs: list[Metrics] = []
    for line in lines:
        try:
            epoch = json.loads(line)
        except ValueError:
            break
        if not isinstance(epoch, dict):
            break
        epochs.append(epoch)
    return epochs


def write_metrics(folder: Path, epochs: list[Metrics]) -> None:
    """Replace `metrics.jsonl` by one line for each of `epochs`."""
    write_atomically(folder / METRICS, "".join(json.dumps(epoch) + "\n" for epoch in epochs))
