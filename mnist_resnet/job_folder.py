"""The job folder's contract: file names, atomic writes and tolerant reads.

Each job has one folder. Jobs write it; `comparing` reads it and nothing else. Files are written to a temporary file,
synced and renamed, so neither a reader nor a crash ever leaves a partial file.
"""

import errno
import json
import os
import re
import tempfile
import time
from collections.abc import Callable, Mapping
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Any, TypeVar

from mnist_resnet.errors import wording
from mnist_resnet.stored_file import MAX_SWEEP, MAX_TEXT, RefusedFile, parse_json, printable, read_stored

FORMAT = 1
"""Format version of `result.json` and `sweep.json`; readers reject any other."""

RESULT = "result.json"
METRICS = "metrics.jsonl"
HYDRA = ".hydra"
BATCH_LOSSES = "batch_losses.npy"
CHECKPOINT = "checkpoint.pt"
PREVIOUS_CHECKPOINT = "checkpoint.previous.pt"
TRACED_MODEL = "model.pt"
EXPORTED_MODEL = "model.pt2"
WEIGHTS = "weights.pt"
PREDICTIONS = "predictions.npz"
ENVIRONMENT = "environment"
LOG = "train.log"
WANDB = "wandb"
SWEEP = "sweep.json"
SEARCH = "search.json"
JOURNAL = "study.journal"
EXPERIMENTS = "experiment"
"""Folder in a search's folder. With it, that folder can be given as `--config-dir`."""
LAUNCHES = "launches"
"""Folder inside a sweep folder. Its lease is held while the job list is read and written: one launch at a time."""
MAX_JOBS = 100_000
"""Most jobs of a sweep; what lists more was made to take memory and time."""
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
    "mnist_resnet.running.tracking.NoTracker": "mnist_resnet.tracking.no_tracker.NoTracker",
    "mnist_resnet.running.tracking.WandbTracker": "mnist_resnet.tracking.wandb.WandbTracker",
}
"""Old and new path of each `_target_` that has moved since the first job folders were written.

`read_json` translates old paths to new ones. Signatures hash the old paths, so existing jobs keep their identity.
"""

KEYS, WHOLE_NUMBERS = "_keys_", "int"
"""Entry that marks an object in a JSON file whose keys were whole numbers; JSON itself makes text of them."""

WHOLE_NUMBER = re.compile(r"0|-?[1-9]\d{0,17}", re.ASCII)

Metrics = dict[str, float]
"""One epoch's line in `metrics.jsonl`: accuracies in [0, 1], losses as mean per image, times in seconds."""


class Status(StrEnum):
    """A job's status in `result.json`."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    DIVERGED = "diverged"
    INTERRUPTED = "interrupted"
    PRUNED = "pruned"


ENTRY_TYPES: Mapping[str, tuple[type, ...]] = {
    "config": (dict,),
    **dict.fromkeys(("name", "sweep", "signature"), (str, NoneType)),
    **dict.fromkeys(("choices", "swept", "numerics", "environment", "last", "best", "error", "code"), (dict, NoneType)),
    "config_folders": (dict, NoneType),
    **dict.fromkeys(("index", "epochs", "epochs_completed", "parameters"), (int, NoneType)),
    **dict.fromkeys(("seconds", "training_seconds", "images_per_second"), (int, float, NoneType)),
    **dict.fromkeys(("overrides", "notes", "attempts"), (list, NoneType)),
}
"""Allowed types of the entries of `result.json` and of a job in `sweep.json`; only the config is required."""

NODES = ("data", "loss", "model", "optim", "scale", "schedule", "sweep", "trainer")
"""Entries of a job's config that hold further entries."""

DONE = (Status.COMPLETED, Status.DIVERGED, Status.PRUNED)
"""Final statuses: running the job again would only repeat it. A diverged job is a result: its config does that."""


class UnreadableFolder(Exception):
    """Raised for a folder, or a file in it, that is missing, damaged or of the wrong kind; the message is one line."""

    def __init__(self, message: str) -> None:
        super().__init__(printable(message))


class MissingFile(UnreadableFolder):
    """Raised if the file does not exist."""


class UndeliveredFile(UnreadableFolder):
    """Raised if the file server fails to deliver a file (EIO, ESTALE), which says nothing about its content."""


