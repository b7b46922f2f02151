"""Hydra's task function: runs a single run in the folder that Hydra made, or one frozen job of a sweep."""

import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from mnist_resnet.config.allowed_targets import allow
from mnist_resnet.config.combinations import override_key
from mnist_resnet.config.compose import resolve_job
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.levels import in_one_spelling, level_text
from mnist_resnet.config.metric import is_image_classifier
from mnist_resnet.config.names import job_name
from mnist_resnet.config.printed_command import hydra_path, train_command
from mnist_resnet.config.signature import differing_numerics, distinguishes_jobs
from mnist_resnet.errors import UsageError, wording
from mnist_resnet.job_folder import DONE, SWEEP, Status
from mnist_resnet.jobs.config_folders import config_folders
from mnist_resnet.jobs.result import read_result
from mnist_resnet.jobs.run import ProcessContext, run_job
from mnist_resnet.jobs.signals import Interrupt, Interrupted
from mnist_resnet.sweeps.folder import read_sweep
from mnist_resnet.sweeps.runner import run_jobs
from mnist_resnet.tracking.console import ProgressConsole, plain_console
from mnist_resnet.tracking.guarded import GuardedTracker


def run_task(config: DictConfig) -> int:
    """Run the job that Hydra composed and return the exit code.

    Third-party launchers call this once for each job of a sweep, on any machine. The job's frozen config is used then,
    not the one that Hydra composed: the files in `conf/` may have changed since.

    Raises:
        UsageError: another process is running a job in the folder, or its files can't be read or written.
    """
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    # What Hydra composed here is the user's own; the frozen config names the same targets.
    allow(OmegaConf.to_container(config, resolve=False))
    if hydra.mode == RunMode.MULTIRUN and (Path(hydra.sweep.dir) / SWEEP).exists():
        return _run_sweep_job(Path(hydra.sweep.dir), folder.name)
    if config.sweep.get("seeds") == "auto":
        raise UsageError("sweep.seeds=auto: adds seeds to a sweep, and this is a single run; add -m, or leave it out")
    with_hydra = config.copy()
    with open_dict(with_hydra):
        with_hydra.hydra = hydra
    overrides = [str(override) for override in hydra.overrides.task]
    job = resolve_job(with_hydra, overrides, swept=[])
    shown = [
        in_one_spelling(override.lstrip("+")) for override in overrides if distinguishes_jobs(override_key(override))
    ]
    job = replace(job, name=job_name(shown), config_folders=config_folders(with_hydra))
    try:
        return _run_single(job, folder)
    except OSError as error:
        if not error.filename:
            raise
        raise UsageError(wording(error)) from error  # Hydra would print a line of its own before that of another error


def _run_sweep_job(sweep: Path, name: str) -> int:
    """Run a job of a sweep and return the exit code: 0 even if the job fails, so that the launcher's other jobs run.

    The job's folder records the failure. A stop request counts from the launch on: jobs that the launcher starts after
    it end at once.
    """
    try:
        run_jobs(sweep, [name], "continue", read_sweep(sweep).content.get("stop", ""))
    except Interrupted as interrupted:
        plain_console().print(str(interrupted), markup=False)
        if interrupted.signal_number == signal.SIGUSR2 and callable(signal.getsignal(signal.SIGUSR2)):
            # Pass the signal on to the previous handler, now that the checkpoint is written: submitit requeues the job.
            signal.raise_signal(signal.SIGUSR2)
        return interrupted.exit_code
    return 0


def _run_single(job: JobSpec, folder: Path) -> int:
    interrupt = Interrupt()
    console = plain_console()
    before = read_result(folder)
    if before is not None and before["status"] in DONE:
        console.print(
            f"{before['status']} before, so nothing was run: {folder}; to run it again choose another hydra.run.dir",
            markup=False,
        )
        return 0 if before["status"] == Status.COMPLETED else 1
    job, line = _as_begun(job, before)
    if line:
        console.print(f"{folder}: {line}", markup=False)
    try:
        with interrupt.listening(), ProgressConsole() as progress:
            # The user's own folder may be a link; a job's folder in a sweep may not.
            there = folder.resolve() if folder.is_symlink() else folder.absolute()
            result = run_job(job.as_recorded(read_result(folder)), there, ProcessContext(progress, interrupt))
    except Interrupted as interrupted:
        program, *typed = sys.argv
        typed = [word for word in typed if not word.startswith("hydra.run.dir=")]
        command = train_command(program, [*typed, f"hydra.run.dir={hydra_path(folder)}"])
        console.print(f"{interrupted}; to resume: {command}", markup=False)
        return interrupted.exit_code
    if result is None:
        raise UsageError(f"hydra.run.dir={folder}: another process is running a job there; choose another folder")
    hint = GuardedTracker(job.config["tracking"]).hint(folder)
    if hint:
        console.print(hint, markup=False)
    console.print(f"{result['status']}: {folder}", markup=False)
    return 0 if result["status"] == Status.COMPLETED else 1


def _as_begun(job: JobSpec, before: dict[str, Any] | None) -> tuple[JobSpec, str]:
    """Return the job with the numerics that its earlier attempts asked for, and a line if others are asked for now."""
    if before is None or not before.get("numerics") or not is_image_classifier(job.config):
        return job, ""
    differing = differing_numerics(before["config"], job.config)
    if not differing:
        return job, ""
    trainer = {key.removeprefix("trainer."): value for key, value in differing.items()}
    shown = " ".join(f"{key}={level_text(value)}" for key, value in differing.items())
    return (
        replace(job, config={**job.config, "trainer": {**job.config["trainer"], **trainer}}),
        f"began with {shown}, and goes on so where it can; to begin with others choose another hydra.run.dir",
    )
