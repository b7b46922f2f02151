"""The task of training an image classifier: prepared, trained and saved. `jobs.task` loads this module by name."""

import io
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mnist_resnet.config.schema import Config
from mnist_resnet.data.batches import DataSplits, check_split, decode, load, target_kind
from mnist_resnet.data.fingerprint import fingerprint
from mnist_resnet.data.split import Split
from mnist_resnet.errors import UsageError, raised_at, wording
from mnist_resnet.job_folder import EXPORTED_MODEL, TRACED_MODEL, WEIGHTS
from mnist_resnet.jobs.lease import LeaseLost
from mnist_resnet.jobs.progress import Diverged
from mnist_resnet.jobs.random_states import random_states
from mnist_resnet.jobs.task_run import TaskRun
from mnist_resnet.models.export import export_model
from mnist_resnet.models.model_file import ModelDescription
from mnist_resnet.tracking.callback import Callback, Pruned
from mnist_resnet.tracking.guarded import GuardedTracker
from mnist_resnet.tracking.log_file import LogFile, report_loss
from mnist_resnet.training import numerics
from mnist_resnet.training.compile import set_up
from mnist_resnet.training.component_state import equal
from mnist_resnet.training.core_contention import CoreContention
from mnist_resnet.training.evaluation import log_probabilities
from mnist_resnet.training.loop import train
from mnist_resnet.training.module_generators import unsaved_module_generators
from mnist_resnet.training.own_stream import OwnStream
from mnist_resnet.training.predictions import test_set_sha256, write_predictions
from mnist_resnet.training.recipe import try_recipe
from mnist_resnet.training.training_run import Training

CHECKED_IMAGES = 100
"""Test images on which a saved model is compared with the live one."""


def check_machine(config: Config) -> None:
    """Check that this machine has the device and the precision that the config asks for.

    Raises:
        UsageError: It does not.
    """
    numerics.resolve(config.trainer)


def check_data(config: Config) -> str | None:
    """Check that the images can be loaded and fit the config, and return their fingerprint.

    Raises:
        UsageError: They can't, or don't.
    """
    decode(config.data)
    check_split(config.data, config.seeds.split)
    _check_loss(config)
    return fingerprint(config.data)


def _check_loss(config: Config) -> None:
    loss = config.loss.target
    if loss.endswith(("CrossEntropyLoss", ".cross_entropy")) and target_kind(config.data) == "yes_or_no":
        raise UsageError(
            f"loss._target_={loss}: is for one class each, and the targets are yes-or-no labels, float32 [n, "
            f"{config.data.classes}]; take loss=binary_cross_entropy, or make one-hot labels classes, int64 [n], by "
            f"labels.argmax(1)"
        )


def check_recipe(config: Config) -> None:
    """Build what the config names, and train one step on two images.

    Raises:
        UsageError: Something fails.
    """
    try_recipe(config)


def run(run: TaskRun) -> None:
    """Train a network and save what it learned; see `Task.run`."""
    config = run.config
    chosen = _numerics(run)
    run.record_data(fingerprint(config.data))
    splits = load(config.data, chosen.device, config.seeds.split)
    training = Training(config, splits, chosen)
    state, restored = run.load_state()
    if state is not None:
        training.restore(state)
    left_out, why = set_up(training, is_settled=bool(run.numerics))
    not_saved = [*training.components.not_saved(), *unsaved_module_generators(run.job.config)]
    run.writer.note(*left_out, *not_saved)
    parameters = sum(parameter.numel() for parameter in training.model.parameters())
    run.writer.start(training, config.epochs, parameters, training.numerics.as_dict(), training.numerics.device)
    _begin(run, training, splits)
    for line in [*restored, *left_out, *not_saved, f"{training.numerics}{f' ({why})' if why else ''}"]:
        run.console.log(f"  {line}")
    run.checkpoints.check(training.state)
    unused = _SeedUse(training) if state is None else None
    try:
        with _anomalies(config), _profile(config, run.folder), run.checkpoints.closing():
            train(training, run.callbacks, run.checkpoints, run.stop)
    except Diverged as error:
        _keep_losses(run, training, error)
        raise
    except Pruned:
        _add_report_losses(run, training)
        raise
    run.writer.note(*(unused.lines() if unused else ()))
    if config.sweep.keep == "checkpoint":
        run.keep_checkpoint(training.state)
    _save_results(run, training)
    _add_report_losses(run, training)


