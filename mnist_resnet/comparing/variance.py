"""Analysis of variance of a factorial design: what share of the variance each factor, and each pair, explains."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from mnist_resnet.comparing.statistics import CONFIDENCE, ROUNDING, all_equal
from mnist_resnet.config.levels import level_text

MAX_TERMS = 30
"""Largest number of factors and pairs of them; a longer table is of no use."""

NOT_TOLD_APART = (
    "a combination of levels has no completed run, or some levels go together in all of them, so that they can't be "
    "told apart"
)
"""Why a design has no analysis: its terms are linearly dependent."""


@dataclass(frozen=True)
class Term:
    """A factor, or a pair of factors.

    Attributes:
        factors: one or two names.
        df: degrees of freedom.
        f, p: F statistic and its p value.
        eta: partial eta squared: the term's sum of squares over that sum and the residual one's.
        omega: partial omega squared, which is free of eta's upward bias; never below zero.
        low, high: 95 % interval of the partial share of variance, from the noncentral F distribution.
    """

    factors: tuple[str, ...]
    df: int
    f: float
    p: float
    eta: float
    omega: float
    low: float
    high: float


@dataclass(frozen=True)
class Analysis:
    """The result of an analysis of variance, or why there is none.

    Attributes:
        terms: each factor, then each pair of factors; empty if the runs can't tell them apart.
        residual: residual degrees of freedom.
        reason: why there are no terms; empty if there are.
    """

    terms: Sequence[Term] = ()
    residual: int = 0
    reason: str = ""


def analyse(values: Sequence[float], levels: pd.DataFrame, seeds: Sequence[object]) -> Analysis:
    """Return each factor and each pair of factors, or the reason why these runs don't tell.

    Sums of squares of type II, which need no balanced design, but runs in every cell of each pair of factors: each
    factor is judged beyond the others, each pair beyond all factors. Seeds are a block. Effect sizes after Olejnik and
    Algina, Psychological Methods 8 (2003) 434; their intervals after Steiger, Psychological Methods 9 (2004) 164.

    Args:
        values: one per run, finite, on a scale on which runs spread alike.
        levels: one row per run, one column per factor, each with two levels or more (see `told_apart`).
        seeds: one per run.
    """
    # slow to import, and not needed where there is nothing to analyse
    import statsmodels.formula.api as formulas
    from statsmodels.stats.anova import anova_lm

    names = [str(name) for name in levels]
    texts = [levels[name].map(level_text) for name in names]
    codes = {f"f{number}": column.astype("category").cat.codes for number, column in enumerate(texts)}
    data = pd.DataFrame({"value": list(values), "seed": [str(seed) for seed in seeds], **codes})
    if all_equal(data["value"].to_numpy()):
        return Analysis(reason="all completed runs are equal, which leaves nothing to judge by")
    terms = [f"C({code})" for code in codes]
    pairs = [f"{a}:{b}" for a, b in combinations(terms, 2)]
    blocks = ["C(seed)"] if data["seed"].nunique() > 1 else []
    if len(terms) + len(pairs) > MAX_TERMS:
        return Analysis(reason=f"{len(terms)} factors have more than {MAX_TERMS} factors and pairs of them")
    model = formulas.ols("value ~ " + " + ".join([*blocks, *terms, *pairs]), data)
    if np.linalg.matrix_rank(model.exog) < model.exog.shape[1]:
        return Analysis(reason=NOT_TOLD_APART)
    fitted = model.fit()
    residual = int(fitted.df_resid)
    if residual < 1:
        return Analysis(reason=f"{len(data)} completed runs leave nothing to estimate the error from")
    if not fitted.ssr > (ROUNDING * float(np.abs(data["value"]).max())) ** 2:
        return Analysis(reason="all seeds agree exactly, which leaves nothing to judge by")
    table = anova_lm(fitted, typ=2)
    original = dict(zip(codes, names, strict=True))
    found = []
    for term in [*terms, *pairs]:
        df, f, p = round(float(table.loc[term, "df"])), float(table.loc[term, "F"]), float(table.loc[term, "PR(>F)"])
        factors = tuple(original[part[2:-1]] for part in term.split(":"))
        low, high = _share_interval(f, df, residual)
        eta = df * f / (df * f + residual)
        omega = max(0.0, df * (f - 1) / (df * (f - 1) + len(data)))
        found.append(Term(factors, df, f, p, eta, omega, low, high))
    return Analysis(found, residual)


def told_apart(levels: pd.DataFrame) -> list[str]:
    """Return the factors that take two levels or more in these runs; those of one level have no effect to show."""
    return [str(name) for name in levels if levels[name].map(level_text).nunique() > 1]


def _share_interval(f: float, df: int, residual: int) -> tuple[float, float]:
    """Return the shares of variance under which this F is just not too high, and just not too low."""
    from scipy import stats
    from scipy.optimize import brentq

    ends = []
    for share in ((1 + CONFIDENCE) / 2, (1 - CONFIDENCE) / 2):

        def excess(noncentrality: float, wanted: float = share) -> float:
            return float(stats.ncf.cdf(f, df, residual, noncentrality)) - wanted

        highest = 8 * df * f + 100  # with one degree of freedom left for the error, the end is near 5 · df · F
        noncentrality = 0.0 if stats.f.cdf(f, df, residual) <= share else float(brentq(excess, 1e-9, highest))
        ends.append(noncentrality / (noncentrality + df + residual + 1))
    return ends[0], ends[1]
