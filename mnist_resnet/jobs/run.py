"""Runs one job: acquires its lease, carries out its task, writes its result."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mnist_resnet.attempts import LeaseMonitor
from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.schema import check_job
from mnist_resnet.errors import wording
from mnist_resnet.job_folder import (
    DONE,
    Status,
    UndeliveredFile,
)
from mnist_resnet.jobs.checkpoint import Checkpoints
from mnist_resnet.jobs.config_folders import write_uncommitted_configs
from mnist_resnet.jobs.crash import RetryBudget, fail_crashed_job, fail_unstarted_attempt
from mnist_resnet.jobs.environment import code_version, write_environment
from mnist_resnet.jobs.lease import Lease, LeaseLost, acquire_lease
from mnist_resnet.jobs.packages import write_uncommitted_changes
from mnist_resnet.jobs.progress import Diverged
from mnist_resnet.jobs.result import read_result
from mnist_resnet.jobs.result_writer import ResultWriter
from mnist_resnet.jobs.signals import Interrupt, Interrupted
from mnist_resnet.jobs.stop_check import JobStopCheck, LeaseCallback
from mnist_resnet.jobs.task import load_task
from mnist_resnet.jobs.task_run import ShorterRun, TaskRun
from mnist_resnet.jobs.weights import remove_unkept_weights
from mnist_resnet.jobs.working_directory import keeping_working_directory
from mnist_resnet.tracking.callback import Callback, Pruned, notify_lost
from mnist_resnet.tracking.console import Forecast, ProgressConsole


@dataclass
class ProcessContext:
    """What all jobs of one process share.

    Attributes:
        progress: Shows progress.
        interrupt: Whether the process was asked to end.
        monitor: Observes other processes' leases.
        callbacks: Called for every job, after the job's own.
        facts: Recorded with each of the process's attempts, such as the worker's number.
    """

    progress: ProgressConsole
    interrupt: Interrupt
    monitor: LeaseMonitor = field(default_factory=LeaseMonitor)
    callbacks: Sequence[Callback] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)

    def tell_time_left(self, forecast: Forecast) -> None:
        """Let this process tell when the last job ends, unless it is a worker and its launch's first one tells."""
        if self.facts.get("worker", 1) == 1:
            self.progress.forecast = forecast


def run_job(
    job: JobSpec,
    folder: Path,
    context: ProcessContext,
    shorter: ShorterRun | None = None,
    retries: RetryBudget | None = None,
    after: int | None = None,
) -> dict[str, Any] | None:
    """Run `job` in `folder`, from its last checkpoint if it has one; a failure is recorded there, not raised.

    Args:
        job: The job.
        folder: Its folder.
        context: Shared by all jobs of this process.
        shorter: A job whose end this one may continue.
        retries: How often the job's process may crash before the job fails. None: a supervisor counts crashes.
        after: See `acquire_lease`.

    Returns:
        Its `result.json`, or None if another process holds the job or took it over.

    Raises:
        Interrupted: The program was asked to end; the job can continue later.
        UnreadableFolder: The folder holds a `result.json` that this version can't read.
    """
    lease = acquire_lease(folder, context.monitor, code_version() | dict(context.facts), after=after)
    if lease is None:
        return None
    try:
        try:
            before = read_result(folder)
        except UndeliveredFile as error:
            context.progress.log(f"{job.name}: {error}; tried again later")
            lease.release(Status.INTERRUPTED)
            return None
        if before and before["status"] in DONE:
            remove_unkept_weights(folder)
            lease.release(before["status"])
            return before
        try:
            crashes = retries.crashes(lease) if retries else []
        except OSError as error:
            # Nobody knows how often the job crashed. The launch goes on with other jobs; the next one tries again.
            context.progress.log(f"{job.name}: failed: its earlier attempts can't be read ({wording(error)})")
            return fail_unstarted_attempt(job, lease, error)
        if retries and len(crashes) > retries.limit:
            context.progress.log(f"{job.name}: failed: {crashes[-1]}")
            return fail_crashed_job(job, lease, crashes[-1], len(crashes), retries.limit)
        if retries and crashes:
            retry = f"retry {len(crashes)} of {retries.limit}"
            context.progress.log(f"{job.name}: {crashes[-1]}; resumes from its last checkpoint ({retry})")
        writer = ResultWriter(job, lease, before)
        try:
            with keeping_working_directory(context.progress.log):  # by what is called after the task
                _run(job, writer, lease, context, before, shorter)
        finally:
            lease.release(writer.result["status"])
    except LeaseLost as lost:
        context.progress.log(f"  {lost}; the new holder runs it now")
        return None
    finally:
        lease.abandon()
    return writer.result


def _run(
    job: JobSpec,
    writer: ResultWriter,
    lease: Lease,
    context: ProcessContext,
    before: dict[str, Any] | None,
    shorter: ShorterRun | None,
) -> None:
    callbacks: list[Callback] = [LeaseCallback(lease), context.progress]
    is_lost = False
    context.progress.prepare(job.name)
    try:
        config = check_job(job.config)
        write_environment(writer.folder)
        write_uncommitted_changes(writer.folder, job.config)
        write_uncommitted_configs(writer.folder, job.config_folders)
        if job.sweep is not None:
            job.write_config(writer.folder)

        def report(line: str) -> None:
            context.progress.log(f"  {line}")
            writer.note(line)
            writer.write()

        checkpoints = Checkpoints(writer.folder, job.signature, *config.checkpoint_settings, lease.check, report)
        numerics = (before or {}).get("numerics")
        task_run = TaskRun(
            *(job, config, writer, checkpoints, JobStopCheck(lease, context.interrupt), context.progress),
            *(numerics, shorter),
            callbacks=callbacks,
            own_callbacks=context.callbacks,
        )
        with keeping_working_directory(report), context.interrupt.ending_readers():
            load_task(config).run(task_run)
        writer.end(Status.COMPLETED)
        # Only now: until the result is on the disk, the checkpoint is the only copy of the job's work.
        remove_unkept_weights(writer.folder)
    except LeaseLost:
        is_lost = True
        raise
    except Diverged as error:
        writer.end(Status.DIVERGED, error)
    except Pruned as pruned:
        writer.end(Status.PRUNED)
        remove_unkept_weights(writer.folder)
        context.progress.log(f"  pruned {pruned}")
    except (Interrupted, KeyboardInterrupt):
        writer.end(Status.INTERRUPTED)
        raise
    except (Exception, SystemExit) as error:
        writer.end(Status.FAILED, error)
    finally:
        if is_lost or lease.lost:
            notify_lost(callbacks)
        else:
            for callback in callbacks:
                callback.end(writer.result)
