"""The analysis of variance, checked against sums of squares by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from mnist_resnet.comparing.job_reader import load_jobs
from mnist_resnet.comparing.report import Section
from mnist_resnet.comparing.table import sweep_report
from mnist_resnet.comparing.variance import NOT_TOLD_APART, analyse
from mnist_resnet.job_folder import Status
from tests.synthetic_sweep import SyntheticSweep

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
    found = analyse(VALUES.tolist(), DESIGN[["a", "b"]], DESIGN["seed"].tolist())
    terms, expected = found.terms, by_hand()
    error_df, error = expected[()]
    assert found.residual == error_df
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
        for term in analyse(values.tolist(), DESIGN[["a", "b"]], DESIGN["seed"].tolist()).terms:
            assert (term.low > 0) == (term.p < 0.025)


def test_design_with_holes_is_analysed_and_one_without_error_is_not() -> None:
    some = DESIGN.drop(index=[0, 5, 23])
    found = analyse(VALUES[some.index].tolist(), some[["a", "b"]], some["seed"].tolist())
    assert (len(found.terms), found.residual, found.reason) == (3, 12, "")
    one_seed = DESIGN[DESIGN["seed"] == 0]
    found = analyse(VALUES[one_seed.index].tolist(), one_seed[["a", "b"]], [0] * 6)
    assert (found.terms, found.reason) == ((), "6 completed runs leave nothing to estimate the error from")


NO_CELL = DESIGN[(DESIGN["a"] == "x") | (DESIGN["b"] != 3)]
ALIASED = DESIGN[(DESIGN["a"] == "x") == (DESIGN["b"] == 1)]
SEEDS_GO_ALONG = DESIGN[(DESIGN["a"] == "x") == (DESIGN["seed"] < 2)]


@pytest.mark.parametrize("some", [NO_CELL, ALIASED, SEEDS_GO_ALONG], ids=["empty cell", "aliased", "seeds go along"])
def test_design_of_deficient_rank_is_refused_in_words(some: pd.DataFrame) -> None:
    found = analyse(VALUES[some.index].tolist(), some[["a", "b"]], some["seed"].tolist())
    assert (found.terms, found.reason) == ((), NOT_TOLD_APART)


def test_runs_without_spread_leave_nothing_to_judge_by() -> None:
    levels, seeds = DESIGN[["a", "b"]], DESIGN["seed"].tolist()
    assert "all completed runs are equal" in analyse([0.1] * len(DESIGN), levels, seeds).reason
    assert "all seeds agree exactly" in analyse(DESIGN["b"].tolist(), levels, seeds).reason


DIVERGES: dict[str, list[Any]] = {"model": ["stem3x3", "stem7x7"], "optim.lr": [0.01, 1e20], "seed": [1, 2]}


def variance_of(folder: Path) -> Section:
    (found,) = (part for part in sweep_report(*load_jobs([folder])).sections if part.title == "Analysis of variance")
    return found


def test_factor_whose_other_levels_all_diverged_is_named_and_left_out(tmp_path: Path) -> None:
    diverged = dict.fromkeys((2, 3, 6, 7), Status.DIVERGED)
    section = variance_of(SyntheticSweep(factors=DIVERGES, statuses=diverged).write(tmp_path / "two"))
    assert section.lines == [
        "optim.lr: all completed runs share one level, so that nothing is told of it.",
        "No analysis: it takes two factors that vary between completed runs.",
    ]
    assert "Olejnik" not in sweep_report(*load_jobs([tmp_path / "two"])).markdown(), "a method that was not used"
    three = {**DIVERGES, "regularization": ["dropout", "none"]}
    three["seed"] = three.pop("seed")
    diverged = {index: Status.DIVERGED for index in range(16) if index // 4 % 2}
    section = variance_of(SyntheticSweep(factors=three, statuses=diverged).write(tmp_path / "three"))
    assert section.table["factor"].tolist() == ["model", "regularization", "model × regularization"]
    assert section.lines[0].startswith("optim.lr: ")


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


def test_share_has_an_interval_where_one_degree_of_freedom_is_left_for_the_error() -> None:
    levels = pd.DataFrame({"model": ["a", "a", "b", "b"], "rate": [1, 2, 1, 2]})
    found = analyse([1.0, 2.0, 4.0, 8.0, 1.01], pd.concat([levels, levels[:1]]), [1, 1, 1, 1, 1])
    assert found.reason == ""
    for term in found.terms:
        noncentrality = term.high / (1 - term.high) * (1 + 1 + 1)
        assert stats.ncf.cdf(term.f, 1, 1, noncentrality) == pytest.approx(0.025, abs=1e-6)
