"""One job, from its frozen config to its folder: claimed, built, trained, exported, recorded."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.schema import Config, check
from mnist_resnet.data.batches import DataSplits, load
from mnist_resnet.job_folder import EXPORTED_MODEL, PREVIOUS_CHECKPOINT, TRACED_MODEL, Metrics, Status
from mnist_resnet.jobs.checkpoint import Checkpoints, drop_checkpoints, load_checkpoint
from mnist_resnet.jobs.crash import RetryBudget, fail_crashed_job
from mnist_resnet.jobs.environment import code_version, write_environment
from mnist_resnet.jobs.lease import Lease, LeaseLost, LeaseMonitor, acquire_lease
from mnist_resnet.jobs.result import read_result
from mnist_resnet.jobs.result_writer import ResultWriter
from mnist_resnet.jobs.signals import Interrupt, Interrupted
from mnist_resnet.models.export import export_model
from mnist_resnet.models.model_file import ModelDescription
from mnist_resnet.tracking.callback import Callback, Pruned, Run
from mnist_resnet.tracking.console import ProgressConsole, duration
from mnist_resnet.tracking.guarded import GuardedTracker
from mnist_resnet.tracking.log_file import LogFile
from mnist_resnet.training import numerics
from mnist_resnet.training.compile import set_up
from mnist_resnet.training.loop import Diverged, Training, log_probabilities, train
from mnist_resnet.training.predictions import test_set_sha256, write_predictions

DONE = (Status.COMPLETED, Status.DIVERGED, Status.PRUNED)
"""Ends that running the job again would only repeat."""

CHECKED_IMAGES = 100
"""Test images on which a saved model is compared with the live one."""


@dataclass(frozen=True)
class ShorterRun:
    """A finished job of the same config but fewer epochs.

    Attributes:
        folder: of it.
        signature: of it.
        is_beginning: whether what it computed is the beginning of the longer job, which then can go on from its end.
    """

    folder: Path
    signature: str
    is_beginning: bool


@dataclass
class ProcessContext:
    """What all jobs of one process share; `facts` is what each of its attempts says of the process."""

    progress: ProgressConsole
    interrupt: Interrupt
    monitor: LeaseMonitor = field(default_factory=LeaseMonitor)
    callbacks: Sequence[Callback] = ()
    facts: Mapping[str, Any] = field(default_factory=dict)


def run_job(
    job: JobSpec,
    folder: Path,
    context: ProcessContext,
    shorter: ShorterRun | None = None,
    tries: RetryBudget | None = None,
    after: int | None = None,
) -> dict[str, Any] | None:
    """Run `job` in `folder`, from its last checkpoint if it was begun; its failure is recorded there, not raised.

    Args:
        job: frozen.
        folder: of it.
        context: of this process.
        shorter: from whose end it may go on.
        tries: how often its process may have died; beyond that it failed. None: somebody else counts.
        after: see `acquire_lease`.

    Returns:
        Its `result.json`, or None: somebody else holds the job, or took it over.

    Raises:
        Interrupted: the program was asked to end; the job can go on later.
        UnreadableFolder: the folder holds a `result.json` that this version can't read.
    """
    lease = acquire_lease(folder, context.monitor, code_version() | dict(context.facts), after=after)
    if lease is None:
        return None
    try:
        before = read_result(folder)
        if before and before["status"] in DONE:
            lease.release(before["status"])
            return before
        died = tries.deaths(lease) if tries else []
        if tries and len(died) > tries.retries:
            context.progress.log(f"{job.name}: failed: {died[-1]}")
            return fail_crashed_job(job, lease, died[-1], len(died), tries.retries)
        if tries and died:
            retry = f"retry {len(died)} of {tries.retries}"
            context.progress.log(f"{job.name}: {died[-1]}; goes on from its last checkpoint ({retry})")
        record = ResultWriter(job, lease, before)
        try:
            _run(job, record, lease, context, before, shorter)
        finally:
            lease.release(record.result["status"])
    except LeaseLost as lost:
        context.progress.log(f"  {lost}; it is left to the new holder")
        return None
    return record.result


def _run(
    job: JobSpec,
    record: ResultWriter,
    lease: Lease,
    context: ProcessContext,
    before: dict[str, Any] | None,
    shorter: ShorterRun | None,
) -> None:
    callbacks: list[Callback] = [context.progress]
    training: Training | None = None
    try:
        config = check(job.config)
        write_environment(record.folder)
        if job.sweep is not None:
            job.write_config(record.folder)
        chosen = _numerics(record, config, before)
        splits = load(config.data, chosen.device)
        training = Training(config, splits, chosen)
        restored = _restore(training, job, record, shorter)
        left_out, why = set_up(training, is_settled=bool((before or {}).get("numerics")))
        record.note(*left_out)
        record.start(training)
        callbacks += [
            ResultCallback(record, training, context.progress),
            LogFile(len(splits.train), len(splits.test), config.data.batch_size, config.data.test_batch_size),
            GuardedTracker(config.tracking.model_dump(by_alias=True)),
            *context.callbacks,
        ]
        _begin(callbacks, job, record, training)
        for line in [*restored, *left_out, f"{training.numerics}{f' ({why})' if why else ''}"]:
            context.progress.log(f"  {line}")
        checkpoints = Checkpoints(
            record.folder,
            job.signature,
            config.trainer.checkpoint_interval,
            config.trainer.checkpoint_every,
            lease.check,
        )
        with _anomalies(config), _profile(config, record.folder), checkpoints.closing():
            train(training, callbacks, checkpoints, context.interrupt)
        _save_what_it_learned(training, splits, record)
        if config.sweep.keep == "checkpoint":
            _keep_checkpoint(checkpoints, training, record)
        record.end(Status.COMPLETED, training=training)
        # Not before: until the result is on the disk, the checkpoint is all that there is of the job.
        _drop(config, record.folder)
    except LeaseLost:
        raise
    except Diverged as error:
        record.diverged(error, training)
    except Pruned as pruned:
        record.end(Status.PRUNED, training=training)
        drop_checkpoints(record.folder)
        context.progress.log(f"  pruned {pruned}")
    except (Interrupted, KeyboardInterrupt):
        record.end(Status.INTERRUPTED)
        raise
    except (Exception, SystemExit) as error:
        record.end(Status.FAILED, error)
    finally:
        for callback in callbacks:
            callback.end(record.result)


class ResultCallback:
    """The observer that keeps the job folder up to date."""

    def __init__(self, record: ResultWriter, training: Training, progress: ProgressConsole) -> None:
        self._record, self._training, self._progress = record, training, progress
        self._said = False

    def begin(self, run: Run) -> None:
        """Nothing: the record was begun before the network was built."""

    def batch(self, epoch: int, step: int, loss: float, accuracy: float) -> None:
        """Nothing: batch losses are written at an epoch's end."""

    def epoch(self, metrics: Metrics) -> None:
        """Write the epochs so far; say once what a crash can cost."""
        self._record.epoch_ended(self._training)
        trainer = self._training.config.trainer
        if not self._said and trainer.checkpoint_every is None and self._training.epoch < self._training.config.epochs:
            self._said = True
            cost = trainer.checkpoint_interval + metrics["seconds"]
            self._progress.log(f"  checkpoints at epochs' ends: a crash costs at most about {duration(cost)} of work")

    def end(self, result: dict[str, Any]) -> None:
        """Nothing: the record knows its end before its observers do."""


