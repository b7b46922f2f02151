"""Writes random sweep folders that follow `mnist_resnet.job_folder`, to test `mnist_resnet.comparing`.

    SyntheticSweep(epochs=5).write(tmp_path / "sweep")

Nothing is trained: error rates come from the factors (`EFFECTS`) and a seeded random generator. A sweep of a thousand
jobs takes seconds and is reproducible. Hard test images are hard for every job, as in real sweeps.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from mnist_resnet.job_folder import (
    BATCH_LOSSES,
    ENVIRONMENT,
    FORMAT,
    LOG,
    PREDICTIONS,
    RESULT,
    SWEEP,
    Metrics,
    Status,
    write_metrics,
)

EFFECTS: Mapping[tuple[str, Any], float] = {
    ("optim.lr", 0.02): 4.0,
    ("model", "stem7x7"): 1.6,
    ("regularization", "none"): 1.25,
}
"""Factor by which a level multiplies the error rate; other levels change nothing."""

GROUPS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("model", "stem3x3"): {"model.stem": "3x3"},
    ("model", "stem7x7"): {"model.stem": "7x7"},
    ("regularization", "dropout"): {"regularization.dropout": 0.3, "model.dropout": 0.3},
    ("regularization", "none"): {"regularization.dropout": 0.0, "model.dropout": 0.0},
    ("optim", "sgd"): {"optim._target_": "torch.optim.SGD"},
}
"""Config values set by a group's option; other options set nothing."""

CHOICES: Mapping[str, str | None] = {
    "model": "stem3x3",
    "regularization": "dropout",
    "optim": "adam",
    "schedule": "constant",
    "data": "mnist",
    "trainer": "default",
    "scale": "full",
    "tracking": "none",
    "experiment": None,
    "debug": None,
}

BASE_ERROR = 0.008
STEPS_PER_EPOCH = 4
MOST_MISREAD_KEPT = 200


