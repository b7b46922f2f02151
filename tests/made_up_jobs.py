"""Writes job folders with given metrics, predictions and losses."""

import copy
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.job_folder import BATCH_LOSSES, FORMAT, PREDICTIONS, RESULT, Metrics, Status, write_metrics
from tests.synthetic_sweep import CHOICES, base_config, set_key


def write_job(
    folder: Path,
    accuracies: Sequence[float] = (0.99,),
    *,
    seed: int = 1,
    config: Mapping[str, Any] | None = None,
    choices: Mapping[str, str | None] | None = None,
    status: Status = Status.COMPLETED,
    sweep: str | None = None,
    **result: Any,
) -> Path:
    """Write a job folder with `accuracies` as test accuracy by epoch; training accuracy is 0.001 higher."""
    folder.mkdir(parents=True)
    full_config = copy.deepcopy(base_config(len(accuracies), 10_000, val=False))
    for key, value in {"seed": seed, **(config or {})}.items():
        set_key(full_config, key, value)
    epochs = [epoch_line(number, accuracy) for number, accuracy in enumerate(accuracies)]
    best = max(epochs, key=lambda epoch: epoch["test_accuracy"], default=None)
    content = {
        "format": FORMAT,
        "status": status,
        "name": folder.name,
        "sweep": sweep,
        "signature": f"{sorted((config or {}).items())}{seed}",
        "config": full_config,
        "choices": {**CHOICES, **(choices or {})},
        "epochs": len(accuracies),
        "epochs_completed": len(accuracies),
        "last": epochs[-1] if epochs else None,
        "best": {**best, "picked_on": "test"} if best else None,
        "seconds": 10.0,
        "images_per_second": 100.0,
        "numerics": {"device": "cpu", "precision": "fp32", "threads": 1, "compiled": False},
        **result,
    }
    (folder / RESULT).write_text(json.dumps(content))
    write_metrics(folder, epochs)
    return folder


def epoch_line(number: int, accuracy: float) -> Metrics:
    return {
        "epoch": number,
        "train_loss": 1 - accuracy,
        "train_accuracy": accuracy + 0.001,
        "test_loss": 1.5 * (1 - accuracy),
        "test_accuracy": accuracy,
        "lr": 0.001,
        "seconds": 1.0,
        "images_per_second": 100.0,
    }


def seeds(folder: Path, lasts: Sequence[float], **more: Any) -> list[Job]:
    """Write and load jobs of one config with seeds 1, 2, …; each has two epochs, at 0.5 and at its value in `lasts`."""
    folder.mkdir(exist_ok=True)
    paths = [
        write_job(folder / f"{more.get('prefix', 'seed')}{n}", (0.5, last), seed=n, **without_prefix(more))
        for n, last in enumerate(lasts, start=1)
    ]
    return load_jobs(paths)[0]


def without_prefix(more: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in more.items() if key != "prefix"}


def write_predictions(folder: Path, right: Sequence[bool], test_set: str = "same") -> None:
    """Write `predictions.npz` with all labels 3; a wrong prediction is 5."""
    predicted = np.where(np.asarray(right), 3, 5).astype(np.uint8)
    np.savez(
        folder / PREDICTIONS, label=np.full(len(predicted), 3, np.uint8), predicted=predicted, test_set_sha256=test_set
    )


def write_losses(folder: Path, losses: Sequence[float]) -> None:
    np.save(folder / BATCH_LOSSES, np.asarray(losses, dtype=np.float32))
