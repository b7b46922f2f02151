"""Means and intervals, checked against published and manually calculated figures."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

from mnist_resnet.comparing.statistics import grouped, seeds_summary, spread
from mnist_resnet.comparing.transform import count_images
from mnist_resnet.config.metric import BUILT_IN


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


def test_equal_runs_have_no_interval() -> None:
    found = spread([0.9] * 4)
    assert found.sd == 0
    assert all(math.isnan(value) for value in (found.low, found.prediction_high, found.prediction_p(0.1, 0.2)))


NEAR_THE_CEILING = [0.9999, 0.9996, 0.9995]


@pytest.mark.parametrize(
    "values", [NEAR_THE_CEILING, [1.0, 1.0, 0.9999], [0.369, 0.68, 0.403, 0.808, 0.644], [0.0, 1.0]]
)
def test_every_bound_of_an_accuracy_is_a_possible_one(values: list[float]) -> None:
    found = spread(values, BUILT_IN["test_accuracy"], 10_000)
    bounds = [*found.interval, *found.new_images_interval, *found.prediction, found.best_of(5)]
    assert all(0 <= bound <= 1 for bound in bounds)
    assert found.low <= found.mean <= found.high


@pytest.mark.parametrize("metric", ["test_loss", "seconds", "training_seconds", "images_per_second"])
def test_bounds_of_losses_and_times_are_above_zero(metric: str) -> None:
    found = spread([0.1, 3.0, 9.0], BUILT_IN[metric])
    assert 0 < found.prediction_low < found.low < found.mean < found.high < found.prediction_high


def test_intervals_on_the_logit_scale_agree_with_scipy() -> None:
    found = spread(NEAR_THE_CEILING, BUILT_IN["test_accuracy"], 10_000)
    logits = special.logit(NEAR_THE_CEILING)
    ends = stats.t.interval(0.95, 2, loc=logits.mean(), scale=logits.std(ddof=1) * math.sqrt(4 / 3))
    assert found.prediction == pytest.approx(special.expit(ends))
    # delta method: the standard error over the derivative p (1 − p)
    error = stats.sem(NEAR_THE_CEILING) / (found.mean * (1 - found.mean))
    assert found.interval == pytest.approx(special.expit(stats.t.interval(0.95, 2, special.logit(found.mean), error)))


def test_prediction_p_agrees_with_the_interval() -> None:
    found = spread([0.95, 0.96, 0.98], BUILT_IN["test_accuracy"], 10_000)
    assert found.prediction_p(0, found.prediction_low) == pytest.approx(0.05)
    assert found.prediction_p(found.prediction_high, 1) == pytest.approx(0.05)
    assert found.prediction_p(0.96, 0.99) == 1


def test_new_images_add_the_binomial_part() -> None:
    # 10,000 images at 99.6 %: binomial standard error √(0.996 · 0.004 / 10,000) = 0.063 points
    found = spread([0.9957, 0.9960, 0.9963], BUILT_IN["test_accuracy"], 10_000)
    error = math.sqrt(0.0003**2 / 3 + 0.996 * 0.004 / 10_000)
    low, high = found.new_images_interval
    assert special.logit(high) - special.logit(low) == pytest.approx(2 * 4.3027 * error / (0.996 * 0.004), rel=1e-4)
    assert low < found.low < found.high < high
    assert math.isnan(spread([0.9957, 0.9960]).new_images_interval[0])


@pytest.mark.parametrize(("n", "runs"), [(3, 1), (5, 5), (5, 10), (10, 10)])
def test_bound_for_the_best_of_several_runs_agrees_with_the_multivariate_t_distribution(n: int, runs: int) -> None:
    # the differences of k further runs from a mean of n are t with correlation 1 / (n + 1)
    values = np.arange(n, dtype=float)
    reach = (spread(values).best_of(runs) - values.mean()) / values.std(ddof=1) / math.sqrt(1 + 1 / n)
    correlation = np.full((runs, runs), 1 / (n + 1)) + np.eye(runs) * n / (n + 1)
    joint = stats.multivariate_t(np.zeros(runs), correlation, df=n - 1, seed=1)
    assert joint.cdf(np.full(runs, reach)) == pytest.approx(0.95, abs=0.002)


def test_p_value_of_the_best_of_several_runs_agrees_with_its_bound() -> None:
    found = spread([1.0, 2.0, 4.0])
    assert found.best_of_p(found.best_of(7), 7) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("accuracies", "images"),
    [([0.9939, 0.9951], 10_000), ([59_950 / 60_000, 59_951 / 60_000], 60_000), ([0.5], None), ([1 / math.pi], None)],
)
def test_number_of_images_is_told_from_the_figures(accuracies: list[float], images: int | None) -> None:
    assert count_images([*accuracies, float("nan")]) == images


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
