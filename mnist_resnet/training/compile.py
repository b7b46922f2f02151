"""Whether a step is compiled, or recorded as a CUDA graph: where that pays, or is asked for, and can be done.

It is decided at a job's first start, is part of its numerics, and holds when it goes on.
"""

import json
import logging
from dataclasses import dataclass, replace
from functools import cache
from typing import Any
from weakref import proxy

import torch
from torch import Tensor, nn

from mnist_resnet.config.schema import Trainer
from mnist_resnet.training.cuda_graph import Graph, NotGraphed, Recording, cuda_graph
from mnist_resnet.training.loop import Forward, LossFunction, Training, predict
from mnist_resnet.training.numerics import Numerics
from mnist_resnet.training.snapshot import Snapshot

CHECKED_STEPS = 3
"""Steps of which a graph has to make what they make without it."""
FEWEST_STEPS = 100
"""For a graph to pay: warming up, recording and checking it take the time of a dozen steps."""
NETWORKS = 64
"""Networks that one process may compile; PyTorch's limit for one function is 8."""


@dataclass(frozen=True)
class Gain:
    """What compiling gave: `saved` seconds a step (batch 64, the report's network), after `warm_up` seconds."""

    saved: float
    warm_up: float


GAINS = {("cpu", "fp32"): Gain(saved=0.0, warm_up=39.5), ("cpu", "bf16"): Gain(saved=-0.019, warm_up=50.6)}
"""By device and precision, as measured (`benchmarks/NOTES.md`, "One run, CPU"). On CUDA nobody has measured yet, so
that nothing is compiled there but by order."""


def decide(trainer: Trainer, numerics: Numerics, steps: int, network: str) -> tuple[Numerics, str]:
    """What the numerics are with the step's form settled, and what `auto` decided by (empty if an order was given).

    Args:
        trainer: `compile` is what was asked for.
        numerics: settled otherwise.
        steps: that are to come.
        network: names what would be compiled; what this process has compiled already needs no warming up.
    """
    kind = torch.device(numerics.device).type
    asked = trainer.compile
    graphed = kind == "cuda" and asked is not False and (asked is True or steps >= FEWEST_STEPS)
    gain = GAINS.get((kind, numerics.precision))
    warm_up = 0.0 if gain is None or network in _compiled_networks else gain.warm_up
    pays = gain is not None and gain.saved * steps > warm_up
    # Finding the operation that made a NaN waits for the device after each.
    settled = replace(
        numerics, compiled=pays if asked == "auto" else asked, graphed=graphed and not trainer.detect_anomaly
    )
    return settled, _why(gain, steps, warm_up) if asked == "auto" else ""


def _why(gain: Gain | None, steps: int, warm_up: float) -> str:
    if gain is None:
        return "what compiling gains here was not measured"
    if gain.saved <= 0:
        return "compiling saved nothing where it was measured"
    return f"compiling saves {gain.saved * steps:.3g} s of {steps:,} steps, and takes {warm_up:.3g} s"


def set_up(training: Training, is_settled: bool) -> tuple[list[str], str]:
    """Compile or record the training's step, once it stands where it goes on from; it does not move by this.

    Args:
        training: its numerics are settled in full by this; what can't be done is left out of them.
        is_settled: whether they say already how the step is done, as those of a job that goes on do.

    Returns:
        A line for each thing that could not be done, and what `auto` decided by, as `decide` says it.
    """
    training.model.train()
    network, lines, why = _network(training), [], ""
    if not is_settled:
        steps = training.config.epochs * training.steps_per_epoch
        training.numerics, why = decide(training.config.trainer, training.numerics, steps, network)
    if training.numerics.compiled:
        obstacle = _compile(training, network)
        if obstacle:
            lines.append(f"not compiled: {obstacle}")
            training.numerics = replace(training.numerics, compiled=False)
    if training.numerics.graphed:
        try:
            training.replay = graphed(training)
        except NotGraphed as error:
            lines.append(f"no CUDA graph: {error}")
            training.numerics = replace(training.numerics, graphed=False)
    return lines, why


def graphed(training: Training, record: Recording = cuda_graph) -> Graph:
    """The training's step as a graph; see `Graph` for what it raises."""
    # The training will hold the graph: what held it in turn would keep its memory until Python looks for circles.
    itself = proxy(training)
    model, optimizer, three = training.model, training.optimizer, examples(training, CHECKED_STEPS)
    return Graph(lambda places: itself.update(places), model, optimizer, [training.correct], three, record)


_compiled_networks: set[str] = set()
_threads: list[int] = []


def _compile(training: Training, network: str) -> str | None:
    """Compile the step and do it once, to be undone; gives why that could not be, in one line."""
    import torch._dynamo  # takes a second

    # A machine with nvcc and no GPU is warned of that as the compiler is loaded, at each start, on a CPU too.
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)
    if not _has_compiler():
        return "there is no C++ compiler (CXX, or g++ on the path)"
    if _threads != [training.numerics.threads]:
        torch._dynamo.reset()  # the number of threads is written into the code
        _threads[:] = [training.numerics.threads]
        _compiled_networks.clear()
    before, forward = Snapshot(training.model, training.optimizer), _compiled_predict()
    try:
        images, labels = training.splits.train.batch(examples(training, 1)[0])
        forward(training.model, training.loss, training.numerics, images, labels)[0].backward()
    except Exception as error:
        return " ".join(str(error).split())[:200] or type(error).__name__
    finally:
        before.restore()
    training.forward = WholeBatches(forward, training.config.data.batch_size)
    _compiled_networks.add(network)
    return None


class WholeBatches:
    """What was compiled, for batches of the size that it was compiled for; another one is not worth compiling anew."""

    def __init__(self, forward: Forward, batch_size: int) -> None:
        self._forward, self._batch_size = forward, batch_size

    def __call__(
        self, model: nn.Module, loss: LossFunction, numerics: Numerics, images: Tensor, labels: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `predict`."""
        chosen = self._forward if len(labels) == self._batch_size else predict
        return chosen(model, loss, numerics, images, labels)


@cache
def _compiled_predict() -> Any:
    """One function for all jobs of a process, so that they share what was compiled of it for a network."""
    import torch._dynamo

    torch._dynamo.config.recompile_limit = NETWORKS
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
    config = training.config
    return json.dumps(
        [node.model_dump() for node in (config.model, config.loss)]
        + [config.data.batch_size, training.numerics.precision]
    )


def examples(training: Training, count: int) -> list[Tensor]:
    """Whole batches, int64 [batch], of different images if there are enough of them."""
    size, there = training.config.data.batch_size, len(training.splits.train)
    places = torch.arange(count * size, device=training.numerics.device) % there
    return list(torch.split(places, size))
