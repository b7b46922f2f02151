"""Sets up the form of a run's training step: its convolutions, compiled or not, a CUDA graph or not.

The form of the step is decided when a job starts for the first time. It is part of the job's numerics, and stays the
same when the job resumes.
"""

import json
import logging
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from weakref import proxy

import torch
from torch import Tensor, nn

from mnist_resnet.config.classifier_schema import Trainer
from mnist_resnet.data.split import StreamedSplit
from mnist_resnet.errors import wording
from mnist_resnet.training.convolution_choice import choose
from mnist_resnet.training.cuda_graph import GraphedUpdate, NotGraphed, Recording, cuda_graph
from mnist_resnet.training.numerics import Numerics
from mnist_resnet.training.snapshot import Snapshot
from mnist_resnet.training.step import LossFunction
from mnist_resnet.training.training_run import Forward, Training, predict

VERIFIED_STEPS = 3
"""Steps for which a CUDA graph is compared with eager execution."""
MIN_GRAPH_STEPS = 100
"""Shortest run that gets a CUDA graph; warming up, recording and verifying it take as long as a dozen steps."""
MAX_COMPILED_NETWORKS = 64
"""Networks that one process may compile; PyTorch's default limit for one function is 8."""


@dataclass(frozen=True)
class Gain:
    """The measured gain from compiling the report's network with batches of 64 images.

    Attributes:
        saved: seconds per step.
        warm_up: seconds that compiling takes.
    """

    saved: float
    warm_up: float


GAINS = {("cpu", "fp32"): Gain(saved=0.0, warm_up=39.5), ("cpu", "bf16"): Gain(saved=-0.019, warm_up=50.6)}
"""Measured gain by device and precision (`benchmarks/NOTES.md`, "One run, CPU").

It was not measured on CUDA, where steps are therefore compiled only with `trainer.compile=true`.
"""


def decide(trainer: Trainer, numerics: Numerics, steps: int, network: str) -> tuple[Numerics, str]:
    """Decide whether to compile the training step and whether to record it as a CUDA graph.

    Args:
        trainer: the config's `trainer`; `compile` is `auto`, true or false.
        numerics: the run's numerics with device and precision resolved.
        steps: number of steps that the run will do.
        network: identifies what would be compiled; a network that this process has compiled needs no warm-up.

    Returns:
        The numerics with `compiled` and `graphed` set, and the reason for what `auto` decided, empty without `auto`.
    """
    kind = torch.device(numerics.device).type
    requested = trainer.compile
    graphed = kind == "cuda" and requested is not False and (requested is True or steps >= MIN_GRAPH_STEPS)
    gain = GAINS.get((kind, numerics.precision))
    warm_up = 0.0 if gain is None or network in _compiled_networks else gain.warm_up
    saves_time = gain is not None and gain.saved * steps > warm_up
    # Anomaly detection synchronises with the device after each operation, which a graph can't capture.
    decided = replace(
        numerics,
        compiled=saves_time if requested == "auto" else requested,
        graphed=graphed and not trainer.detect_anomaly,
    )
    return decided, _reason(gain, steps, warm_up) if requested == "auto" else ""


def _reason(gain: Gain | None, steps: int, warm_up: float) -> str:
    if gain is None:
        return "the gain from compiling was not measured here"
    if gain.saved <= 0:
        return "compiling saved nothing where it was measured"
    return f"compiling saves {gain.saved * steps:.3g} s of {steps:,} steps, and takes {warm_up:.3g} s"


def set_up(training: Training, is_settled: bool) -> tuple[list[str], str]:
    """Choose the step's convolutions, and compile it or record it as a CUDA graph; the run's state does not change.

    Args:
        training: the run, restored from its checkpoint if it has one. Its numerics, `forward` and `replay` are set.
        is_settled: True if its numerics already hold the form of the step, as they do when a job resumes.

    Returns:
        A line for each form that was decided for but failed, and the reason for what `auto` decided (see `decide`).
    """
    training.model.train()
    network, reason = _network(training), ""
    failures: list[str] = []
    if not is_settled:
        training.numerics, failures = choose(training)
        steps = training.config.epochs * training.steps_per_epoch
        training.numerics, reason = decide(training.config.trainer, training.numerics, steps, network)
    if training.own_step is not None and (training.numerics.compiled or training.numerics.graphed):
        training.numerics = replace(training.numerics, compiled=False, graphed=False)
        if training.config.trainer.compile is True:
            failures.append("neither compiled nor a CUDA graph: training.step names a step of its own")
    if training.numerics.graphed and isinstance(training.splits.train, StreamedSplit):
        training.numerics = replace(training.numerics, graphed=False)
        if training.config.trainer.compile is True:
            failures.append("no CUDA graph: the data are streamed")
    if training.numerics.compiled:
        error_line = _compile(training, network)
        if error_line:
            failures.append(f"not compiled: {error_line}")
            training.numerics = replace(training.numerics, compiled=False)
    if training.numerics.graphed:
        try:
            training.replay = graphed(training)
        except NotGraphed as error:
            failures.append(f"no CUDA graph: {error}")
            training.numerics = replace(training.numerics, graphed=False)
    return failures, reason


