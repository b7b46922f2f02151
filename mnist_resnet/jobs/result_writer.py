"""A job's record: `result.json`, `metrics.jsonl`, `batch_losses.npy`, written so that a crash leaves them whole."""

import io
import json
import secrets
import traceback
from typing import Any

import numpy
import torch
from hydra.errors import InstantiationException

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.job_folder import (
    BATCH_LOSSES,
    FORMAT,
    METRICS,
    RESULT,
    Metrics,
    Status,
    remove_leftovers,
    sync_folder,
    write_atomically,
    write_metrics,
)
from mnist_resnet.jobs.environment import code_version, environment
from mnist_resnet.jobs.lease import Lease, attempts
from mnist_resnet.tracking.log_file import report_loss
from mnist_resnet.training.loop import Diverged, Training


class ResultWriter:
    """One attempt's hand on the job folder; every write makes sure first that the attempt still holds the job.

    Attributes:
        result: what `result.json` says.
    """

    def __init__(self, job: JobSpec, lease: Lease, before: dict[str, Any] | None) -> None:
        self.job, self.folder, self._lease = job, lease.folder, lease
        remove_leftovers(self.folder)
        self.result: dict[str, Any] = {
            "format": FORMAT,
            "status": Status.RUNNING,
            "id": (before or {}).get("id") or secrets.token_hex(8),
            "name": job.name,
            "sweep": job.sweep,
            "index": job.index,
            "signature": job.signature,
            "attempt": lease.number,
            "attempts": attempts(self.folder),
            "config": job.config,
            "overrides": job.overrides,
            "swept": job.swept,
            "choices": job.choices,
            "epochs_completed": 0,
            "last": None,
            "best": None,
            "seconds": 0.0,
            "training_seconds": None,
            "images_per_second": None,
            "error": None,
            "numerics": (before or {}).get("numerics"),
            "notes": list((before or {}).get("notes", [])),
        }
        self.note(self._code_note())
        self.write()

    def check(self) -> None:
        """Raise `LeaseLost` if the attempt does not hold the job any more."""
        self._lease.check()

    def note(self, *lines: str | None) -> None:
        """Add what a reader of the figures must know; each line once."""
        self.result["notes"] = list(dict.fromkeys([*self.result["notes"], *filter(None, lines)]))

    def start(self, training: Training) -> None:
        """The network is built and stands where it goes on from."""
        self.result |= {
            "epochs": training.config.epochs,
            "parameters": sum(parameter.numel() for parameter in training.model.parameters()),
            "numerics": training.numerics.as_dict(),
            "environment": environment(training.numerics.device),
        }
        if training.history or (self.folder / METRICS).exists():
            self.epoch_ended(training)
        self.write()

    def epoch_ended(self, training: Training) -> None:
        """Write the epochs so far; lines past the checkpoint that the run went on from are cut by this."""
        self._lease.check()
        write_metrics(self.folder, training.history)
        self._write_batch_losses(training.batch_losses)
        self.result |= summary(training.history)

    def end(self, status: Status, error: BaseException | None = None, training: Training | None = None) -> None:
        """Write the job's end, once it has one; when this returns, no loss of power takes it back."""
        self.result["status"] = status
        if error is not None and status in (Status.FAILED, Status.DIVERGED):
            self.result["error"] = described(error)
        if training is not None:
            self._add_report_losses(training)
        self.result["attempts"] = [
            attempt | ({"status": status} if attempt["number"] == self._lease.number else {})
            for attempt in attempts(self.folder)
        ]
        self.write()
        sync_folder(self.folder)

    def diverged(self, error: Diverged, training: Training | None) -> None:
        """End the job, and keep the batch losses up to the one that was no number: they are the evidence."""
        if training is not None and error.epoch == len(training.batch_losses):
            self._write_batch_losses([*training.batch_losses, training.losses[: error.step + 1].cpu()])
        self.end(Status.DIVERGED, error)

    def write(self) -> None:
        """Replace `result.json`."""
        self._lease.check()
        write_atomically(self.folder / RESULT, json.dumps(self.result, indent=1, ensure_ascii=False) + "\n")

    def _write_batch_losses(self, epochs: list[torch.Tensor]) -> None:
        content = io.BytesIO()
        numpy.save(content, torch.cat(epochs).numpy() if epochs else numpy.empty(0, dtype=numpy.float32))
        write_atomically(self.folder / BATCH_LOSSES, content.getvalue())

    def _add_report_losses(self, training: Training) -> None:
        data, last = training.config.data, training.history[-1]
        self.result["report_loss"] = {
            "train": report_loss(last["train_loss"], len(training.splits.train), data.batch_size),
            "test": report_loss(last["test_loss"], len(training.splits.test), data.test_batch_size),
        }

    def _code_note(self) -> str | None:
        """Queued jobs keep their configs, but run whatever code is there: say so where it is another."""
        now = code_version()
        if self.job.code is None or now["source"] == self.job.code.get("source"):
            return None
        return f"code changed since the sweep was frozen: {_code_name(self.job.code)} then, {_code_name(now)} now"


def summary(history: list[Metrics]) -> dict[str, Any]:
    """What `result.json` says of the epochs so far; the best epoch is picked on held-out images where there are any."""
    if not history:
        nothing = dict.fromkeys(("last", "best", "training_seconds", "images_per_second"))
        return {"epochs_completed": 0, "seconds": 0.0, **nothing}
    picked_on = "val" if "val_accuracy" in history[0] else "test"
    best = max(history, key=lambda epoch: epoch[f"{picked_on}_accuracy"])
    trained = [epoch["training_seconds"] for epoch in history if "training_seconds" in epoch]  # older versions had none
    rates = [epoch["images_per_second"] for epoch in history]
    return {
        "epochs_completed": len(history),
        "last": history[-1],
        "best": best | {"picked_on": picked_on},
        "seconds": sum(epoch["seconds"] for epoch in history),
        "training_seconds": sum(trained) if len(trained) == len(history) else None,
        "images_per_second": len(rates) / sum(1 / rate for rate in rates),
    }


def described(error: BaseException) -> dict[str, Any]:
    """An error for `result.json`; its message is one line, and tells what a `_target_` raised, not that it did."""
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    message = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, Diverged):
        return {"epoch": error.epoch, "step": error.step, "loss": str(error.loss), "message": message}
    return {"type": type(error).__name__, "message": message, "traceback": trace}


def _code_name(code: dict[str, Any]) -> str:
    commit = str(code["commit"])[:10] if code["commit"] else "in no repository"
    return f"{commit}{' with uncommitted changes' * bool(code['dirty'])} (source {code.get('source')})"
