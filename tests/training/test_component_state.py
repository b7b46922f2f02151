"""Losses, augmentations, schedules and optimisers with a state of their own: a resumed run ends with the same bits."""

import functools
import itertools
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, dropout
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import LambdaLR

from mnist_resnet.config.allowed_targets import allow
from mnist_resnet.config.schema import Config, check
from mnist_resnet.errors import UsageError
from mnist_resnet.jobs.checkpoint import load_checkpoint
from mnist_resnet.jobs.packed_state import NotRestorable
from mnist_resnet.jobs.signals import Interrupt, Interrupted
from mnist_resnet.training.component_state import ComponentState
from mnist_resnet.training.components import on_device
from mnist_resnet.training.loop import train
from mnist_resnet.training.module_generators import unsaved_module_generators
from mnist_resnet.training.training_run import Training
from tests.small_training import (
    SIGNATURE,
    RecordingCallback,
    differences,
    different_tensors,
    new_training,
    resolved,
    trained,
    unsaved,
)
from tests.training.test_resume import AtCheck, resume


class ClassShares(nn.Module):
    """A loss that weights classes by how often it has seen them so far: a buffer that changes in each step."""

    seen: Tensor

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.register_buffer("seen", torch.ones(classes))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        self.seen += torch.bincount(labels, minlength=len(self.seen))
        return cross_entropy(logits, labels, weight=1 / self.seen)


class LearnedScale(nn.Module):
    """A loss with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, logits: Tensor, labels: Tensor) -> Tensor:
        return cross_entropy(logits * self.scale, labels) + (self.scale - 2) ** 2


class Warmed:
    """A loss without a `state_dict`, which counts its calls in attributes."""

    def __init__(self) -> None:
        self.calls, self.history = 0, (numpy.float32(1),)

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        self.calls += 1
        self.history = (numpy.float32(self.history[0] * 0.9),)
        return cross_entropy(logits, labels) * min(1.0, self.calls / 5) * float(self.history[0])


def counted() -> Callable[[Tensor, Tensor], Tensor]:
    """Return a loss that counts its calls in a closure."""
    calls = 0

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return cross_entropy(logits, labels) / calls

    return loss


class WithMemory:
    """A loss with a `state_dict` that is no module, inside of another object."""

    def __init__(self) -> None:
        self.inner = self.Memory()

    class Memory:
        def __init__(self) -> None:
            self._hidden = object()
            self.mean = 1.0

        def state_dict(self) -> dict[str, Any]:
            return {"mean": (self.mean,)}

        def load_state_dict(self, state: dict[str, Any]) -> None:
            (self.mean,) = state["mean"]

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        loss = cross_entropy(logits, labels)
        self.inner.mean = 0.9 * self.inner.mean + 0.1 * loss.item()
        return loss / self.inner.mean


class OwnNoise:
    """An augmentation that draws from a generator of its own."""

    def __init__(self, _: Tensor) -> None:
        self.generator = torch.Generator().manual_seed(5)

    def __call__(self, images: Tensor) -> Tensor:
        return images + 0.1 * torch.randn(images.shape, generator=self.generator)


class Slotted:
    """An augmentation that keeps all that it has in `__slots__`, one of them private, one not always there."""

    __slots__ = ("__level", "calls", "generator", "later")

    def __init__(self, _: Tensor) -> None:
        self.__level, self.calls, self.generator = 1.0, 0, numpy.random.default_rng(8)

    def __call__(self, images: Tensor) -> Tensor:
        self.calls += 1
        self.__level *= 0.9
        if self.calls == 2:
            self.later = 0.5
        return images * (self.__level + self.generator.normal() + getattr(self, "later", 0.0)) / self.calls


class NoiseModule(nn.Module):
    """A module that holds other kinds of generators, in a list and a mapping."""

    def __init__(self, _: Tensor) -> None:
        super().__init__()
        self.generators: list[Any] = [random.Random(3), numpy.random.default_rng(4)]
        self.by_name = {"legacy": numpy.random.RandomState(6)}

    def forward(self, images: Tensor) -> Tensor:
        shift: float = self.generators[1].normal() + self.by_name["legacy"].normal()
        factor: float = self.generators[0].gauss(1, 0.1)
        return images * factor + 0.1 * shift


def numpy_rate(optimizer: Optimizer, total_steps: int) -> LambdaLR:
    return LambdaLR(optimizer, lambda step: numpy.float64(1 - step / total_steps))


def float32_rate(optimizer: Optimizer, total_steps: int) -> LambdaLR:
    return LambdaLR(optimizer, lambda step: numpy.float32(1 - step / total_steps))  # type: ignore[arg-type,return-value]


def drifting(optimizer: Optimizer, total_steps: int) -> LambdaLR:
    """A schedule whose state is in a closure."""
    generator, level = numpy.random.default_rng(7), [numpy.float64(1)]

    def factor(_: int) -> float:
        level[0] = level[0] * numpy.exp(0.1 * generator.normal())
        return level[0]

    return LambdaLR(optimizer, factor)


class Fading:
    """A schedule whose state is in the object of a bound method."""

    def __init__(self) -> None:
        self.level = numpy.float64(1)

    def factor(self, share: float, _: int) -> float:
        self.level = self.level * share
        return self.level


def fading(optimizer: Optimizer, total_steps: int) -> LambdaLR:
    return LambdaLR(optimizer, functools.partial(Fading().factor, 0.9))


class Shown:
    """A metric without `reset`, which goes on from what it has seen."""

    def __init__(self) -> None:
        self.best, self.generator = 0.0, numpy.random.default_rng(9)

    def __call__(self, logits: Tensor, _: Tensor) -> dict[str, float]:
        self.best = max(self.best, logits.max().item()) + 0.1
        return {"best": self.best, "noise": self.generator.normal()}


class Bare:
    """A schedule that is none of PyTorch's, and has no `state_dict`."""

    def __init__(self, optimizer: Optimizer) -> None:
        self.optimizer, self.steps = optimizer, 0

    def step(self) -> None:
        self.steps += 1
        for group in self.optimizer.param_groups:
            group["lr"] = 0.01 / (1 + self.steps)