def graphed(training: Training, record: Recording = cuda_graph) -> GraphedUpdate:
    """Return the run's update as a CUDA graph.

    Args:
        training: the run, which does not change.
        record: records the graph.

    Raises:
        NotGraphed: see `GraphedUpdate`.
    """
    # The training will refer to the graph. A strong reference back would be a cycle, which keeps the memory of both
    # until Python's garbage collector runs.
    weak_training = proxy(training)
    model, optimizer, batches = training.model, training.optimizer, examples(training, VERIFIED_STEPS)
    return GraphedUpdate(
        lambda indices: weak_training.update(indices),
        *(model, optimizer, training.components, [training.correct], batches, record),
    )


_compiled_networks: set[str] = set()
_compiled_threads: list[int] = []
"""The number of threads that the compiled code was generated for; empty before anything is compiled."""


def _compile(training: Training, network: str) -> str | None:
    """Compile the forward and backward pass by doing it once; return why that failed in one line, or None."""
    import torch._dynamo  # takes a second

    # On a machine with nvcc but no GPU, loading the compiler logs a warning at each start, even for CPU runs.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    if not _has_compiler():
        return "there is no C++ compiler (CXX, or g++ on the path)"
    if _compiled_threads != [training.numerics.threads]:
        torch._dynamo.reset()  # the number of threads is a constant in the compiled code
        _compiled_threads[:] = [training.numerics.threads]
        _compiled_networks.clear()
    components, forward = training.components, _compiled_predict()
    before, host_state = Snapshot(training.model, training.optimizer, components), components.host_state()
    try:
        images, labels = training.splits.train.batch(examples(training, 1)[0])
        forward(training.model, training.loss, training.numerics, images, labels)[0].backward()
        if changed := components.changed_by_python(host_state):  # it would be compiled again in each step
            return f"the step changes {changed}, a constant in compiled code"
    except Exception as error:
        return wording(error, 200)
    finally:
        before.restore()
    training.forward = FullBatchForward(forward, training.config.data.batch_size)
    _compiled_networks.add(network)
    return None


class FullBatchForward:
    """Runs the compiled `predict` for full batches, and the eager one for smaller ones, which need no recompilation."""

    def __init__(self, forward: Forward, batch_size: int) -> None:
        self._forward, self._batch_size = forward, batch_size

    def __call__(
        self, model: nn.Module, loss: LossFunction, numerics: Numerics, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return the mean loss, float32 [], and the logits, float32 [batch, classes]; see `predict`."""
        forward = self._forward if len(labels) == self._batch_size else predict
        return forward(model, loss, numerics, images, labels)


@cache
def _compiled_predict() -> Any:
    """Return the compiled `predict`; all jobs of a process share it and the code compiled for each network."""
    import torch._dynamo

    torch._dynamo.config.recompile_limit = MAX_COMPILED_NETWORKS
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    return torch.compile(predict, dynamic=False)


def _has_compiler() -> bool:
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler:
        return False
    return True


def _network(training: Training) -> str:
    """Return a text that identifies the compiled code: network, loss, batch size and precision."""
    config = training.config
    return json.dumps(
        [node.model_dump() for node in (config.model, config.loss)]
        + [config.data.batch_size, training.numerics.precision]
    )


def examples(training: Training, count: int) -> list[Tensor]:
    """Return indices of training images for full batches, all different if there are enough images.

    Args:
        training: the run.
        count: number of batches.

    Returns:
        `count` tensors, int64 [batch], on the run's device.
    """
    size, images = training.config.data.batch_size, len(training.splits.train)
    indices = torch.arange(count * size, device=training.numerics.device) % images
    return list(torch.split(indices, size))
