"""A step as a graph: all of it but CUDA's recording, which is played by one that does the step itself."""

import gc
from collections.abc import Callable
from typing import Any
from weakref import ref

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mnist_resnet.jobs.signals import Interrupt
from mnist_resnet.training.compile import examples, graphed
from mnist_resnet.training.cuda_graph import NotGraphed, Recording
from mnist_resnet.training.loop import Training, predict, train
from tests.small_training import begun, differences, small, trained, unsaved

WAITS = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "unique", "item")


class NoWaiting(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Fails at an operation whose result the host needs, or whose shape the data decide."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.overloadpacket.__name__ not in WAITS, f"{func} makes the host wait for the device"
        return func(*args, **(kwargs or {}))


def acted(training: Training) -> Recording:
    """Does the step itself whenever it is replayed, at the rates that lie in the tensors it was recorded with."""

    def record(update: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        groups = training.optimizer.param_groups
        rates = [group["lr"] for group in groups]
        loss = update().clone()

        def replay() -> None:
            before = [group["lr"] for group in groups]
            for group, rate in zip(groups, rates, strict=True):
                group["lr"] = rate.item()
            loss.copy_(update())
            for group, rate in zip(groups, before, strict=True):
                group["lr"] = rate

        return replay, loss

    return record


@pytest.mark.parametrize(
    "overrides",
    [
        ("trainer.precision=bf16",),
        ("optim=sgd", "augmentation=translate", "loss=label_smoothing"),
        ("optim=adamw", "augmentation=elastic", "model.block_norm=after_every"),
        ("augmentation=affine", "averaging=ema"),
    ],
)
def test_a_step_never_waits_for_the_device(overrides: tuple[str, ...]) -> None:
    training = begun(small(*overrides))
    training.model.train()
    with NoWaiting():  # type: ignore[no-untyped-call]
        for places in examples(training, 2):
            training.update(places)
            training.averaging.update()


def test_what_waits_is_noticed() -> None:
    with NoWaiting(), pytest.raises(AssertionError, match="wait"):  # type: ignore[no-untyped-call]
        torch.ones(1).item()


def test_the_report_s_network_is_traced_whole() -> None:
    training = begun(small("trainer.precision=bf16", "loss=label_smoothing"))
    images, labels = training.splits.train.batch(examples(training, 1)[0])
    whole = torch.compile(predict, fullgraph=True, dynamic=False, backend="eager")
    loss, logits = whole(training.model, training.loss, training.numerics, images, labels)
    assert (loss.shape, logits.shape) == ((), (32, 10))


@pytest.mark.parametrize("optim", ["adam", "sgd"])
def test_replayed_steps_are_the_steps_themselves_with_the_schedule_s_rates_and_a_smaller_last_batch(optim: str) -> None:
    config = small(f"optim={optim}", "schedule=onecycle", "trainer.precision=bf16")
    eager, training = trained(config), begun(config)
    training.replay = graphed(training, acted(training))
    train(training, [], unsaved(), Interrupt())
    assert torch.cat(training.batch_losses).tolist() == pytest.approx(torch.cat(eager.batch_losses).tolist(), rel=1e-3)
    assert training.history[-1]["lr"] == eager.history[-1]["lr"]


def test_a_graph_is_made_in_the_middle_of_a_run_without_moving_it() -> None:
    training, other = trained(small()), trained(small())
    graphed(training, acted(training))
    assert differences(training, other) == []


@pytest.mark.parametrize("is_graphed", [False, True])
def test_a_training_s_memory_is_free_as_soon_as_nobody_holds_it(is_graphed: bool) -> None:
    training = trained(small())
    if is_graphed:
        training.replay = graphed(training, copied)
    held = ref(training.model)
    gc.disable()
    try:
        del training
        assert held() is None
    finally:
        gc.enable()


def copied(update: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    loss = update().clone()

    def replay() -> None:
        loss.copy_(update())

    return replay, loss


def nothing(training: Training) -> Recording:
    return lambda update: (lambda: None, update().clone())


def one_batch(training: Training) -> Recording:
    first = examples(training, 1)[0]

    def record(update: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
        loss = update().clone()

        def replay() -> None:
            loss.copy_(training.update(first))

        return replay, loss

    return record


def failing(training: Training) -> Recording:
    def record(update: Callable[[], Tensor]) -> Any:
        update()
        raise RuntimeError("operation not permitted\nwhen stream is capturing")

    return record


@pytest.mark.parametrize(
    ("recording", "why"), [(nothing, "differs from the step"), (one_batch, "differs"), (failing, "not permitted when")]
)
def test_a_graph_that_is_wrong_or_fails_is_refused_and_leaves_no_trace(recording: Any, why: str) -> None:
    training, other = trained(small()), trained(small())
    with pytest.raises(NotGraphed, match=why):
        graphed(training, recording(training))
    assert differences(training, other) == []


def test_settings_that_are_numbers_in_the_graph_are_followed_without_it() -> None:
    training = begun(small("optim=sgd"))
    graph = graphed(training, acted(training))
    replays = []
    graph._replay = lambda: replays.append(1)
    places = examples(training, 1)[0]
    graph(places)
    training.optimizer.param_groups[0]["momentum"] = 0.1
    graph(places)
    assert replays == [1]
