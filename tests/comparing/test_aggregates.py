"""Aggregates over tasks, checked against scipy and worked examples."""

import numpy as np
import pytest
from scipy import stats

from mnist_resnet.comparing.aggregates import (
    bootstrap,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
)


def test_interquartile_mean_leaves_out_a_quarter_at_each_end() -> None:
    # the eight runs of both tasks in order: 1 … 7 and one at 1000; the middle half is 3, 4, 5, 6
    assert interquartile_mean([np.array([1.0, 3.0, 5.0, 1000.0]), np.array([2.0, 4.0, 6.0, 7.0])]) == 4.5
    for runs in (1, 5, 10, 19):
        values = np.random.default_rng(runs).normal(size=runs)
        assert interquartile_mean([values]) == pytest.approx(stats.trim_mean(values, 0.25))


def test_probability_of_improvement_is_the_mann_whitney_statistic_averaged_over_tasks() -> None:
    random = np.random.default_rng(3)
    first, second = ([random.integers(0, 6, 7).astype(float) for _ in range(3)] for _ in range(2))
    statistics = [stats.mannwhitneyu(b, a).statistic / 49 for a, b in zip(first, second, strict=True)]
    assert probability_of_improvement(first, second) == pytest.approx(np.mean(statistics))


def test_performance_profile_counts_every_task_alike() -> None:
    scores = [np.array([0.0, 1.0]), np.array([1.0, 1.0, 2.0, 3.0])]
    assert performance_profile(scores, [0.5, 1.5]).tolist() == [0.75, 0.25]


def test_bootstrap_interval_agrees_with_scipys() -> None:
    runs = np.random.default_rng(1).normal(size=30)
    ours = bootstrap(lambda scores: float(np.mean(scores[0])), [runs], draws=4000)
    theirs = stats.bootstrap((runs,), np.mean, method="percentile", n_resamples=4000, rng=2).confidence_interval
    width = theirs.high - theirs.low
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.06 * width)
    assert np.isnan(bootstrap(interquartile_mean, [np.array([1.0])]).low)