@dataclass(frozen=True)
class SyntheticSweep:
    """A synthetic sweep with one job per combination of levels; the last factor changes fastest.

    Attributes:
        name: the sweep's name.
        factors: levels by key; a key of `CHOICES` is a config group, any other a dotted config key.
        rows: the swept values of each job, instead of `factors`.
        epochs: number of epochs of each job.
        test_images: size of the test set; 10,000 is written as the full set.
        statuses: status by job index if it isn't `completed`; None is a job that never started (no folder).
        names: `name` in result.json by job index, if it differs from the folder's.
        claims: `claims` in each job's config.
        base: values of dotted config keys for every job.
        choices: options of config groups that differ from `CHOICES`.
        val: whether training images are held out (metrics then include `val_loss` and `val_accuracy`).
        predictions: whether completed jobs have a `predictions.npz`.
        commit, dirty, torch, numerics: recorded in result.json.
        notes: notes of each job.
        luck: a different number gives different results for the same sweep.
    """

    name: str = "lr_vs_stem"
    factors: Mapping[str, Sequence[Any]] = field(
        default_factory=lambda: {"optim.lr": [0.001, 0.02], "model": ["stem3x3", "stem7x7"], "seed": [1, 2, 3]}
    )
    rows: Sequence[Mapping[str, Any]] | None = None
    epochs: int = 3
    test_images: int = 500
    statuses: Mapping[int, Status | None] = field(default_factory=dict)
    names: Mapping[int, str] = field(default_factory=dict)
    claims: Sequence[Mapping[str, Any]] = ()
    base: Mapping[str, Any] = field(default_factory=dict)
    choices: Mapping[str, str | None] = field(default_factory=dict)
    val: bool = False
    predictions: bool = True
    commit: str = "0123abc"
    dirty: bool = False
    torch: str = "2.14.0"
    numerics: Mapping[str, Any] = field(
        default_factory=lambda: {"device": "cpu", "precision": "float32", "threads": 2, "compiled": False}
    )
    notes: Sequence[str] = ()
    luck: int = 0

    def write(self, folder: Path) -> Path:
        """Write the sweep to `folder` (created if missing) and return the folder."""
        folder.mkdir(parents=True, exist_ok=True)
        jobs = [self._job(index, swept) for index, swept in enumerate(self._combinations())]
        for job in jobs:
            status = self.statuses.get(job["index"], Status.COMPLETED)
            if status is not None:
                self._write_job(folder / job["name"], job, status)
        sweep = {
            "format": FORMAT,
            "name": self.name,
            "created": "2026-11-24T20:00:00+00:00",
            "command": ["train.py", "-m", *(f"{key}={','.join(map(str, v))}" for key, v in self.factors.items())],
            "commit": self.commit,
            "dirty": self.dirty,
            "swept": list(jobs[0]["swept"]) if jobs else [],
            "jobs": jobs,
        }
        (folder / SWEEP).write_text(json.dumps(sweep))
        return folder

    def _combinations(self) -> Iterator[dict[str, Any]]:
        if self.rows is not None:
            return (dict(row) for row in self.rows)
        return (dict(zip(self.factors, levels, strict=True)) for levels in itertools.product(*self.factors.values()))

    def _job(self, index: int, swept: dict[str, Any]) -> dict[str, Any]:
        """Return the job's entry in `sweep.json`."""
        overrides = [f"{key}={value}" for key, value in swept.items()]
        choices = {**CHOICES, **self.choices, **{key: swept[key] for key in swept if key in CHOICES}}
        config = self._config(swept)
        name = ",".join(overrides).replace("/", "_")[:200] or "job"
        return {
            "index": index,
            "name": name,
            "overrides": overrides,
            "swept": swept,
            "choices": choices,
            "signature": signature(config),
            "config": config,
        }

    def _config(self, swept: Mapping[str, Any]) -> dict[str, Any]:
        config = base_config(self.epochs, self.test_images, self.val)
        for key, value in self.base.items():
            set_key(config, key, value)
        for key, value in {**self.choices, **swept}.items():
            if key in CHOICES:
                for inner, content in GROUPS.get((key, str(value)), {}).items():
                    set_key(config, inner, content)
            else:
                set_key(config, key, value)
        config["sweep"]["name"] = self.name
        config["claims"] = [dict(claim) for claim in self.claims]
        return config

    def _write_job(self, folder: Path, job: dict[str, Any], status: Status) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        random = np.random.default_rng([int(job["signature"][:8], 16), self.luck])
        epochs = self._metrics(job, status, random)
        if status is Status.COMPLETED and self.predictions and epochs:
            label, predicted = write_predictions(folder / PREDICTIONS, epochs[-1]["test_accuracy"], self, random)
            epochs[-1]["test_accuracy"] = float(np.mean(label == predicted))
        write_metrics(folder, epochs)
        steps = np.geomspace(2.0, 0.02, max(1, len(epochs) * STEPS_PER_EPOCH)).astype(np.float32)
        np.save(folder / BATCH_LOSSES, steps[: len(epochs) * STEPS_PER_EPOCH])
        (folder / LOG).write_text("".join(f"Test set: epoch {e['epoch']}: {e['test_accuracy']:.4f}\n" for e in epochs))
        (folder / ENVIRONMENT).mkdir(exist_ok=True)
        (folder / ENVIRONMENT / "freeze.txt").write_text(f"torch=={self.torch}\nnumpy==2.4.0\n")
        (folder / RESULT).write_text(json.dumps(self._result(job, status, epochs)))

    def _metrics(self, job: dict[str, Any], status: Status, random: np.random.Generator) -> list[Metrics]:
        """Return the metrics by epoch; a job that isn't completed has half of its epochs."""
        planned = job["config"]["trainer"]["epochs"]
        done = planned if status is Status.COMPLETED else planned // 2
        factor = float(np.prod([EFFECTS.get(item, 1.0) for item in job["swept"].items()]))
        end = min(0.5, BASE_ERROR * factor * float(random.lognormal(0, 0.1)))
        lr = job["config"]["optim"]["lr"]
        epochs = []
        for epoch in range(done):
            test = min(0.9, end * (1 + 6 / (epoch + 1) ** 1.5) * float(random.lognormal(0, 0.08)))
            line: Metrics = {
                "epoch": epoch,
                "train_loss": test * 2.2,
                "train_accuracy": 1 - test * 0.7,
                "test_loss": test * 3,
                "test_accuracy": round((1 - test) * self.test_images) / self.test_images,
            }
            if self.val:
                line |= {"val_loss": test * 3.1, "val_accuracy": 1 - test * 1.02}
            epochs.append(line | {"lr": lr, "seconds": 12.5, "images_per_second": 4800.0})
        return epochs

    def _result(self, job: dict[str, Any], status: Status, epochs: list[Metrics]) -> dict[str, Any]:
        picked_on = "val" if self.val else "test"
        best = max(epochs, key=lambda line: line[f"{picked_on}_accuracy"], default=None)
        return {
            "format": FORMAT,
            "status": str(status),
            "name": self.names.get(job["index"], job["name"]),
            "sweep": self.name,
            **{key: job[key] for key in ("index", "signature", "config", "overrides", "swept", "choices")},
            "attempt": 1,
            "attempts": [
                {
                    "number": 1,
                    "started": "2026-11-24T20:00:00+00:00",
                    "host": "bench",
                    "pid": 4711,
                    "commit": self.commit,
                    "dirty": self.dirty,
                    "status": str(status),
                }
            ],
            "epochs": job["config"]["trainer"]["epochs"],
            "epochs_completed": len(epochs),
            "last": epochs[-1] if epochs else None,
            "best": {**best, "picked_on": picked_on} if best else None,
            "seconds": 12.5 * len(epochs),
            "images_per_second": 4800.0 if epochs else None,
            "error": error(status),
            "numerics": dict(self.numerics),
            "environment": {
                "python": "3.11.7",
                "torch": self.torch,
                "platform": "Linux-6.1-x86_64",
                "host": "bench",
                "cpu": "AMD EPYC",
                "gpu": None,
                "commit": self.commit,
                "dirty": self.dirty,
            },
            "parameters": 21280970,
            "notes": list(self.notes),
            "report_loss": {"train": epochs[-1]["train_loss"] / 64, "test": epochs[-1]["test_loss"] / 1000}
            if epochs
            else None,
        }


