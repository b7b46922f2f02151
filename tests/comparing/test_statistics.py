"""Means and intervals, checked against published and manually calculated figures."""

import math

import pandas as pd
import pytest

from mnist_resnet.comparing.statistics import grouped, seeds_summary, spread


def test_spread_agrees_with_a_published_example() -> None:
    # Hahn and Meeker, Statistical Intervals (1991), chapter 3: mean 50.10, s 1.31, t(0.975, 4) = 2.776
    found = spread([51.4, 49.5, 48.7, 49.3, 51.6])
    assert found.n == 5
    assert found.mean == pytest.approx(50.10)
    assert found.sd == pytest.approx(1.31, abs=0.005)
    assert (found.low, found.high) == pytest.approx((48.47, 51.73), abs=0.005)
    half = 2.776 * 1.3134 * math.sqrt(1 + 1 / 5)
    assert (found.prediction_low, found.prediction_high) == pytest.approx((50.10 - half, 50.10 + half), abs=0.005)
    assert (found.minimum, found.maximum) == (48.7, 51.6)


def test_spread_of_two_runs_agrees_with_manual_calculation() -> None:
    # mean 2, s = √2, t(0.975, 1) = 12.706; s / √2 = 1; s · √(1 + 1/2) = √3
    found = spread([1.0, 3.0])
    assert (found.low, found.high) == pytest.approx((2 - 12.706, 2 + 12.706), abs=0.001)
    assert found.prediction_high == pytest.approx(2 + 12.706 * math.sqrt(3), abs=0.002)


def test_one_run_has_a_mean_without_an_interval() -> None:
    found = spread([0.5])
    assert (found.n, found.mean) == (1, 0.5)
    assert all(math.isnan(value) for value in (found.sd, found.low, found.high, found.prediction_low))


def test_no_runs_give_nan() -> None:
    assert spread([]).n == 0
    assert math.isnan(spread([]).mean)


def test_values_that_are_not_finite_are_ignored() -> None:
    assert spread([0.5, float("nan"), 0.7, float("inf")]).values == (0.5, 0.7)


def test_equal_runs_have_an_interval_of_zero_width() -> None:
    assert (spread([0.9] * 4).low, spread([0.9] * 4).prediction_high) == pytest.approx((0.9, 0.9))


def runs(**columns: object) -> pd.DataFrame:
    return pd.DataFrame({"status": "completed", "signature": None, **columns})


def test_summary_counts_all_and_completed_jobs() -> None:
    frame = runs(lr=[0.1, 0.1, 0.1, 0.2], test_accuracy=[0.8, 0.9, 0.1, 0.7])
    frame.loc[2, "status"] = "diverged"
    summary = seeds_summary(frame, ["lr"], ["test_accuracy"])
    assert summary[["lr", "jobs", "n"]].to_numpy().tolist() == [[0.1, 3, 2], [0.2, 1, 1]]
    assert summary["test_accuracy_mean"].tolist() == pytest.approx([0.85, 0.7])


def test_repeated_seed_counts_once() -> None:
    frame = runs(signature=["a", "a", "b"], test_accuracy=[0.8, 0.8, 0.9])
    summary = seeds_summary(frame, [], ["test_accuracy"])
    assert (summary["n"][0], summary["jobs"][0]) == (2, 3)


def test_groups_keep_their_order_and_merge_equal_levels() -> None:
    frame = runs(level=[2, "a", 2.0, None])
    assert [(levels[0], len(group)) for levels, group in grouped(frame, ["level"])] == [(2, 2), ("a", 1), (None, 1)]