PAUSES = (0.05, 0.2, 0.5, 1.0, 2.0)
"""Seconds between the tries to read what a file server fails to deliver."""

ANSWERS = (FileNotFoundError, NotADirectoryError, IsADirectoryError, PermissionError, RefusedFile)
"""Errors that are an answer of the file system, and no failure to deliver one."""

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
"""Errors of a disk that has no room, or no more for this user."""


def room_hint(error: OSError) -> str:
    """Return what ends the line on an error that ended jobs early: to make room, if the disk has none."""
    return "; make room before you resume" if error.errno in DISK_FULL else ""


Read = TypeVar("Read")


def patiently(read: Callable[[], Read]) -> Read:
    """Return what `read` returns; try again for some seconds if a file server fails to deliver it.

    Raises:
        OSError: It still fails, or the file can't be read for a reason that does not pass.
    """
    for pause in PAUSES:
        try:
            return read()
        except ANSWERS:
            raise
        except OSError:
            time.sleep(pause)
    return read()


def write_atomically(path: Path, content: str | bytes, sync: bool = True) -> None:
    """Replace a file so that readers and crashes see the complete old file or the complete new one.

    Until `sync_folder` is called, a power failure may leave either of them.

    Args:
        path: file to write.
        content: new content; text is encoded as UTF-8.
        sync: wait until the data is on disk, which takes milliseconds. Without it a power failure soon afterwards may
            leave the file empty, so pass False only for files that no result depends on.
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
    except BaseException as error:
        beside.unlink(missing_ok=True)
        if isinstance(error, OSError):
            # The system does not say which file it had no room for.
            error.filename = error.filename or str(path)
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove temporary files left by killed writers. Only the process that holds the job's lease may call this."""
    for name in (RESULT, METRICS, BATCH_LOSSES, CHECKPOINT, TRACED_MODEL, EXPORTED_MODEL, WEIGHTS, PREDICTIONS):
        for beside in folder.glob(f".{name}.*"):
            beside.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make renames inside `folder` survive a power failure (POSIX requires an fsync of the folder itself)."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def refuse_sweep(folder: Path) -> None:
    """Reject the folder of a sweep where that of a job is asked for.

    Raises:
        UnreadableFolder: it is one.
    """
    if (folder / SWEEP).exists():
        with os.scandir(folder) as entries:
            folders = (folder / entry.name for entry in entries)
            job = next((inner for inner in folders if (inner / RESULT).exists()), folder / "JOB")
        raise UnreadableFolder(f"{folder}: the folder of a sweep; give that of one of its jobs, such as {job}")


def read_json(path: Path, patient: bool = True) -> dict[str, Any]:
    """Return the JSON object in a `result.json` or `sweep.json`.

    Args:
        path: the file.
        patient: whether to try for some seconds to read a file that a file server fails to deliver.

    Raises:
        MissingFile: there is no such file.
        UndeliveredFile: a file server fails to deliver it at present.
        UnreadableFolder: it is incomplete, not a JSON object, of an unknown format version, or lists too many jobs.
    """
    try:
        most = MAX_SWEEP if path.name == SWEEP else MAX_TEXT
        content = from_json(patiently(lambda: read_stored(path, most)) if patient else read_stored(path, most))
    except FileNotFoundError:
        raise MissingFile(f"{path.parent}: no {path.name} in it") from None
    except (*ANSWERS, ValueError) as error:
        raise UnreadableFolder(f"{path}: can't be read ({wording(error)})") from None
    except OSError as error:
        raise UndeliveredFile(f"{path} can't be read at present ({error.strerror})") from None
    if not isinstance(content, dict) or not isinstance(content.get("format"), int):
        raise UnreadableFolder(f"{path}: not a file of this program (it has no format number)")
    if content["format"] != FORMAT:
        raise UnreadableFolder(f"{path}: format {content['format']}, and this version reads format {FORMAT}")
    jobs = content.get("jobs")
    if isinstance(jobs, list) and len(jobs) > MAX_JOBS:
        raise UnreadableFolder(f"{path}: lists {len(jobs):,} jobs; a sweep has {MAX_JOBS:,} at most")
    return content