def base_config(epochs: int, test_images: int, val: bool) -> dict[str, Any]:
    """Return the resolved config before the factors are set."""
    return {
        "seed": 1,
        "model": {
            "_target_": "mnist_resnet.models.resnet.ResNet",
            "stem": "3x3",
            "width": 64,
            "blocks": [3, 4, 6, 3],
            "block_norm": "after_repeats",
            "dropout": 0.3,
            "channels": 1,
            "classes": 10,
        },
        "regularization": {"dropout": 0.3},
        "optim": {"_target_": "torch.optim.Adam", "_partial_": True, "lr": 0.001},
        "schedule": {"_target_": "mnist_resnet.training.schedule.constant", "_partial_": True},
        "data": {
            "_target_": "mnist_resnet.data.sources.mnist",
            "root": "data",
            "train_size": None,
            "val_size": 5000 if val else 0,
            "test_size": None if test_images == 10000 else test_images,
            "batch_size": 64,
            "test_batch_size": 1000,
            "classes": 10,
            "channels": 1,
            "mean": 0.1307,
            "std": 0.3081,
        },
        "trainer": {
            "epochs": epochs,
            "device": "auto",
            "precision": "auto",
            "threads": None,
            "log_interval": 10,
            "checkpoint_interval": 60.0,
            "checkpoint_every": None,
            "detect_anomaly": False,
            "profile": False,
        },
        "scale": {"epochs": 1.0},
        "tracking": None,
        "sweep": {
            "name": None,
            "exclude": [],
            "rerun": [],
            "dry_run": False,
            "on_failure": "continue",
            "keep": "model",
            "seeds": 5,
        },
        "claims": [],
    }


