"""Learning-rate schedules, step by step, compared with their formulas."""

import math
from typing import Any

import pytest
import torch
from hydra.utils import instantiate
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from mnist_resnet.errors import UsageError
from mnist_resnet.training.learning_rate import ScheduleSteps
from tests.small_training import resolved, small, trained

STEPS = 20


def rates_of(name: str, *overrides: str, lr: float = 0.1, steps: int = STEPS) -> list[float]:
    """Return the learning rate of each step, and the one after the last, for a schedule of `conf/schedule`."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    schedule = instantiate(resolved(f"schedule={name}", *overrides)["schedule"])(optimizer, total_steps=steps)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return [*rates, optimizer.param_groups[0]["lr"]]


def test_constant_keeps_the_rate() -> None:
    assert rates_of("constant") == [0.1] * (STEPS + 1)


def test_cosine_equals_pytorchs_schedule() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    reference = CosineAnnealingLR(optimizer, T_max=STEPS)
    expected = []
    for _ in range(STEPS + 1):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    assert rates_of("cosine") == pytest.approx(expected, abs=1e-12)


def test_onecycle_rises_linearly_and_falls_along_a_cosine() -> None:
    rates = rates_of("onecycle")
    assert rates[0] == pytest.approx(0.1 / 25)
    assert max(rates) == rates[6] == pytest.approx(0.1)
    rise = 0.1 - 0.1 / 25
    assert rates[:7] == pytest.approx([0.1 / 25 + rise * step / 6 for step in range(7)])
    assert rates[6:] == pytest.approx([0.05 * (1 + math.cos(math.pi * step / 14)) for step in range(15)])


def test_onecycle_starts_at_the_same_rate_as_pytorchs_schedule() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    reference = OneCycleLR(optimizer, max_lr=0.1, total_steps=STEPS, pct_start=7 / 20, cycle_momentum=False)
    assert reference.get_last_lr()[0] == pytest.approx(rates_of("onecycle")[0])


def test_warmup_is_a_fraction_of_the_run() -> None:
    rates = rates_of("onecycle", "schedule.warmup=0.5")
    assert rates.index(max(rates)) == 10


def test_linear_rises_and_falls_linearly() -> None:
    rates = rates_of("linear")
    assert rates[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert rates[4:] == pytest.approx([0.1 * (1 - step / 16) for step in range(17)], abs=1e-12)
    kept = rates_of("linear", "schedule.final=0.1", "schedule.warmup=0")
    assert kept == pytest.approx([0.1 * (1 - 0.9 * step / 20) for step in range(21)])


@pytest.mark.parametrize("name", ["constant", "cosine", "onecycle", "linear"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_schedules_work_for_very_short_runs(name: str, steps: int) -> None:
    assert all(0 <= rate <= 0.1 for rate in rates_of(name, steps=steps))
    assert rates_of(name, steps=steps)[0] > 0


def test_schedule_spans_the_scaled_epochs_and_the_last_rate_is_recorded() -> None:
    training = trained(small("schedule=cosine", "trainer.epochs=4", "scale.epochs=0.5"))
    assert [epoch["lr"] for epoch in training.history] == pytest.approx(
        [0.0005 * (1 + math.cos(math.pi * step / 8)) for step in (3, 7)]
    )
    assert training.optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)


class Counted:
    """A schedule that is told how many steps it has done, as timm's are."""

    def __init__(self, **attributes: bool) -> None:
        self.told: list[int] = []
        vars(self).update(attributes)

    def step(self, epoch: int, metric: float | None = None) -> None:
        assert metric is None
        self.told.append(epoch)


class Measured:
    def step(self, metric: float) -> None:
        raise AssertionError(metric)


@pytest.mark.parametrize(("interval", "told"), [("step", [7]), ("epoch", [3])])
def test_a_schedule_that_asks_for_an_epoch_gets_the_number_of_its_steps(interval: str, told: list[int]) -> None:
    schedule: Any = Counted()
    steps = ScheduleSteps(schedule, interval, has_accuracy=True)
    steps.batch_ended(7)
    steps.epoch_ended({}, 3)
    assert schedule.told == told


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (Measured(), r"^schedule: Measured\.step asks for metric; it may ask for nothing, or for epoch"),
        (Counted(t_in_epochs=False), r"^schedule\.t_in_epochs=false: leave it out; schedule\.interval says when"),
    ],
)
def test_a_schedule_that_could_not_be_stepped_is_refused(schedule: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        ScheduleSteps(schedule, "epoch", has_accuracy=True)