class _SeedUse:
    """Finds out whether seeds that were set for what is drawn during training had an effect."""

    def __init__(self, training: Training) -> None:
        self._training = training
        self._before = self._states()

    def _states(self) -> dict[str, Any]:
        """Return the state of the generator that each of these seeds began."""
        training = self._training
        states = {"dropout": random_states(training.numerics.device)}
        if isinstance(training.augment, OwnStream):
            states["augmentation"] = training.augment.states
        return {key: state for key, state in states.items() if getattr(training.config.seeds, key) is not None}

    def lines(self) -> list[str]:
        """Return a line for each seed of a generator from which nothing was drawn."""
        seeds, now = self._training.config.seeds, self._states()
        return [
            f"seeds.{key}={getattr(seeds, key)}: had no effect, nothing was drawn from it during training"
            for key, before in self._before.items()
            if equal(before, now[key])
        ]


def _numerics(run: TaskRun) -> numerics.Numerics:
    """Resolve the numerics at a job's first attempt, take the recorded ones at later attempts; set the process up."""
    recorded = run.numerics
    chosen, notes = numerics.resume(recorded) if recorded else (numerics.resolve(run.config.trainer), [])
    run.writer.note(*notes)
    chosen.apply()
    return chosen


def _begin(run: TaskRun, training: Training, splits: DataSplits) -> None:
    data, interval, steps = run.config.data, run.config.trainer.log_interval, training.steps_per_epoch
    log_file = LogFile(len(splits.train), len(splits.test), data.batch_size, data.test_batch_size)
    run.start(training, [log_file, GuardedTracker(run.config.tracking.node()), *_contention(run, training)])
    losses = torch.cat([*training.batch_losses, training.losses[: training.step].cpu()]).tolist()
    logged = [(step, loss) for step, loss in enumerate(losses) if step % steps % interval == 0]
    run.begin(steps, run.config.epochs, list(training.history), logged)


def _contention(run: TaskRun, training: Training) -> list[Callback]:
    """Return what advises on the number of threads, where that is still to be chosen."""
    numerics = training.numerics
    is_settled = run.numerics is not None or numerics.device != "cpu"
    return [] if is_settled else [CoreContention(numerics.threads, run.console.advise)]


def _keep_losses(run: TaskRun, training: Training, error: Diverged) -> None:
    """Write the batch losses up to the one that is not finite: they are the evidence."""
    if error.epoch == len(training.batch_losses):
        run.writer.write_batch_losses([*training.batch_losses, training.losses[: error.step + 1].cpu()])


def _add_report_losses(run: TaskRun, training: Training) -> None:
    data, last = run.config.data, training.history[-1]
    run.writer.result["report_loss"] = {
        "train": report_loss(last["train_loss"], len(training.splits.train), data.batch_size),
        "test": report_loss(last["test_loss"], len(training.splits.test), data.test_batch_size),
    }


def _save_results(run: TaskRun, training: Training) -> None:
    """Write the predictions and, unless `sweep.keep=none`, the trained network or, where that fails, its weights."""
    test, data = training.splits.test, run.config.data
    is_kept = run.config.sweep.keep != "none"
    if not isinstance(test, Split) or not _is_of_images(test):
        run.writer.note(
            "no predictions and no model file are written: they are for images of bytes with one class each, kept in "
            f"memory{f'; {WEIGHTS} has the trained weights' * is_kept}"
        )
        if is_kept:
            _write_weights(run, training)
        return
    predicted = log_probabilities(training, test)
    digest = test_set_sha256(test.pixels, test.labels)
    write_predictions(run.folder, test.labels, predicted, test.pixels, digest, run.write)
    if not is_kept:
        return
    assert data.classes is not None
    description = ModelDescription.of(test.pixels, data.mean, data.std, data.classes)
    training.free_optimizer()
    try:
        architecture = run.config.model.model_dump_json(by_alias=True)
        images = test.pixels[:CHECKED_IMAGES]
        export_model(training.averaging.model, images, description, run.folder, architecture, run.write)
    except (OSError, LeaseLost):
        raise
    except Exception as error:
        for name in (TRACED_MODEL, EXPORTED_MODEL):
            (run.folder / name).unlink(missing_ok=True)
        _write_weights(run, training)
        reason, where = re.split(r"(?<=[.!?]) ", wording(error))[0].rstrip("."), raised_at(error)
        run.writer.note(
            f"model._target_={run.config.model.target}: {WEIGHTS} has the trained weights, without a model file, since "
            f"PyTorch can't export the network: {reason[:200]}{f' ({where})' if where else ''}"
        )


def _write_weights(run: TaskRun, training: Training) -> None:
    model = training.averaging.model
    weights = getattr(model, "_orig_mod", model).state_dict()
    content = io.BytesIO()
    torch.save({key: value.cpu() if isinstance(value, Tensor) else value for key, value in weights.items()}, content)
    run.write(run.folder / WEIGHTS, content.getvalue())


def _is_of_images(test: Split) -> bool:
    return test.pixels.dtype == torch.uint8 and test.kind == "classes" and test.labels.ndim == 1


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