def set_key(config: dict[str, Any], key: str, value: Any) -> None:
    """Set a dotted key, creating missing mappings."""
    *parents, last = key.split(".")
    for name in parents:
        config = config.setdefault(name, {})
    config[last] = value


def signature(config: Mapping[str, Any]) -> str:
    """Return a stand-in for a job's signature: a hash of the values that change the numbers, including `seed`."""
    relevant = {key: config[key] for key in config if key not in ("tracking", "sweep", "claims", "scale")}
    return hashlib.sha256(json.dumps(relevant, sort_keys=True).encode()).hexdigest()


def error(status: Status) -> dict[str, Any] | None:
    """Return the `error` entry of result.json for this status."""
    if status is Status.FAILED:
        trace = (
            'Traceback (most recent call last):\n  File "train.py", line 1, in <module>\nValueError: no such <image>'
        )
        return {"type": "ValueError", "message": "no such <image>", "traceback": trace}
    if status is Status.DIVERGED:
        return {"epoch": 1, "step": 3, "loss": "nan", "message": "the loss is nan in epoch 1, step 3"}
    return None


def write_predictions(
    path: Path, accuracy: float, sweep: SyntheticSweep, random: np.random.Generator
) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Write a `predictions.npz` with about this accuracy; harder images are misread by more jobs.

    Returns:
        Labels and predicted classes, uint8 [n].
    """
    label, hardness = test_set(sweep.test_images)
    wrong_class = (label + 1 + np.minimum((hardness * 3).astype(int), 8)) % 10
    order = np.argsort(hardness + random.normal(0, 0.5, len(label)))
    wrong = order[len(label) - round((1 - accuracy) * len(label)) :]
    predicted = label.copy()
    predicted[wrong] = wrong_class[wrong]
    confidence = np.log(random.uniform(0.9, 1.0, len(label)))
    of_label = confidence.copy()
    confidence[wrong] = np.log(random.uniform(0.5, 0.99, len(wrong)))
    of_label[wrong] = np.log1p(-np.exp(confidence[wrong])) - 0.1
    misread = np.flatnonzero(label != predicted)[:MOST_MISREAD_KEPT].astype(np.int32)
    pixels = np.stack([picture(int(i), int(label[i])) for i in misread]) if len(misread) else np.empty((0, 28, 28))
    np.savez_compressed(
        path,
        label=label,
        predicted=predicted.astype(np.uint8),
        label_log_probability=of_label.astype(np.float16),
        predicted_log_probability=confidence.astype(np.float16),
        test_set_sha256=np.array(hashlib.sha256(f"synthetic {sweep.test_images}".encode()).hexdigest()),
        misread_index=misread,
        misread_pixels=pixels[:, None].astype(np.uint8),
    )
    return label, predicted


@lru_cache
def test_set(images: int) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """Return labels, uint8 [n], and each image's hardness, float64 [n], of the synthetic test set of this size."""
    random = np.random.default_rng(images)
    return random.integers(0, 10, images).astype(np.uint8), random.exponential(1.0, images)


@lru_cache(maxsize=20_000)
def picture(index: int, label: int) -> NDArray[np.uint8]:
    """Return test image `index`: its label drawn slightly rotated, uint8 [28, 28]."""
    random = np.random.default_rng(index)
    canvas = Image.new("L", (28, 28))
    across, down = (int(c) for c in random.integers((5, -1), (10, 4)))
    ImageDraw.Draw(canvas).text((across, down), str(label), fill=255, font=ImageFont.load_default(22))
    return np.asarray(canvas.rotate(float(random.normal(0, 15))), dtype=np.uint8)
