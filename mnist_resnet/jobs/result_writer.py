"""Writes a job's results: `result.json`, `metrics.jsonl`, `batch_losses.npy`; a crash leaves each of them whole."""

import io
import secrets
import time
import traceback
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy
from hydra.errors import InstantiationException

from mnist_resnet.attempts import attempts
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.metric import (
    BUILT_IN,
    Metric,
    best_of,
    is_image_classifier,
    last_values,
    predicts_numbers,
    primary_metric,
)
from mnist_resnet.errors import UsageError, raised_at, wording
from mnist_resnet.job_folder import (
    BATCH_LOSSES,
    FORMAT,
    METRICS,
    RESULT,
    Metrics,
    Status,
    remove_leftovers,
    sync_folder,
    to_json,
    write_atomically,
    write_metrics,
)
from mnist_resnet.jobs.config_folders import as_they_are, by_name
from mnist_resnet.jobs.environment import code_version, environment
from mnist_resnet.jobs.lease import Lease
from mnist_resnet.jobs.packages import package_versions
from mnist_resnet.jobs.progress import Diverged, Progress

if TYPE_CHECKING:
    from torch import Tensor


FEW_REPORTS = 100
"""Epochs or reports up to which each is written at once."""
LARGEST_SHARE = 0.02
"""Largest share of the time that is spent on writing those after them: the file is written as a whole."""