def smaller(step: int, factor: float) -> float:
    return float(factor**step)


class Around(SGD):
    """An optimiser that takes another one first, and parameters by name; it flattens weights by `view`."""

    def __init__(self, optimizer: Callable[..., Optimizer], params: Any, lr: float, pull: float = 0.9) -> None:
        super().__init__(params, lr)
        self.inner, self.pull = optimizer(params, lr=lr), pull

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        super().step()
        self.inner.step()
        for group in self.param_groups:
            for parameter in group["params"]:
                parameter.data.view(-1).mul_(self.pull)


class Unpaced(SGD):
    """An optimiser without a learning rate."""

    def __init__(self, parameters: Any, lr: float) -> None:
        super().__init__(parameters, lr)
        for group in self.param_groups:
            del group["lr"]


class Careful(Optimizer):
    """An optimiser whose state holds what PyTorch's own don't: tuples, a string, a mask, float64."""

    def __init__(self, parameters: Iterator[nn.Parameter], lr: float) -> None:
        super().__init__(parameters, {"lr": lr, "betas": (0.9, 0.99)})

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            assert isinstance(group["betas"], tuple)
            for parameter in group["params"]:
                state = self.state[parameter]
                if not state:
                    mask = torch.zeros_like(parameter, dtype=torch.bool)
                    state.update(sums=(torch.zeros_like(parameter, dtype=torch.float64), 0), mask=mask, phase="first")
                sums, count = state["sums"]
                assert (sums.dtype, state["mask"].dtype) == (torch.float64, torch.bool)
                state["mask"] |= parameter.grad > 0
                state["sums"] = (sums * group["betas"][0] + parameter.grad.double() * 1e-9 + parameter.grad, count + 1)
                state["phase"] = {"first": "second", "second": "first"}[state["phase"]]
                change = state["sums"][0].float() * torch.where(state["mask"], 1.0, 0.5)
                parameter -= group["lr"] * change * (1.0 if state["phase"] == "first" else 0.7)


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyConv2d(2, 3), nn.Flatten(), nn.Dropout(0.1), nn.LazyLinear(10))


