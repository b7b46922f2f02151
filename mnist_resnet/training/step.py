"""Training steps beside the plain one: what the config's `training.step` builds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mnist_resnet.training.numerics import Numerics

LossFunction = Callable[[Tensor, Tensor], Tensor]
"""Maps logits, float32 [batch, classes], and labels, int64 [batch], to the mean loss, float32 []."""


@dataclass(frozen=True)
class StepParts:
    """What a step works on.

    Attributes:
        model: the network in training.
        loss: the training loss.
        optimizer: updates the parameters of both.
        numerics: device and precision.
    """

    model: nn.Module
    loss: LossFunction
    optimizer: Optimizer
    numerics: Numerics

    def forward(self, *inputs: Tensor) -> Any:
        """Call the network in the run's precision, and return what it returns, with floating-point tensors as float32.

        Args:
            inputs: normalised images, float32 [batch, …], and what else the network takes.
        """
        with self.numerics.autocast(), self.numerics.faster_convolutions():
            return _as_float32(self.model(*inputs))


class Step(Protocol):
    """A training step. If it has a state, this is saved and restored as that of a loss is."""

    def __call__(self, parts: StepParts, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Update the parameters once.

        Args:
            parts: network, loss and optimiser.
            images: augmented images, float32 [batch, …].
            labels: as the data have them, int64 [batch] for classes.

        Returns:
            The mean loss, float32 [], and the logits, float32 [batch, classes], by which training accuracy is counted.
        """


class ComposedStep:
    """A step made of the usual parts; see `conf/training/composed.yaml` for the arguments.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        micro_batches: int = 1,
        clip_norm: float | None = None,
        mix: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None,
        labels_to_model: bool = False,
        auxiliary_weight: float | None = None,
        closure: Literal["optimizer", "again"] | None = None,
    ) -> None:
        if micro_batches < 1:
            raise ValueError(f"training.step.micro_batches={micro_batches}: must be 1 or more")
        if clip_norm is not None and clip_norm <= 0:
            raise ValueError(f"training.step.clip_norm={clip_norm}: must be above 0, or null")
        if closure not in (None, "optimizer", "again"):
            raise ValueError(f"training.step.closure={closure}: must be optimizer, again or null")
        self.micro_batches, self.clip_norm, self.mix = micro_batches, clip_norm, mix
        self.labels_to_model, self.auxiliary_weight, self.closure = labels_to_model, auxiliary_weight, closure

    def __call__(self, parts: StepParts, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Update the parameters once; see `Step`."""
        targets = labels
        if self.mix is not None:
            images, targets = self.mix(images, labels)
        computed: list[tuple[Tensor, Tensor]] = []

        def gradients() -> Tensor:
            computed.append(self._gradients(parts, images, targets))
            return computed[-1][0]

        if self.closure != "optimizer":
            gradients()
        if self.closure is None:
            parts.optimizer.step()
        else:
            parts.optimizer.step(gradients)  # type: ignore[arg-type]
        return computed[0]

    def _gradients(self, parts: StepParts, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the gradients of a batch, and return its mean loss and its logits."""
        parts.optimizer.zero_grad()
        total = torch.zeros((), device=images.device)
        logits = []
        for some, their_targets in zip(
            images.chunk(self.micro_batches), targets.chunk(self.micro_batches), strict=True
        ):
            loss, predicted = self._forward(parts, some, their_targets)
            loss = loss * (len(some) / len(images))
            loss.backward()  # type: ignore[no-untyped-call]
            total += loss.detach()
            logits.append(predicted.detach())
        if self.clip_norm is not None:
            trained = [parameter for group in parts.optimizer.param_groups for parameter in group["params"]]
            torch.nn.utils.clip_grad_norm_(trained, self.clip_norm)
        return total, torch.cat(logits)

    def _forward(self, parts: StepParts, images: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
        outputs = parts.forward(images, targets) if self.labels_to_model else parts.forward(images)
        if isinstance(outputs, Tensor):
            return parts.loss(outputs, targets), outputs
        logits, *others = [output for output in _members(outputs) if output is not None]
        if self.auxiliary_weight is None:
            raise TypeError(
                f"the network returns {1 + len(others)} outputs ({type(outputs).__name__}); set "
                f"training.step.auxiliary_weight, the factor on the losses of those after the first"
            )
        loss = parts.loss(logits, targets)
        for other in others:
            loss = loss + self.auxiliary_weight * parts.loss(other, targets)
        return loss, logits


def _members(outputs: Any) -> list[Any]:
    if isinstance(outputs, dict):
        return list(outputs.values())
    return list(outputs)


def _as_float32(outputs: Any) -> Any:
    if isinstance(outputs, Tensor):
        return outputs.float() if outputs.is_floating_point() else outputs
    if isinstance(outputs, dict):
        return {key: _as_float32(value) for key, value in outputs.items()}
    if isinstance(outputs, list | tuple):
        return [_as_float32(value) for value in outputs]
    return outputs
