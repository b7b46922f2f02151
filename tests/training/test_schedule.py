"""The learning rate's course, step by step, against its formula."""

import math

import pytest
import torch
from hydra.utils import instantiate
from torch.optim.lr_scheduler import CosineAnnealingLR, OneCycleLR

from tests.small_training import resolved, small, trained

STEPS = 20


def course(name: str, *overrides: str, lr: float = 0.1, steps: int = STEPS) -> list[float]:
    """The rate that each step is made with, as the config's own schedule has it."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    schedule = instantiate(resolved(f"schedule={name}", *overrides)["schedule"])(optimizer, total_steps=steps)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return [*rates, optimizer.param_groups[0]["lr"]]


def test_constant_stays() -> None:
    assert course("constant") == [0.1] * (STEPS + 1)


def test_cosine_is_pytorch_s_to_zero() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs = CosineAnnealingLR(optimizer, T_max=STEPS)
    expected = []
    for _ in range(STEPS + 1):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        theirs.step()
    assert course("cosine") == pytest.approx(expected, abs=1e-12)


def test_onecycle_rises_in_a_line_and_falls_along_a_cosine() -> None:
    rates = course("onecycle")
    assert rates[0] == pytest.approx(0.1 / 25)
    assert max(rates) == rates[6] == pytest.approx(0.1)
    rise = 0.1 - 0.1 / 25
    assert rates[:7] == pytest.approx([0.1 / 25 + rise * step / 6 for step in range(7)])
    assert rates[6:] == pytest.approx([0.05 * (1 + math.cos(math.pi * step / 14)) for step in range(15)])


def test_onecycle_starts_and_peaks_where_pytorch_s_does() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    theirs = OneCycleLR(optimizer, max_lr=0.1, total_steps=STEPS, pct_start=7 / 20, cycle_momentum=False)
    assert theirs.get_last_lr()[0] == pytest.approx(course("onecycle")[0])


def test_warmup_is_a_share_of_the_run() -> None:
    rates = course("onecycle", "schedule.warmup=0.5")
    assert rates.index(max(rates)) == 10


def test_linear_rises_to_the_peak_and_falls_in_a_straight_line() -> None:
    rates = course("linear")
    assert rates[:4] == pytest.approx([0.025, 0.05, 0.075, 0.1])
    assert rates[4:] == pytest.approx([0.1 * (1 - step / 16) for step in range(17)], abs=1e-12)
    kept = course("linear", "schedule.final=0.1", "schedule.warmup=0")
    assert kept == pytest.approx([0.1 * (1 - 0.9 * step / 20) for step in range(21)])


@pytest.mark.parametrize("name", ["constant", "cosine", "onecycle", "linear"])
@pytest.mark.parametrize("steps", [1, 2, 3])
def test_no_run_is_too_short(name: str, steps: int) -> None:
    assert all(0 <= rate <= 0.1 for rate in course(name, steps=steps))
    assert course(name, steps=steps)[0] > 0


def test_a_run_is_the_scaled_number_of_epochs_and_records_the_rate_of_its_last_step() -> None:
    training = trained(small("schedule=cosine", "trainer.epochs=4", "scale.epochs=0.5"))
    assert [epoch["lr"] for epoch in training.history] == pytest.approx(
        [0.0005 * (1 + math.cos(math.pi * step / 8)) for step in (3, 7)]
    )
    assert training.optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-12)
