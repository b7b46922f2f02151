"""A training step as a CUDA graph: recorded once, then replayed with one call to the driver instead of some hundred.

Recording itself is a `Recording`; everything around it runs on any device.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from mnist_resnet.training.snapshot import Snapshot

Update = Callable[[Tensor], Tensor]
"""From a batch's places in the training images, int64 [batch], to its mean loss, float32 []: one optimiser step."""

WARM_UP = 3
"""Steps before recording, in which libraries choose algorithms and allocate (so many in PyTorch's own example)."""
TRIAL_RATE = 1e-4
"""Learning rate of the steps that are compared, halved from one to the next: so small that what a GPU sums in another
order each time stays small, whatever the run's own rate."""
LOSS_TOLERANCE = 0.005
"""Share of an eager loss by which a replayed one may differ; losses of other batches differ by more."""
CHANGE_TOLERANCE = 0.5
"""Share of the eager steps' change of the weights, by norm. A replay that leaves a step out or does one twice misses by
about 1; Adam's first steps are as long as the rate whatever the gradient, so that noise counts."""


class NotGraphed(Exception):
    """The step can't be a graph; the text says why, in one line."""


class Recording(Protocol):
    """Records what an update does, so that it can be done again on what its tensors then hold."""

    def __call__(self, update: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        """Gives what replays it, and the tensor that its loss is then in. Weights may change by this, or not."""


def cuda_graph(update: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    """The `Recording` of CUDA, after "Whole-network capture" in PyTorch's notes on CUDA semantics."""
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_UP):
            update()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        loss = update()
    return graph.replay, loss


class Graph:
    """An update that is replayed for whole batches, and done as it is written for the smaller one at an epoch's end.

    The optimiser's rates stay numbers, as its schedule and checkpoints have them; for the graph they are tensors that
    are filled before each replay. It is not trusted: before, some steps are done by it and without it from the same
    state, which is put back in the end.

    Args:
        update: what is recorded; it waits for nothing on the host.
        model: which it changes.
        optimizer: likewise.
        counted: further tensors that it changes.
        examples: two or more batches, int64 [batch] each; as many steps are compared, since what is counted on the
            host shows from the second on.
        record: `cuda_graph`, or what stands for it where there is no GPU.

    Raises:
        NotGraphed: it can't be recorded, or its replay makes something else of the weights.
    """

    def __init__(
        self,
        update: Update,
        model: nn.Module,
        optimizer: Optimizer,
        counted: Sequence[Tensor],
        examples: Sequence[Tensor],
        record: Recording = cuda_graph,
    ) -> None:
        self._update, self._model, self._optimizer = update, model, optimizer
        self._places = places = examples[0].clone()
        self._rates = [torch.full((), group["lr"], device=self._places.device) for group in optimizer.param_groups]
        count_on_device(optimizer)
        self._settings = _settings(optimizer)
        before = Snapshot(model, optimizer, counted)
        try:
            eager = self._tried(update, examples)
            before.restore()
            with _rates(optimizer, self._rates):
                self._replay, self._loss = record(lambda: update(places))
            before.restore()
            replayed = self._tried(self, examples)
        except Exception as error:
            raise NotGraphed(f"it can't be recorded: {' '.join(str(error).split())[:200]}") from error
        finally:
            before.restore()
        _compare(eager, replayed)

    def __call__(self, places: Tensor) -> Tensor:
        """Do a step; its loss is in a tensor that the next one overwrites."""
        # Other settings than rates (a schedule may move betas) are numbers within the graph.
        if len(places) != len(self._places) or _settings(self._optimizer) != self._settings:
            return self._update(places)
        self._places.copy_(places)
        for rate, group in zip(self._rates, self._optimizer.param_groups, strict=True):
            rate.fill_(group["lr"])
        self._replay()
        return self._loss

    def _tried(self, update: Update, examples: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """The losses of a step on each example, and what the weights have changed by."""
        weights = [parameter.detach() for parameter in self._model.parameters()]
        started, losses = [weight.clone() for weight in weights], []
        for number, places in enumerate(examples):
            with _rates(self._optimizer, [TRIAL_RATE / 2**number] * len(self._optimizer.param_groups)):
                losses.append(update(places).detach().clone())
        changes = [(now - was).flatten().double() for now, was in zip(weights, started, strict=True)]
        return torch.stack(losses), torch.cat(changes)


def count_on_device(optimizer: Optimizer) -> None:
    """Have the optimiser count its steps on the device, where it lets one choose."""
    for group in optimizer.param_groups:
        if "capturable" in group and torch.device(group["params"][0].device).type == "cuda":
            group["capturable"] = True
    for parameter, kept in optimizer.state.items():
        if isinstance(kept.get("step"), Tensor):  # from a checkpoint of a run that counted on the host
            kept["step"] = kept["step"].to(parameter.device)


def _settings(optimizer: Optimizer) -> list[dict[str, object]]:
    return [{key: group[key] for key in group if key not in ("params", "lr")} for group in optimizer.param_groups]


@contextmanager
def _rates(optimizer: Optimizer, rates: Sequence[Tensor | float]) -> Iterator[None]:
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
        raise NotGraphed(f"replayed, it differs from the step itself: losses by {losses:.2g}, changes by {changes:.2g}")
