"""Picks the layers whose convolutions take Winograd's form in training, by measuring both forms on this machine.

A shape is measured once a machine; the times are kept in a file in the user's cache folder. The choice is part of a
job's numerics.
"""

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from mnist_resnet.job_folder import write_atomically
from mnist_resnet.jobs.environment import cpu_model
from mnist_resnet.training import winograd
from mnist_resnet.training.numerics import Numerics
from mnist_resnet.training.snapshot import Snapshot
from mnist_resnet.training.training_run import Training

ROUNDS = 5
"""Turns of both forms; the shortest of each counts, because other processes only make a turn longer."""
LARGEST_SHARE = 0.95
"""Largest share of PyTorch's time at which Winograd's form is taken."""
IMAGES = 2
"""Images that a network is run on to find its layers."""

Seconds = dict[str, tuple[float, float]]
"""By layer, what its forward and backward pass take in PyTorch's and in Winograd's form."""


def choose(training: Training) -> Numerics:
    """Return the run's numerics with the choice of its layers' convolutions. The state of the run does not change.

    Args:
        training: the run, with numerics that `resolve` returned.
    """
    numerics, requested = training.numerics, training.config.trainer.convolutions
    if requested == "pytorch" or (numerics.device, numerics.precision) != ("cpu", "fp32"):
        return numerics
    layers = _layers(training)
    if requested == "auto":
        seconds = _measured(layers, numerics.threads, training.config.data.batch_size)
        layers = [layer for layer in layers if seconds[layer][1] <= LARGEST_SHARE * seconds[layer][0]]
    return replace(numerics, convolutions=" ".join(["winograd", *layers])) if layers else numerics


def cache_file() -> Path:
    """Return the file with this user's measurements, after the XDG base directory specification."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "mnist_resnet" / "convolutions.json"


def _layers(training: Training) -> list[str]:
    """Return the names of the network's layers that have Winograd's form, each once."""
    model = training.model
    if not any(_may_have_form(parameter) for parameter in model.parameters()):
        return []
    before, found = Snapshot(model, training.optimizer, training.components), _Layers()
    images, _ = training.splits.train.batch(slice(0, IMAGES))
    try:
        with torch.no_grad(), found:
            model.eval()(images)
    finally:
        model.train()
        before.restore()
    return sorted(found.names)


def _may_have_form(parameter: nn.Parameter) -> bool:
    return parameter.shape[2:] == (3, 3) and min(parameter.shape[:2]) >= winograd.MIN_CHANNELS


class _Layers(TorchFunctionMode):
    """Collects the names of the layers that have Winograd's form."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.conv2d:
            name = winograd.layer(*args, **(kwargs or {}))
            self.names |= {name} if name else set()
        return func(*args, **(kwargs or {}))


def _measured(layers: Sequence[str], threads: int, batch: int) -> Seconds:
    """Return each layer's seconds, measured now or earlier."""
    machine = f"{cpu_model()}, torch {torch.__version__}, {threads} threads, batches of {batch}"
    file = cache_file()
    with _locked(file.parent):
        every = _read(file)
        known = every.setdefault(machine, {})
        missing = {layer: _measure(layer, threads, batch) for layer in layers if layer not in known}
        known |= missing
        if missing:
            with suppress(OSError):  # then each process measures for itself
                write_atomically(file, json.dumps(every, indent=1) + "\n", sync=False)
    return known


@cache
def _measure(layer: str, threads: int, batch: int) -> tuple[float, float]:  # noqa: ARG001 (a key of the cache)
    """Return the seconds of a layer's forward and backward pass in PyTorch's and in Winograd's form."""
    channels, _, size = layer.partition("@")
    channels_in, channels_out = map(int, channels.split("x"))
    random = partial(torch.randn, generator=torch.Generator().manual_seed(0))
    images = random(batch, channels_in, int(size), int(size)).to(memory_format=torch.channels_last)
    weight = random(channels_out, channels_in, 3, 3).to(memory_format=torch.channels_last)
    forms = (partial(torch.conv2d, padding=1), winograd.convolution)
    turns = [[_seconds(form, images, weight) for form in forms] for _ in range(1 + ROUNDS)]
    pytorch, ours = (min(times) for times in zip(*turns[1:], strict=True))
    return pytorch, ours


def _seconds(form: Callable[[Tensor, Tensor], Tensor], images: Tensor, weight: Tensor) -> float:
    inputs = images.requires_grad_(), weight.requires_grad_()
    started = time.perf_counter()
    maps = form(*inputs)
    torch.autograd.grad(maps, inputs, maps.detach())
    return time.perf_counter() - started


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, so that workers who start together measure once and choose the same."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        yield
        return
    try:
        with suppress(OSError):  # some file servers have no locks
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(file: Path) -> dict[str, Seconds]:
    """Return the file's measurements, by machine; none if it is missing or damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {
            machine: {layer: (float(pytorch), float(ours)) for layer, (pytorch, ours) in seconds.items()}
            for machine, seconds in content.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
