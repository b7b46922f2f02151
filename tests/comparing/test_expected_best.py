"""The expected best value of fewer trials, checked against all subsets of a small search."""

from itertools import combinations

import numpy as np
import pytest

from mnist_resnet.comparing.expected_best import expected_best

VALUES = [0.5, 0.7, 0.6, 0.9, 0.8, 0.6]


@pytest.mark.parametrize("minimize", [False, True])
def test_mean_and_range_are_those_over_all_subsets(minimize: bool) -> None:
    pick = min if minimize else max
    found = expected_best(VALUES, minimize)
    assert [entry.trials for entry in found] == [1, 2, 3, 4, 5, 6]
    for entry in found:
        best = [pick(subset) for subset in combinations(VALUES, entry.trials)]
        assert entry.mean == pytest.approx(np.mean(best))
        ends = np.quantile(np.negative(best) if minimize else best, [0.025, 0.975], method="inverted_cdf")
        assert sorted([entry.low, entry.high]) == pytest.approx(sorted(-ends if minimize else ends))
    assert found[-1].mean == pick(VALUES)


def test_a_thousand_trials_do_not_overflow() -> None:
    found = expected_best(np.linspace(0, 1, 1000).tolist())
    # the expected largest of n uniform numbers is n / (n + 1)
    assert found[8].mean == pytest.approx(0.9, abs=1e-3)
