"""CUDA graphs of a step. CUDA's recording is replaced by recordings that run the step itself."""

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
from mnist_resnet.training.loop import train
from mnist_resnet.training.training_run import Training, predict
from tests.small_training import differences, new_training, small, trained, unsaved

SYNCHRONISING = ("_local_scalar_dense", "nonzero", "is_nonzero", "equal", "masked_select", "unique", "item")


class NoSynchronisation(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Fails at operations whose result the host needs, or whose output shape depends on the data."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func.overloadpacket.__name__ not in SYNCHRONISING, f"{func} makes the host wait for the device"
        return func(*args, **(kwargs or {}))


def eager_recording(training: Training) -> Recording:
    """Return a recording that runs the step in each replay, with the learning rates in the recorded tensors."""

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
def test_step_never_waits_for_the_device(overrides: tuple[str, ...]) -> None:
    training = new_training(small(*overrides))
    training.model.train()
    with NoSynchronisation():  # type: ignore[no-untyped-call]
        for indices in examples(training, 2):
            training.update(indices)
            training.averaging.update()


def test_waiting_is_detected() -> None:
    with NoSynchronisation(), pytest.raises(AssertionError, match="wait"):  # type: ignore[no-untyped-call]
        torch.ones(1).item()


def test_report_network_is_traced_as_one_graph() -> None:
    training = new_training(small("trainer.precision=bf16", "loss=label_smoothing"))
    images, labels = training.splits.train.batch(examples(training, 1)[0])
    whole = torch.compile(predict, fullgraph=True, dynamic=False, backend="eager")
    loss, logits = whole(training.model, training.loss, training.numerics, images, labels)
    assert (loss.shape, logits.shape) == ((), (32, 10))


@pytest.mark.parametrize("optim", ["adam", "sgd"])
def test_replayed_run_equals_the_eager_run_with_schedule_and_smaller_last_batch(optim: str) -> None:
    config = small(f"optim={optim}", "schedule=onecycle", "trainer.precision=bf16")
    eager, training = trained(config), new_training(config)
    training.replay = graphed(training, eager_recording(training))
    train(training, [], unsaved(), Interrupt())
    assert torch.cat(training.batch_losses).tolist() == pytest.approx(torch.cat(eager.batch_losses).tolist(), rel=1e-3)
    assert training.history[-1]["lr"] == eager.history[-1]["lr"]


def test_recording_a_graph_leaves_the_run_unchanged() -> None:
    training, other = trained(small()), trained(small())
    graphed(training, eager_recording(training))
    assert differences(training, other) == []


@pytest.mark.parametrize("is_graphed", [False, True])
def test_memory_is_freed_without_garbage_collection(is_graphed: bool) -> None:
    training = trained(small())
    if is_graphed:
        training.replay = graphed(training, record_without_rates)
    model = ref(training.model)
    gc.disable()
    try:
        del training
        assert model() is None
    finally:
        gc.enable()


def record_without_rates(update: Callable[[], Tensor]) -> tuple[Callable[[], None], Tensor]:
    loss = update().clone()

    def replay() -> None:
        loss.copy_(update())

    return replay, loss


def empty_replay(training: Training) -> Recording:
    return lambda update: (lambda: None, update().clone())


def always_first_batch(training: Training) -> Recording:
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
    ("recording", "why"),
    [(empty_replay, "differs from the step"), (always_first_batch, "differs"), (failing, "not permitted when")],
)
def test_wrong_or_failing_graph_is_rejected_and_leaves_the_run_unchanged(recording: Any, why: str) -> None:
    training, other = trained(small()), trained(small())
    with pytest.raises(NotGraphed, match=why):
        graphed(training, recording(training))
    assert differences(training, other) == []


def test_step_is_eager_when_an_optimiser_setting_changes() -> None:
    training = new_training(small("optim=sgd"))
    graph = graphed(training, eager_recording(training))
    replays = []
    graph._replay = lambda: replays.append(1)
    indices = examples(training, 1)[0]
    graph(indices)
    training.optimizer.param_groups[0]["momentum"] = 0.1
    graph(indices)
    assert replays == [1]