def _numerics(record: ResultWriter, config: Config, before: dict[str, Any] | None) -> numerics.Numerics:
    recorded = (before or {}).get("numerics")
    chosen, notes = numerics.resume(recorded) if recorded else (numerics.resolve(config.trainer), [])
    record.note(*notes)
    chosen.apply()
    return chosen


def _restore(training: Training, job: JobSpec, record: ResultWriter, shorter: ShorterRun | None) -> list[str]:
    """Set the training to where it goes on from; gives a line for each thing that was out of the ordinary."""
    state, lines = load_checkpoint(record.folder, job.signature)
    if state is None and shorter is not None:
        line = (
            f"starts over: under this schedule or averaging the epochs of {shorter.folder.name} are not its first ones"
        )
        if shorter.is_beginning:
            state, _ = load_checkpoint(shorter.folder, shorter.signature)
            what = f"{shorter.folder.name}, the same computation with fewer epochs"
            line = f"goes on from the end of {what}" if state else f"starts over: no checkpoint was kept of {what}"
        lines = [*lines, line]
    record.note(*lines)
    if state is not None:
        training.restore(state)
    return lines


def _begin(callbacks: list[Callback], job: JobSpec, record: ResultWriter, training: Training) -> None:
    interval = training.config.trainer.log_interval
    losses = torch.cat([*training.batch_losses, training.losses[: training.step].cpu()]).tolist()
    run = Run(
        id=record.result["id"],
        name=job.name,
        group=job.sweep,
        tags=[
            f"{group}={choice}" for group, choice in job.choices.items() if group in ("experiment", "scale") and choice
        ],
        folder=record.folder,
        config=job.config,
        steps_per_epoch=training.steps_per_epoch,
        epochs=training.config.epochs,
        history=list(training.history),
        batch_losses=[
            (step, loss) for step, loss in enumerate(losses) if step % training.steps_per_epoch % interval == 0
        ],
    )
    for callback in callbacks:
        callback.begin(run)


def _save_what_it_learned(training: Training, splits: DataSplits, record: ResultWriter) -> None:
    record.check()
    test, data = splits.test, training.config.data
    said = log_probabilities(training, test)
    write_predictions(record.folder, test.labels, said, test.pixels, test_set_sha256(test.pixels, test.labels))
    if training.config.sweep.keep != "none":
        description = ModelDescription.of(test.pixels, data.mean, data.std, data.classes)
        try:
            built_from = training.config.model.model_dump_json(by_alias=True)
            trained, images = training.averaging.model, test.pixels[:CHECKED_IMAGES]
            export_model(trained, images, description, record.folder, built_from)
        except OSError:
            raise
        except Exception as error:
            record.note(f"the trained network could not be saved: {' '.join(str(error).split())}")


def _keep_checkpoint(checkpoints: Checkpoints, training: Training, record: ResultWriter) -> None:
    record.check()
    checkpoints.write_now(training.state)
    (record.folder / PREVIOUS_CHECKPOINT).unlink(missing_ok=True)


def _drop(config: Config, folder: Path) -> None:
    """Remove what a completed job is not to keep."""
    if config.sweep.keep != "checkpoint":
        drop_checkpoints(folder)
    if config.sweep.keep == "none":
        for name in (TRACED_MODEL, EXPORTED_MODEL):
            (folder / name).unlink(missing_ok=True)


def _anomalies(config: Config) -> AbstractContextManager[Any]:
    return torch.autograd.detect_anomaly() if config.trainer.detect_anomaly else nullcontext()


@contextmanager
def _profile(config: Config, folder: Path) -> Iterator[None]:
    if not config.trainer.profile:
        yield
        return
    with torch.profiler.profile(profile_memory=True) as profiler:
        yield
    profiler.export_chrome_trace(str(folder / "trace.json"))
