"""A task's progress, and the exception that ends it when its loss is no longer finite."""

from typing import TYPE_CHECKING, Protocol

from mnist_resnet.job_folder import Metrics, divergence

if TYPE_CHECKING:
    from torch import Tensor


class Progress(Protocol):
    """How far a task has come; its result is written from this at each epoch's end.

    Attributes:
        history: One entry for each completed epoch.
        batch_losses: float32 [steps per epoch] on the CPU, one tensor for each completed epoch.
    """

    history: list[Metrics]
    batch_losses: "list[Tensor]"


class Diverged(Exception):
    """The loss stopped being finite.

    Attributes:
        epoch: From 0; None of a training function, which counts its steps as it likes.
        step: In that epoch, from 0.
        loss: The value that is not finite.
        metric: Its name, such as `loss` or `test loss`.
    """

    def __init__(self, epoch: int | None, step: int, loss: float, metric: str = "loss") -> None:
        super().__init__(divergence(metric, loss, epoch, step))
        self.epoch, self.step, self.loss, self.metric = epoch, step, loss, metric
