"""Records a training step as a CUDA graph, which is then replayed by one driver call instead of about a hundred.

Only a `Recording` needs CUDA; everything else here runs on any device.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mnist_resnet.errors import wording
from mnist_resnet.training.component_state import ComponentState
from mnist_resnet.training.snapshot import Snapshot

Update = Callable[[Tensor], Tensor]
"""Does one optimiser step on the training images at the given indices, int64 [batch]; returns the loss, float32 []."""

WARM_UP_STEPS = 3
"""Steps before recording, in which libraries choose algorithms and allocate memory; PyTorch's example has as many."""
TRIAL_RATE = 1e-4
"""Learning rate of the first compared step; it is halved from each to the next. It is so small, whatever the run's own
rate, that differences from a GPU's varying order of summation stay small."""
LOSS_TOLERANCE = 0.005
"""Allowed difference of a replayed loss, relative to the eager one; losses of different batches differ by more."""
CHANGE_TOLERANCE = 0.5
"""Allowed difference of the replayed change of the weights, relative to the norm of the eager one. A replay that skips
or repeats a step differs by about 1. The tolerance is large because Adam's first steps have the length of the rate
whatever the gradient is, so that rounding differences show."""


class NotGraphed(Exception):
    """Raised if a step can't be a CUDA graph; the message gives the reason in one line."""


class Recording(Protocol):
    """Records an update, so that it can be repeated with the current values of its tensors."""

    def __call__(self, update: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Record `update`; this may or may not change the weights.

        Args:
            update: does one optimiser step and returns its loss, float32 [].

        Returns:
            A function that replays the step, and the tensor, float32 [], that then holds its loss.
        """


def cuda_graph(update: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """Record `update` as a CUDA graph, after "Whole-network capture" in PyTorch's notes on CUDA semantics.

    Args:
        update: does one optimiser step and returns its loss, float32 [].

    Returns:
        A function that replays the step, and the tensor, float32 [], that then holds its loss.
    """
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP_STEPS):
            update()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = update()
    return graph.replay, loss


class GraphedUpdate:
    """An update that replays a recorded graph for full batches, and runs eagerly for an epoch's smaller last batch.

    Learning rates stay numbers outside the graph, as schedules and checkpoints expect. Inside the graph they are
    tensors that are filled before each replay.

    The graph is verified when it is built: some steps are done eagerly and by replay from the same state, and their
    losses and weight changes are compared. Afterwards the state is restored.

    Args:
        update: the update to record; it must not synchronise with the host.
        model: the network that it changes.
        optimizer: the optimiser that it changes.
        components: the state of the loss and the run's other components.
        counted: further tensors that it changes, of any shape and dtype.
        examples: two or more full batches, int64 [batch] each. One step is compared for each: what is wrongly counted
            on the host shows only from the second step on.
        record: `cuda_graph`, or a substitute where there is no GPU.

    Raises:
        NotGraphed: the update can't be recorded, or its replay gives other results.
    """

    def __init__(
        self,
        update: Update,
        model: nn.Module,
        optimizer: Optimizer,
        components: ComponentState,
        counted: Sequence[Tensor],
        examples: Sequence[Tensor],
        record: Recording = cuda_graph,
    ) -> None:
        self._update, self._model, self._optimizer = update, model, optimizer
        self._indices = indices = examples[0].clone()
        self._rates = [torch.full((), group["lr"], device=self._indices.device) for group in optimizer.param_groups]
        count_on_device(optimizer)
        self._settings = _settings(optimizer)
        before, host_state = Snapshot(model, optimizer, components, counted), components.host_state()
        try:
            eager = self._try_steps(update, examples)
            if changed := components.changed_by_python(host_state):
                raise NotGraphed(f"the step changes {changed} outside of the device")
            before.restore()
            with _learning_rates(optimizer, self._rates):
                self._replay, self._loss = record(lambda: update(indices))
            before.restore()
            replayed = self._try_steps(self, examples)
        except NotGraphed:
            raise
        except Exception as error:
            raise NotGraphed(f"recording failed: {wording(error, 200)}") from error
        finally:
            before.restore()
        _compare(eager, replayed)

    def __call__(self, indices: Tensor) -> Tensor:
        """Do one optimiser step.

        Args:
            indices: int64 [batch], which training images to use.

        Returns:
            The batch's mean loss, float32 []; the next call overwrites this tensor.
        """
        # Settings other than learning rates are constants in the graph, but a schedule may change them, such as betas.
        if len(indices) != len(self._indices) or _settings(self._optimizer) != self._settings:
            return self._update(indices)
        self._indices.copy_(indices)
        for rate, group in zip(self._rates, self._optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])
        self._replay()
        return self._loss

    def _try_steps(self, update: Update, examples: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Do one step on each example.

        Returns:
            The steps' losses, float32 [examples], and the change of all weights, float64 [weights].
        """
        weights = [parameter.detach() for parameter in self._model.parameters()]
        initial, losses = [weight.clone() for weight in weights], []
        for number, indices in enumerate(examples):
            with _learning_rates(self._optimizer, [TRIAL_RATE / 2**number] * len(self._optimizer.param_groups)):
                losses.append(update(indices).detach().clone())
        changes = [(after - before).flatten().double() for after, before in zip(weights, initial, strict=True)]
        return torch.stack(losses), torch.cat(changes)


def count_on_device(optimizer: Optimizer) -> None:
    """Make the optimiser count its steps on the device, if it has the option `capturable`."""
    for group in optimizer.param_groups:
        if "capturable" in group and torch.device(group["params"][0].device).type == "cuda":
            group["capturable"] = True
    for parameter, state in optimizer.state.items():
        if isinstance(state.get("step"), Tensor):  # it is on the host in a checkpoint of a run without a graph
            state["step"] = state["step"].to(parameter.device)


def _settings(optimizer: Optimizer) -> list[dict[str, object]]:
    return [{key: group[key] for key in group if key not in ("params", "lr")} for group in optimizer.param_groups]


@contextmanager
def _learning_rates(optimizer: Optimizer, rates: Sequence[Tensor | float]) -> Iterator[None]:
    """Use `rates`, one for each parameter group, within the context."""
    before = [group["lr"] for group in optimizer.param_groups]
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    try:
        yield
    finally:
        for group, rate in zip(optimizer.param_groups, before, strict=True):
            group["lr"] = rate


def _compare(eager: tuple[Tensor, Tensor], replayed: tuple[Tensor, Tensor]) -> None:
    losses = ((replayed[0] - eager[0]).abs() / eager[0].abs()).max().item()
    changes = ((replayed[1] - eager[1]).norm() / eager[1].norm()).item()
    if not losses <= LOSS_TOLERANCE or not changes <= CHANGE_TOLERANCE:
        raise NotGraphed(f"its replay differs from the step: losses by {losses:.2g}, changes by {changes:.2g}")
