"""Checks that the files of a stored sweep agree: somebody may have edited or merged them, or lost some on the way."""

from collections import Counter
from pathlib import Path
from typing import Any

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.metric import is_image_classifier, last_values
from mnist_resnet.config.signature import signature
from mnist_resnet.job_folder import DONE, METRICS, RESULT, SWEEP, Status, UnreadableFolder, read_metrics
from mnist_resnet.jobs.result import read_result
from mnist_resnet.sweeps.folder import Sweep


def check_list(sweep: Sweep) -> None:
    """Check that no job is listed twice, and none was changed since it was signed: it would keep its signature.

    Older versions signed other keys, or numbers in another spelling. A job is therefore judged only if another one that
    the same code froze agrees with its signature.

    Raises:
        UnreadableFolder: one is or has been.
    """
    names = Counter(job.name for job in sweep.jobs)
    if twice := [name for name, count in names.items() if count > 1]:
        raise UnreadableFolder(f"{sweep.folder / SWEEP}: lists {twice[0]} twice; remove one of the two")
    changed = {job.name: _source(job) for job in sweep.jobs if signature(job.config) != job.signature}
    judged = {_source(job) for job in sweep.jobs if job.name not in changed} - {None}
    if edited := [name for name, source in changed.items() if source in judged]:
        raise UnreadableFolder(
            f"{sweep.folder / SWEEP}: the config of {edited[0]} has been changed since it was signed"
        )


def stored_result(folder: Path, job: JobSpec) -> dict[str, Any] | None:
    """Return the content of the job's `result.json`; None if there is none yet.

    Raises:
        UnreadableFolder: it can't be read, is of another job or, if the job has ended, disagrees with its metrics.
    """
    result = read_result(folder)
    if result is None:
        return None
    if result["signature"] != job.signature:
        raise UnreadableFolder(f"{folder}: holds another job, {result.get('name')}")
    if result["status"] in DONE:
        _check_metrics(folder, result)
    return result


def _source(job: JobSpec) -> str | None:
    """Return the code that froze the job; None if it may be older than the one spelling in which numbers are signed."""
    code = job.code or {}
    return str(code.get("source")) if "packages" in code else None


def _check_metrics(folder: Path, result: dict[str, Any]) -> None:
    lines, told = read_metrics(folder), result.get("epochs_completed") or 0
    if len(lines) != told:
        raise UnreadableFolder(f"{folder / METRICS}: {len(lines)} lines can be read, and {RESULT} counts {told}")
    is_classifier = is_image_classifier(result["config"])
    planned = result.get("epochs")
    if is_classifier and result["status"] == Status.COMPLETED and planned is not None and told < planned:
        raise UnreadableFolder(f"{folder / RESULT}: is completed, and has {told} of {planned} epochs")
    last = lines[-1] if is_classifier and lines else last_values(lines)
    stored = result.get("last") or {}
    # As text, since not-a-number equals nothing.
    if changed := [name for name, value in last.items() if str(stored.get(name)) != str(value)]:
        raise UnreadableFolder(f"{folder / RESULT}: last.{changed[0]} is not that of the last line of {METRICS}")