def check_job(path: Path, entries: Mapping[str, Any]) -> None:
    """Check the types of the entries of a `result.json`, or of a job in a `sweep.json`.

    Raises:
        UnreadableFolder: one of them is of another type; the message names `path`.
    """
    for key, types in ENTRY_TYPES.items():
        _check_type(path, key, entries.get(key), types)
    for key in NODES:
        _check_type(path, f"config.{key}", entries["config"].get(key), (dict, NoneType))
    for override in entries.get("overrides") or []:
        _check_type(path, "an override", override, (str,))
    for attempt in entries.get("attempts") or []:
        _check_type(path, "an attempt", attempt, (dict,))
    for name, folder in (entries.get("config_folders") or {}).items():
        _check_type(path, f"config_folders.{name}", folder, (dict,))


def _check_type(path: Path, key: str, value: Any, types: tuple[type, ...]) -> None:
    if not isinstance(value, types):
        raise UnreadableFolder(f"{path}: not a valid job, {key} is {type(value).__name__}")


def check_status(path: Path, result: Mapping[str, Any]) -> None:
    """Check that the status in a `result.json` is a known one.

    Raises:
        UnreadableFolder: it is not; the message names `path`.
    """
    if result.get("status") not in list(Status):
        raise UnreadableFolder(f"{path}: status {result.get('status')} is unknown")


def with_moved_targets(value: Any) -> Any:
    """Return a copy of a config, or part of one, with the new path of each `_target_` that has moved."""
    if isinstance(value, dict):
        return _read_object({key: with_moved_targets(inner) for key, inner in value.items()})
    return [with_moved_targets(inner) for inner in value] if isinstance(value, list) else value


def to_json(content: Any, indent: int | None = None) -> str:
    """Return `content` as JSON that `from_json` reads back with the same keys, also where they are whole numbers."""
    return json.dumps(_with_marked_keys(content), indent=indent, ensure_ascii=False)


def from_json(text: str | bytes) -> Any:
    """Return what JSON written by `to_json` holds; each `_target_` that has moved since is named by its new path.

    Raises:
        ValueError: It is no JSON, or none of this program (see `parse_json`).
    """
    return parse_json(text, _read_object)


def _with_marked_keys(value: Any) -> Any:
    if isinstance(value, dict):
        has_whole_numbers = bool(value) and all(type(key) is int for key in value)
        marked = {KEYS: WHOLE_NUMBERS} if has_whole_numbers else {}
        return marked | {key: _with_marked_keys(inner) for key, inner in value.items()}
    return [_with_marked_keys(inner) for inner in value] if isinstance(value, list) else value


def _read_object(node: dict[str, Any]) -> dict[Any, Any]:
    if node.get(KEYS) == WHOLE_NUMBERS and all(key == KEYS or WHOLE_NUMBER.fullmatch(key) for key in node):
        return {int(key): value for key, value in node.items() if key != KEYS}
    target = node.get("_target_")
    if isinstance(target, str) and target in MOVED_TARGETS:
        node["_target_"] = MOVED_TARGETS[target]
    return node


def read_metrics(folder: Path) -> list[Metrics]:
    """Return the epochs in `metrics.jsonl` in order, with the numbers in them.

    Reading stops at the first damaged line, such as one cut off by a crash. What is missing or no file means no
    epochs yet.
    """
    try:
        lines = patiently(lambda: read_stored(folder / METRICS)).decode(errors="replace").splitlines()
    except (FileNotFoundError, RefusedFile):
        return []
    epochs: list[Metrics] = []
    for line in lines:
        try:
            epoch = parse_json(line)
        except ValueError:
            break
        if not isinstance(epoch, dict):
            break
        epochs.append({name: value for name, value in epoch.items() if type(value) in (int, float)})
    return epochs


def divergence(metric: str, value: object, epoch: int | None, step: int | None) -> str:
    """Return the words for a metric that is not finite; `epoch` is None where there are only steps."""
    return f"{metric} {value} in {'' if epoch is None else f'epoch {epoch}, '}step {step}"


def write_metrics(folder: Path, epochs: list[Metrics]) -> None:
    """Replace `metrics.jsonl`, one line per epoch."""
    write_atomically(folder / METRICS, "".join(json.dumps(epoch) + "\n" for epoch in epochs))
