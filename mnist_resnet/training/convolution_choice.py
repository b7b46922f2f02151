"""Picks the forms that layers' convolutions take in training, by measuring each form on this machine.

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
from mnist_resnet.training.convolution_forms import FORMS, MIN_CHANNELS, forms_of, layer, shape_of
from mnist_resnet.training.numerics import Numerics
from mnist_resnet.training.snapshot import Snapshot
from mnist_resnet.training.training_run import Training

ROUNDS = 5
"""Turns of all forms; the shortest of each counts, because other processes only make a turn longer."""
LARGEST_SHARE = 0.95
"""Largest share of PyTorch's time at which another form is taken."""
IMAGES = 2
"""Images that a network is run on to find its layers."""
PYTORCH = "pytorch"
"""Name of PyTorch's own form, beside those in `FORMS`."""

Seconds = dict[str, float]
"""By form, what a layer's forward and backward pass take."""


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
        layers = [fastest for layer in layers if (fastest := _fastest(layer, seconds[layer]))]
    else:
        layers = [layer for layer in layers if "" in forms_of(layer)]
    return replace(numerics, convolutions=" ".join(["winograd", *layers])) if layers else numerics


def _fastest(layer: str, seconds: Seconds) -> str | None:
    """Return the layer with its fastest form, or None if that is PyTorch's."""
    form = min(seconds, key=lambda form: seconds[form])
    if form == PYTORCH or seconds[form] > LARGEST_SHARE * seconds[PYTORCH]:
        return None
    return f"{layer}:{form}" if form else layer


def cache_file() -> Path:
    """Return the file with this user's measurements, after the XDG base directory specification."""
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "mnist_resnet" / "convolutions.json"


def _layers(training: Training) -> list[str]:
    """Return the names of the network's layers that have other forms, each once."""
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
    return parameter.shape[2:] == (3, 3) and min(parameter.shape[:2]) >= MIN_CHANNELS


class _Layers(TorchFunctionMode):
    """Collects the names of the layers that have other forms."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func is torch.conv2d:
            name = layer(*args, **(kwargs or {}))
            self.names |= {name} if name else set()
        return func(*args, **(kwargs or {}))


def _measured(layers: Sequence[str], threads: int, batch: int) -> dict[str, Seconds]:
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
def _measure(layer: str, threads: int, batch: int) -> Seconds:
    """Return the seconds of a layer's forward and backward pass in each of its forms."""
    channels_in, channels_out, size, stride = shape_of(layer)
    random = partial(torch.randn, generator=torch.Generator().manual_seed(0))
    images = random(batch, channels_in, size, size).to(memory_format=torch.channels_last)
    weight = random(channels_out, channels_in, 3, 3).to(memory_format=torch.channels_last)
    forms = {PYTORCH: partial(torch.conv2d, stride=stride, padding=1)} | {form: FORMS[form] for form in forms_of(layer)}
    # Of one thread the processor's time, which other processes don't lengthen; several also wait for each other.
    clock = time.thread_time if threads == 1 else time.perf_counter
    turns = [{form: _seconds(forms[form], images, weight, clock) for form in forms} for _ in range(1 + ROUNDS)]
    return {form: min(turn[form] for turn in turns[1:]) for form in forms}


def _seconds(
    form: Callable[[Tensor, Tensor], Tensor], images: Tensor, weight: Tensor, clock: Callable[[], float]
) -> float:
    inputs = images.requires_grad_(), weight.requires_grad_()
    started = clock()
    maps = form(*inputs)
    torch.autograd.grad(maps, inputs, maps.detach())
    return clock() - started


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


def _read(file: Path) -> dict[str, dict[str, Seconds]]:
    """Return the file's measurements, by machine; none if it is missing or damaged."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return {
            machine: {
                layer: {str(form): float(one) for form, one in seconds.items()} for layer, seconds in layers.items()
            }
            for machine, layers in content.items()
        }
    except (OSError, ValueError, TypeError, AttributeError):
        return {}
