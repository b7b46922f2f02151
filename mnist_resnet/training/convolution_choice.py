"""Picks the forms that layers' convolutions take in training: those that are fastest on this machine.

The choice is part of a job's numerics.
"""

from dataclasses import replace
from typing import Any

import torch
from torch import nn

from mnist_resnet.training.convolution_forms import MIN_CHANNELS, forms_of, layer
from mnist_resnet.training.convolution_mode import ConvolutionMode
from mnist_resnet.training.convolution_times import PYTORCH, Seconds, measured
from mnist_resnet.training.numerics import Numerics
from mnist_resnet.training.snapshot import Snapshot
from mnist_resnet.training.training_run import Training

LARGEST_SHARE = 0.95
"""Largest share of PyTorch's time at which another form is taken."""
IMAGES = 2
"""Images that a network is run on to find its layers."""


def choose(training: Training) -> tuple[Numerics, list[str]]:
    """Choose the convolutions of a run's layers. The state of the run does not change.

    Args:
        training: the run, with numerics that `resolve` returned.

    Returns:
        The numerics with the choice, and a line if a form was asked for that no layer has.
    """
    numerics, requested = training.numerics, training.config.trainer.convolutions
    if requested == "pytorch" or (numerics.device, numerics.precision) != ("cpu", "fp32"):
        return numerics, []
    layers = _layers(training)
    if requested == "auto":
        batch = min(training.config.data.batch_size, len(training.splits.train))
        seconds = measured(layers, numerics.threads, batch)
        layers = [fastest for layer in layers if (fastest := _fastest(layer, seconds[layer]))]
    else:
        layers = [layer for layer in layers if "" in forms_of(layer)]
    if layers:
        return replace(numerics, convolutions=" ".join(["winograd", *layers])), []
    without_effect = ["trainer.convolutions=winograd: no layer of this network has such a form"]
    return numerics, without_effect if requested == "winograd" else []


def _fastest(layer: str, seconds: Seconds) -> str | None:
    """Return the layer with its fastest form, or None if that is PyTorch's."""
    form = min(seconds, key=lambda form: seconds[form])
    if form == PYTORCH or seconds[form] > LARGEST_SHARE * seconds[PYTORCH]:
        return None
    return f"{layer}:{form}" if form else layer


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


class _Layers(ConvolutionMode):
    """Collects the names of the layers that have other forms."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def convolution(self, *args: Any, **kwargs: Any) -> None:
        name = layer(*args, **kwargs)
        self.names |= {name} if name else set()
