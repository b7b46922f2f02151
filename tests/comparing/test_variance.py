"""The analysis of variance, checked against sums of squares by hand."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mnist_resnet.comparing.variance import analyse

RANDOM = np.random.default_rng(7)
DESIGN = pd.DataFrame(
    [(a, b, seed) for a in ("x", "y") for b in (1, 2, 3) for seed in range(4)], columns=["a", "b", "seed"]
)
VALUES = pd.Series(RANDOM.normal(size=24)) + 1.5 * (DESIGN["a"] == "y") + 0.8 * (DESIGN["seed"] == 2)


def by_hand() -> dict[tuple[str, ...], tuple[int, float]]:
    """Return degrees of freedom and sum of squares of each term, and of the error (the empty one)."""
    cube = VALUES.to_numpy().reshape(2, 3, 4)
    mean = cube.mean()
    a, b, s = (cube.mean(axis=axes) - mean for axes in ((1, 2), (0, 2), (0, 1)))
    ab = cube.mean(axis=2) - mean - a[:, None] - b[None, :]
    error = cube - cube.mean(axis=2)[:, :, None] - s
    return {
        ("a",): (1, 12 * float(np.sum(a**2))),
        ("b",): (2, 8 * float(np.sum(b**2))),
        ("a", "b"): (2, 4 * float(np.sum(ab**2))),
        (): (15, float(np.sum(error**2))),
    }


def test_balanced_design_has_the_classical_sums_of_squares() -> None:
    terms, residual = analyse(VALUES.tolist(), DESIGN[["a", "b"]], DESIGN["seed"].tolist())
    expected = by_hand()
    error_df, error = expected[()]
    assert residual == error_df
    assert [term.factors for term in terms] == [("a",), ("b",), ("a", "b")]
    for term in terms:
        df, squares = expected[term.factors]
        f = squares / df / (error / error_df)
        assert term.df == df
        assert term.f == pytest.approx(f)
        assert term.p == pytest.approx(stats.f.sf(f, df, error_df))
        assert term.eta == pytest.approx(squares / (squares + error))
        omega = (squares - df * error / error_df) / (squares + (24 - df) * error / error_df)
        assert term.omega == pytest.approx(max(0, omega))
        assert term.low <= term.eta <= term.high


def test_interval_excludes_zero_where_the_one_sided_test_does() -> None:
    for strength in (0.0, 0.3, 0.6, 0.9, 3.0):
        values = VALUES + strength * (DESIGN["b"] == 3)
        for term in analyse(values.tolist(), DESIGN[["a", "b"]], DESIGN["seed"].tolist())[0]:
            assert (term.low > 0) == (term.p < 0.025)


def test_design_with_holes_is_analysed_and_one_without_error_is_not() -> None:
    some = DESIGN.drop(index=[0, 5, 23])
    terms, residual = analyse(VALUES[some.index].tolist(), some[["a", "b"]], some["seed"].tolist())
    assert (len(terms), residual) == (3, 12)
    one_seed = DESIGN[DESIGN["seed"] == 0]
    assert analyse(VALUES[one_seed.index].tolist(), one_seed[["a", "b"]], [0] * 6) == ([], 0)
    no_cell = DESIGN[(DESIGN["a"] == "x") | (DESIGN["b"] != 3)]
    assert analyse(VALUES[no_cell.index].tolist(), no_cell[["a", "b"]], no_cell["seed"].tolist()) == ([], 0)


@pytest.mark.slow
def test_mixed_model_finds_effects_that_are_not_there_in_a_design_with_a_hole() -> None:
    """Why docs/comparing.md lists cells instead: of studies without any effect, far more than 5 % show one."""
    import warnings

    import statsmodels.formula.api as formulas

    random, found, studies, seeds = np.random.default_rng(2), 0, 400, 3
    cells = [("x", 1), ("x", 2), ("y", 1)]  # the fourth was not run
    rows = [(a, b, seed) for a, b in cells for seed in range(seeds)]
    for _ in range(studies):
        data = pd.DataFrame(rows, columns=["a", "b", "seed"])
        data["value"] = random.normal(size=len(rows)) + random.normal(size=seeds)[data["seed"]]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fitted = formulas.mixedlm("value ~ C(a) + C(b)", data, groups=data["seed"]).fit(reml=True)
        found += fitted.pvalues["C(a)[T.y]"] < 0.05
    assert found / studies > 0.09
