"""Jobs as they are reported to a tracker, and what must be found of them afterwards."""

from pathlib import Path
from typing import Any

import pytest

from mnist_resnet.job_folder import Metrics
from mnist_resnet.tracking.callback import Callback, RunInfo

STEPS = 5
"""Optimiser steps in an epoch; the loss of every second one is reported."""

CONFIG = {"seed": 1, "optim": {"_target_": "torch.optim.Adam", "lr": 0.02}, "trainer": {"epochs": 3}}


def metrics(epoch: int) -> Metrics:
    accuracy = [0.8, 0.95, 0.9][epoch]
    return {"epoch": epoch, "train_loss": 1 / (epoch + 1), "test_accuracy": accuracy, "lr": 0.02}


def batch_losses(epochs: range) -> list[tuple[int, float]]:
    return [(epoch * STEPS + step, 1.0 + epoch * STEPS + step) for epoch in epochs for step in range(0, STEPS, 2)]


def job_run(folder: Path, done: int = 0, identity: str = "0123456789abcdef") -> RunInfo:
    folder.mkdir(exist_ok=True, parents=True)
    return RunInfo(
        id=identity,
        name=folder.name,
        group="lr_vs_stem",
        tags=["quick", "report_d", "t" * 100],
        folder=folder,
        config=CONFIG | {"name": folder.name},
        steps_per_epoch=STEPS,
        epochs=3,
        history=[metrics(epoch) for epoch in range(done)],
        batch_losses=batch_losses(range(done)),
    )


def train(tracker: Callback, run: RunInfo, until: int, status: str = "completed") -> None:
    """Report a job to a tracker that resumes after `run.history` and ends before epoch `until`."""
    tracker.begin(run)
    for epoch in range(len(run.history), until):
        for global_step, loss in batch_losses(range(epoch, epoch + 1)):
            tracker.batch(epoch, global_step % STEPS, loss, 0.5)
        tracker.epoch(metrics(epoch))
    last = metrics(until - 1) if until else None
    best = metrics(min(until - 1, 1)) | {"picked_on": "test"} if until else None
    tracker.end(
        {"status": status, "seconds": 2.5, "images_per_second": 10.0, "last": last, "best": best, "error": None}
    )


def offline_runs(folder: Path) -> list[Path]:
    return sorted(folder.glob("wandb/offline-run-*"))


def check_complete(rows: list[dict[str, Any]], epochs: int = 3) -> None:
    """Check that each epoch and each reported batch was logged once, in order."""
    assert [row["epoch"] for row in rows if "epoch" in row] == list(range(epochs))
    batches = [(row["global_step"], row["batch_loss"]) for row in rows if "batch_loss" in row]
    assert batches == batch_losses(range(epochs))
    steps = [row["_step"] for row in rows]
    assert steps == sorted(set(steps))


def own_warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return this program's warnings; W&B's own log goes to its files."""
    return [record.getMessage() for record in caplog.records if record.name == "mnist_resnet"]