HERE = __name__
KINDS: dict[str, dict[str, dict[str, Any]]] = {
    "loss with a buffer": {"loss": {"_target_": f"{HERE}.ClassShares"}},
    "layers that take their shape from the images": {"model": {"_target_": f"{HERE}.lazy"}},
    "loss with a parameter": {"loss": {"_target_": f"{HERE}.LearnedScale"}},
    "loss with attributes": {"loss": {"_target_": f"{HERE}.Warmed"}},
    "loss with a closure": {"loss": {"_target_": f"{HERE}.counted"}},
    "loss that holds a state": {"loss": {"_target_": f"{HERE}.WithMemory"}},
    "augmentation with a generator": {"augmentation": {"_target_": f"{HERE}.OwnNoise", "_partial_": True}},
    "augmentation with slots": {"augmentation": {"_target_": f"{HERE}.Slotted", "_partial_": True}},
    "augmentation with generators": {"augmentation": {"_target_": f"{HERE}.NoiseModule", "_partial_": True}},
    "NumPy learning rates": {"schedule": {"_target_": f"{HERE}.numpy_rate", "_partial_": True}},
    "schedule with a closure": {"schedule": {"_target_": f"{HERE}.drifting", "_partial_": True}},
    "schedule with a bound method": {"schedule": {"_target_": f"{HERE}.fading", "_partial_": True}},
    "NumPy float32 learning rates": {"schedule": {"_target_": f"{HERE}.float32_rate", "_partial_": True}},
    "metric that counts": {"training": {"step": None, "metrics": {"shown": {"_target_": f"{HERE}.Shown"}}}},
    "schedule without a state_dict": {"schedule": {"_target_": f"{HERE}.Bare", "_partial_": True}},
    "factors of a schedule": {
        "schedule": {
            "_target_": "torch.optim.lr_scheduler.LambdaLR",
            "_partial_": True,
            "lr_lambda": {"_target_": f"{HERE}.smaller", "_partial_": True, "factor": 0.9},
        }
    },
    "optimiser around another one": {
        "optim": {
            "_target_": f"{HERE}.Around",
            "_partial_": True,
            "lr": 0.01,
            "optimizer": {"_target_": "torch.optim.SGD", "_partial_": True},
        }
    },
    "optimiser with tuples": {"optim": {"_target_": f"{HERE}.Careful", "_partial_": True, "lr": 0.01}},
}


def with_own(nodes: dict[str, dict[str, Any]]) -> Config:
    allow(nodes)
    return check(resolved("trainer.checkpoint_every=1") | nodes)


@pytest.mark.parametrize("kind", KINDS)
def test_run_stopped_in_mid_epoch_ends_with_the_same_bits(kind: str, tmp_path: Path) -> None:
    config = with_own(KINDS[kind])
    for count in (2, 3, 4):  # after steps 2 of epoch 0, 1 and 2 of epoch 1
        with pytest.raises(Interrupted):
            resume(config, tmp_path, AtCheck(count))
        _, notes = load_checkpoint(tmp_path, SIGNATURE)
        assert notes == []
    resumed, expected = resume(config, tmp_path, Interrupt()), trained(config)
    assert differences(expected, resumed) == []
    one, other = (training.components.state() for training in (expected, resumed))
    assert different_tensors(one["states"], other["states"], "states") == []


