"""Tests of differences, checked against published examples and against scipy and statsmodels."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from statsmodels.stats.anova import AnovaRM
from statsmodels.stats.multitest import multipletests
from statsmodels.stats.power import TTestPower
from statsmodels.stats.weightstats import DescrStatsW

from mnist_resnet.comparing.significance import (
    differs_without_spread,
    heterogeneity_p,
    holm,
    mean_test,
    seeds_needed,
    sphericity,
)

# Student, The probable error of a mean (1908): sleep gained by ten patients with one drug rather than the other
SLEEP = np.array([1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4])

# Abdi, The Greenhouse-Geisser correction (in Salkind, Encyclopedia of Research Design, 2010): 5 subjects, 4 treatments
ABDI = np.array([[76, 64, 34, 26], [60, 48, 46, 30], [58, 34, 32, 28], [46, 46, 32, 28], [30, 18, 36, 28]], dtype=float)


def test_holm_agrees_with_a_published_example_and_statsmodels() -> None:
    # the example of Wikipedia's article on the Holm–Bonferroni method
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    p_values = [0.032, 0.796, 0.0001, 0.212, 0.846, 0.002, 0.04]
    assert holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1])


def test_untested_differences_do_not_count_for_holm() -> None:
    assert holm([0.02, float("nan"), 0.03])[::2] == pytest.approx([0.04, 0.04])
    assert holm([]) == []


def test_t_test_agrees_with_r_on_students_data() -> None:
    found = mean_test(SLEEP, margin=1.0)
    assert (found.low, found.high) == pytest.approx((0.7001142, 2.4598858), abs=1e-6)
    assert found.p == pytest.approx(0.002833, abs=1e-6)


@pytest.mark.parametrize("margin", [0.5, 1.0, 3.0])
def test_two_one_sided_tests_agree_with_statsmodels(margin: float) -> None:
    expected = DescrStatsW(SLEEP - 1).ttost_mean(-margin, margin)[0]
    assert mean_test(SLEEP - 1, margin).equivalence_p == pytest.approx(expected)


@pytest.mark.parametrize("values", [[], [0.1], [0.1, 0.1, 0.1], [0.1, 0.1 + 1e-12]])
def test_too_little_to_judge_by_gives_no_p_value(values: list[float]) -> None:
    found = mean_test(np.array(values), margin=0.05)
    assert all(math.isnan(value) for value in (found.p, found.low, found.equivalence_p))


@pytest.mark.parametrize(("size", "pairs"), [(0.2, 199), (0.5, 34), (0.8, 15)])
def test_seeds_needed_agree_with_published_tables_and_statsmodels(size: float, pairs: int) -> None:
    # Cohen's small, medium and large effects; G*Power 3 (Faul et al. 2007) gives the same numbers for paired t tests
    assert seeds_needed(1.0, size) == pairs
    assert math.ceil(TTestPower().solve_power(effect_size=size, alpha=0.05, power=0.8)) == pairs


def test_seeds_needed_at_a_stricter_level_agree_with_statsmodels() -> None:
    assert seeds_needed(1.0, 0.5, 0.05 / 10) == math.ceil(
        TTestPower().solve_power(effect_size=0.5, alpha=0.005, power=0.8)
    )


@pytest.mark.parametrize(("sd", "difference", "pairs"), [(1.0, 0.01, None), (1.0, 1000.0, 2), (1.0, 0.0, None)])
def test_seeds_needed_at_the_extremes(sd: float, difference: float, pairs: int | None) -> None:
    assert seeds_needed(sd, difference) == pairs


def test_sphericity_and_its_test_agree_with_a_published_example() -> None:
    assert sphericity(ABDI) == pytest.approx(0.4460, abs=0.00005)
    assert heterogeneity_p(ABDI) == pytest.approx(0.059, abs=0.001)


def test_analysis_of_variance_agrees_with_statsmodels() -> None:
    long = pd.DataFrame([(s, c, ABDI[s, c]) for s in range(5) for c in range(4)], columns=["seed", "cell", "value"])
    found = AnovaRM(long, "value", "seed", within=["cell"]).fit().anova_table
    share = sphericity(ABDI)
    expected = stats.f.sf(found["F Value"].iloc[0], 3 * share, 12 * share)
    assert heterogeneity_p(ABDI) == pytest.approx(expected)


def test_two_cells_are_compared_by_a_paired_t_test() -> None:
    assert heterogeneity_p(ABDI[:, :2]) == pytest.approx(stats.ttest_rel(ABDI[:, 0], ABDI[:, 1]).pvalue)


def test_single_cell_or_seed_has_no_heterogeneity() -> None:
    assert math.isnan(heterogeneity_p(ABDI[:, :1]))
    assert math.isnan(heterogeneity_p(ABDI[:1]))


@pytest.mark.parametrize(
    ("differences", "differ"),
    [
        ([[0.02, 0.05], [0.02, 0.05]], True),
        ([[0.02, 0.05], [0.03, 0.06]], True),  # seeds differ, and the cells by the same in each
        ([[0.02, 0.02], [0.02, 0.02 + 1e-13]], False),
        ([[0.02, 0.05], [0.02, 0.06]], False),
        ([[0.02, 0.05]], False),
    ],
)
def test_zero_spread_is_nothing_to_judge_cells_by(differences: list[list[float]], differ: bool) -> None:
    values = np.array(differences)
    assert differs_without_spread(values) == differ
    assert math.isnan(heterogeneity_p(values)) == (differ or len(differences) < 2 or values[1, 1] < 0.03)
