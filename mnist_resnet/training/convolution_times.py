"""Measures how long convolutions take in each of their forms on this machine.

A shape is measured once a machine; the times are kept in a file in the user's cache folder.
"""

import fcntl
import json
import math
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mnist_resnet.job_folder import write_atomically
from mnist_resnet.jobs.environment import cpu_model
from mnist_resnet.stored_file import parse_json, read_stored
from mnist_resnet.training.convolution_forms import FORMS, forms_of, shape_of

PYTORCH = "pytorch"
"""Name of PyTorch's own form, beside those in `FORMS`."""
ROUNDS = 5
"""Turns of all forms; the shortest of each counts, because other processes only make a turn longer."""
MAX_BATCH = 256
"""Most images that are measured: of larger batches each form takes in proportion, and measuring would take minutes."""
LOCK_TIMEOUT, LOCK_POLL = 60.0, 0.1
"""Seconds to wait for another process that measures, and between two looks; then this one measures for itself."""

Seconds = dict[str, float]
"""By form, what a layer's forward and backward pass take."""


def cache_file() -> Path | None:
    """Return the file with this user's measurements, after the XDG base directory specification.

    None where the user has no home folder, as in a container that runs under an arbitrary number.
    """
    given = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        folder = given if given.is_absolute() else Path("~/.cache").expanduser()
    except RuntimeError:
        return None
    return folder / "mnist_resnet" / "convolutions.json"


def measured(layers: Sequence[str], threads: int, batch: int) -> dict[str, Seconds]:
    """Return each layer's seconds, measured now or earlier.

    Args:
        layers: names of shapes, from `convolution_forms.layer`.
        threads: PyTorch's number of threads.
        batch: images in a batch.
    """
    batch = min(batch, MAX_BATCH)
    file = cache_file()
    if file is None:
        return {layer: _measure(layer, threads, batch) for layer in layers}
    with _locked(file.parent):
        every = _read(file)
        known = every.setdefault(_machine(threads, batch), {})
        missing = {layer: _measure(layer, threads, batch) for layer in layers if layer not in known}
        known |= missing
        if missing:
            with suppress(OSError):  # then each process measures for itself
                write_atomically(file, json.dumps(every, indent=1) + "\n", sync=False)
    return known


def _machine(threads: int, batch: int) -> str:
    """Return what times depend on, besides the layer, in words."""
    limit = os.environ.get("ONEDNN_MAX_CPU_ISA")
    kernels = torch.backends.cpu.get_cpu_capability() + (f" at most {limit}" if limit else "")
    return f"{cpu_model()}, {kernels}, torch {torch.__version__}, {threads} threads, batches of {batch}"


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
        _lock(descriptor)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> None:
    deadline = time.monotonic() + LOCK_TIMEOUT
    while time.monotonic() < deadline:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(LOCK_POLL)
        except OSError:  # some file servers have no locks
            return
        else:
            return


def _read(file: Path) -> dict[str, dict[str, Seconds]]:
    """Return the file's measurements, by machine, without those that are damaged or lack a form of today's."""
    try:
        content = parse_json(read_stored(file))
    except (OSError, ValueError):
        return {}
    return {
        machine: {layer: seconds for layer, seconds in layers.items() if _is_measurement(layer, seconds)}
        for machine, layers in (content.items() if isinstance(content, dict) else ())
        if isinstance(layers, dict)
    }


def _is_measurement(layer: str, seconds: Any) -> bool:
    if not isinstance(seconds, dict) or seconds.keys() != {PYTORCH, *forms_of(layer)}:
        return False
    return all(isinstance(one, float) and math.isfinite(one) and one > 0 for one in seconds.values())