class Restless(nn.Module):
    """A network that draws and counts whenever it is used: in evaluations, too."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.output, self.calls, self.own = nn.Linear(28 * 28, 10), 0, random.Random(1)
        self.register_buffer("seen", torch.zeros(()))

    def forward(self, images: Tensor) -> Tensor:
        self.calls += 1
        self.seen += 1
        factor = 1 + 0.1 * (self.calls % 3) + 0.1 * (int(self.seen) % 5) + self.own.random()
        return self.output(dropout(images.flatten(1) * factor, 0.3, training=True))  # type: ignore[no-any-return]


@pytest.mark.parametrize("count", [5, 7, 13])
def test_a_stopped_evaluation_is_repeated_with_the_same_draws(count: int, tmp_path: Path) -> None:
    config = with_own({"model": {"_target_": f"{HERE}.Restless"}})
    with pytest.raises(Interrupted):
        resume(config, tmp_path, AtCheck(count))
    expected, resumed = trained(config), resume(config, tmp_path, Interrupt())
    assert differences(expected, resumed) == []
    assert expected.model.calls == resumed.model.calls


def test_an_optimiser_without_a_learning_rate_is_refused() -> None:
    config = with_own({"optim": {"_target_": f"{HERE}.Unpaced", "_partial_": True, "lr": 0.01}})
    with pytest.raises(UsageError, match=r"^optim\._target_=.*Unpaced: its groups have no lr, the learning rate that"):
        new_training(config)


def test_state_of_a_component_matters_for_the_bits(tmp_path: Path) -> None:
    config = with_own(KINDS["loss with a buffer"])
    with pytest.raises(Interrupted):
        resume(config, tmp_path, AtCheck(3))
    state, _ = load_checkpoint(tmp_path, SIGNATURE)
    assert state is not None
    state["components"] = {}
    training = new_training(config)
    training.restore(state)
    train(training, [], unsaved(), Interrupt())
    assert differences(trained(config), training) != []


def test_parameters_of_a_loss_are_trained() -> None:
    training = trained(with_own(KINDS["loss with a parameter"]))
    assert isinstance(training.loss, LearnedScale)
    assert training.loss.scale.item() != 1.0


def test_parameters_of_an_augmentation_are_refused_in_one_line() -> None:
    config = with_own({"augmentation": {"_target_": f"{HERE}.Learned", "_partial_": True}})
    with pytest.raises(UsageError, match=r"^augmentation: has parameters \(weight\), and nothing trains") as refused:
        new_training(config)
    assert "\n" not in str(refused.value)


class Learned(nn.Linear):
    def __init__(self, _: Tensor) -> None:
        super().__init__(28, 28, bias=False)


def test_modules_are_moved_to_the_device_wherever_they_are() -> None:
    class Weighted:
        def __init__(self) -> None:
            self.parts = {"inner": [nn.CrossEntropyLoss(torch.ones(10))]}

    loss = Weighted()
    assert on_device(loss, "meta") is loss
    weight = loss.parts["inner"][0].weight
    assert weight is not None
    assert weight.device.type == "meta"


def test_checkpoints_of_plain_components_hold_nothing_more() -> None:
    training = trained(with_own({}))
    assert training.components.state() == {"states": {}, "attributes": {}, "generators": {}} | {
        "states": {"loss": {}, "augmentation": {}}
    }


def state_of(component: Any) -> ComponentState:
    return ComponentState({"loss": component}, set(), "cpu")


class Streamed:
    def __init__(self) -> None:
        self.weights = itertools.cycle([1.0, 2.0])


def test_what_has_a_state_that_can_not_be_saved_is_named() -> None:
    (line,) = state_of(Streamed()).not_saved()
    assert line.startswith("loss.weights is a cycle, whose state no checkpoint can hold")
    assert state_of(nn.CrossEntropyLoss()).not_saved() == []


MODULE_GENERATORS = (numpy.random.default_rng(1), numpy.random.RandomState(1), random.Random(1), torch.Generator())
NUMPY, LEGACY, PYTHON, PYTORCH = MODULE_GENERATORS
SHARED = torch.default_generator


def test_generators_of_modules_are_named() -> None:
    for target in (f"{HERE}.Slotted", f"{HERE}.WithMemory.Memory"):
        lines = unsaved_module_generators({"loss": {"_target_": target}})
        names = [f"{HERE}.{name}" for name in ("NUMPY", "LEGACY", "PYTHON", "PYTORCH")]
        assert [line.partition(" is a ")[0] for line in lines] == names
    ours = resolved()
    assert unsaved_module_generators(ours | {"tracking": {"_target_": f"{HERE}.Slotted"}}) == []


def test_a_generator_that_is_made_later_is_named() -> None:
    class Late:
        generator: torch.Generator | None = None

    late = Late()
    components = state_of(late)
    late.generator = torch.Generator()
    with pytest.raises(NotRestorable, match=r"loss\.generator is a Generator that is made after the start"):
        components.state()


def test_a_trial_step_leaves_every_state_as_it_was() -> None:
    for nodes in KINDS.values():
        training, other = new_training(with_own(nodes)), new_training(with_own(nodes))
        restore = training.components.snapshot()
        images, labels = training.splits.train.batch(torch.arange(32))
        training.loss(training.model(training.augment(images)), labels)
        restore()
        one, two = (run.components.state() for run in (training, other))
        assert different_tensors(without_empty(one), without_empty(two), "state") == []


def without_empty(state: dict[str, Any]) -> dict[str, Any]:
    return {kind: {path: str(value) for path, value in content.items()} for kind, content in state.items()}


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        ("loss with attributes", "loss.calls"),
        ("loss with a closure", "loss.calls"),
        ("augmentation with a generator", "augmentation.generator"),
        ("loss with a buffer", None),
    ],
)
def test_what_a_graph_would_not_repeat_is_found(kind: str, changed: str | None) -> None:
    training = new_training(with_own(KINDS[kind]))
    before = training.components.host_state()
    training.update(torch.arange(32))
    assert training.components.changed_by_python(before) == changed


def test_every_kind_trains_to_the_end() -> None:
    assert all(isinstance(trained(with_own(nodes), RecordingCallback()), Training) for nodes in KINDS.values())