class ResultWriter:
    """Writes one attempt's results into the job folder; each write checks first that the attempt still holds the lease.

    Attributes:
        job: The job.
        folder: Its folder.
        result: The content of `result.json`.
        continues: Whether the task continues from a checkpoint.
    """

    def __init__(self, job: JobSpec, lease: Lease, before: dict[str, Any] | None) -> None:
        """Begin the attempt's `result.json`.

        Args:
            job: The job.
            lease: This attempt's, in force.
            before: `result.json` of earlier attempts; its id, numerics and notes are kept.
        """
        self.job, self.folder, self._lease = job, lease.folder, lease
        self.continues = False
        self._unwritten: Progress | None = None
        self._next_write = 0.0
        self._environment_before = (before or {}).get("environment")
        remove_leftovers(self.folder)
        self.result: dict[str, Any] = {
            "format": FORMAT,
            "status": Status.RUNNING,
            "id": (before or {}).get("id") or secrets.token_hex(8),
            "name": job.name,
            "sweep": job.sweep,
            "index": job.index,
            "signature": job.signature,
            "data_sha256": (before or {}).get("data_sha256") or job.data_sha256,
            "attempt": lease.number,
            "attempts": self._attempts((before or {}).get("attempts", [])),
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
        self.note(*self._code_notes(before))
        self.write()

    def check(self) -> None:
        """Raise `LeaseLost` if the attempt no longer holds the lease."""
        self._lease.check()

    def note(self, *lines: str | None) -> None:
        """Add lines that a reader of the figures must know; each line once, None is skipped."""
        self.result["notes"] = list(dict.fromkeys([*self.result["notes"], *filter(None, lines)]))

    def start(
        self, progress: Progress, epochs: int | None, parameters: int | None, numerics: dict[str, Any], device: str
    ) -> None:
        """Record that the task is ready to start or resume.

        Args:
            progress: What earlier attempts did.
            epochs: How many the job trains; None if only its task knows.
            parameters: How many the model has; None if there is none.
            numerics: What the task computes with.
            device: As PyTorch names it.
        """
        self.result |= {
            "epochs": epochs,
            "parameters": parameters,
            "numerics": numerics,
            "environment": environment(device)
            | {
                "packages": package_versions(self.job.config),
                "configs": by_name(as_they_are(self.job.config_folders)),
            },
        }
        if self.continues:
            self.note(_machine_note(self._environment_before, self.result["environment"]))
        if progress.history or (self.folder / METRICS).exists():
            self.epoch_ended(progress)
        self.write()

    def epoch_ended(self, progress: Progress) -> None:
        """Write the epochs so far, if there are few or it is due; `end` writes what is left.

        Lines after the checkpoint that the attempt continued from are dropped by this.
        """
        self._lease.check()
        started = time.monotonic()
        if len(progress.history) > FEW_REPORTS and started < self._next_write:
            self._unwritten = progress
            return
        self._write_epochs(progress)
        ended = time.monotonic()
        self._next_write = ended + (ended - started) / LARGEST_SHARE

    def _write_epochs(self, progress: Progress) -> None:
        self._unwritten = None
        write_metrics(self.folder, progress.history)
        if progress.batch_losses or (self.folder / BATCH_LOSSES).exists():
            self.write_batch_losses(progress.batch_losses)
        self.result |= summary(progress.history, self.job.config)

    def end(self, status: Status, error: BaseException | None = None) -> None:
        """Write the job's final status; when this returns, it survives a power failure."""
        if self._unwritten is not None:
            self._lease.check()
            self._write_epochs(self._unwritten)
        self.result["status"] = status
        if error is not None and status in (Status.FAILED, Status.DIVERGED):
            self.result["error"] = describe_error(error)
        self.result["attempts"] = [
            attempt | ({"status": status} if attempt["number"] == self._lease.number else {})
            for attempt in self._attempts(self.result["attempts"])
        ]
        self.write()
        sync_folder(self.folder)

    def write(self) -> None:
        """Replace `result.json`."""
        self._lease.check()
        write_atomically(self.folder / RESULT, to_json(self.result, indent=1) + "\n")

    def write_batch_losses(self, epochs: "Sequence[Tensor]") -> None:
        """Replace `batch_losses.npy` by the losses of these epochs, float32 [steps] each, on the CPU."""
        self._lease.check()
        content = io.BytesIO()
        losses = [epoch.numpy() for epoch in epochs]
        numpy.save(content, numpy.concatenate(losses) if losses else numpy.empty(0, dtype=numpy.float32))
        write_atomically(self.folder / BATCH_LOSSES, content.getvalue())

    def _attempts(self, known: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """List the attempts; those known before if they can't be read now, which is no reason to lose the result."""
        try:
            return attempts(self.folder)
        except OSError:
            return known

    def _code_notes(self, before: dict[str, Any] | None) -> Iterator[str]:
        """Say what code has changed: queued jobs keep their configs, but run the code that is installed."""
        then = self.job.code or (before or {}).get("environment") or {}
        since = "the sweep was frozen" if self.job.code else "the job was started"
        now, packages = code_version(), package_versions(self.job.config)
        configs = by_name(as_they_are(self.job.config_folders))
        if "source" in then and now["source"] != then["source"]:
            yield f"code changed since {since}: {_code_name(then)} then, {_code_name(now)} now"
        for name, package in then.get("packages", {}).items():
            if name in packages and _identity(packages[name]) != _identity(package):
                yield f"{name} changed since {since}: {_code_name(package)} then, {_code_name(packages[name])} now"
        for name, folder in (by_name(self.job.config_folders) if self.job.code else then.get("configs", {})).items():
            if name in configs and configs[name]["source"] != folder["source"]:
                as_frozen = "; the job runs as frozen" if self.job.code else ""
                yield (
                    f"config folder {name} changed since {since}: {_code_name(folder)} then, "
                    f"{_code_name(configs[name])} now{as_frozen}"
                )


def summary(history: list[Metrics], config: dict[str, Any]) -> dict[str, Any]:
    """Summarize the epochs for `result.json`.

    The best one is picked by the primary metric: of the image classifier, on held-out images if there are any.
    """
    if not history:
        nothing = dict.fromkeys(("last", "best", "training_seconds", "images_per_second"))
        return {"epochs_completed": 0, "seconds": 0.0, **nothing}
    if not is_image_classifier(config):
        return _summary_of_reports(history, primary_metric(config))
    judged = "loss" if predicts_numbers(config) else "accuracy"
    picked_on = "val" if f"val_{judged}" in history[0] else "test"
    metric = BUILT_IN[f"{picked_on}_{judged}"]
    best_value = best_of([epoch[metric.name] for epoch in history], metric)
    best = next(epoch for epoch in history if epoch[metric.name] == best_value)
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


def _summary_of_reports(history: list[Metrics], primary: Metric | None) -> dict[str, Any]:
    best = None
    if primary is not None and (having := [line for line in history if primary.name in line]):
        value = best_of([line[primary.name] for line in having], primary)
        best = next(line for line in having if line[primary.name] == value) | {"picked_on": primary.name}
    return {
        "epochs_completed": len(history),
        "last": last_values(history),
        "best": best,
        "seconds": sum(line["seconds"] for line in history),
    }


def describe_error(error: BaseException) -> dict[str, Any]:
    """Describe an error for `result.json`: its message in one line, and for a `_target_` that raised, its own error."""
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, InstantiationException) and error.__cause__ is not None:
        error = error.__cause__
    message = wording(error)
    if isinstance(error, Diverged):
        where = {"epoch": error.epoch, "step": error.step}
        return where | {"loss": str(error.loss), "metric": error.metric, "message": message}
    told = {"type": type(error).__name__, "message": message, "traceback": trace}
    at = None if isinstance(error, UsageError) else raised_at(error)
    return told | ({"at": at} if at else {})


def _machine_note(before: dict[str, Any] | None, now: dict[str, Any]) -> str | None:
    """Say if a job continues on another processor; equal numerics promise equal bits on one kind of processor only."""
    then, here = ((machine or {}).get("gpu") or (machine or {}).get("cpu") for machine in (before, now))
    if not then or then == here:
        return None
    return f"begun on {then}, continued on {here}: the last bits may differ from an uninterrupted run"


def _identity(package: dict[str, Any]) -> Any:
    return package.get("source") or package.get("version")


def _code_name(code: dict[str, Any]) -> str:
    if "version" in code:
        return str(code["version"])
    commit = str(code["commit"])[:10] if code["commit"] else "in no repository"
    return f"{commit}{' with uncommitted changes' * bool(code['dirty'])} (source {code.get('source')})"
