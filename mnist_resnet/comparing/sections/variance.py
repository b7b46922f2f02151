"""Report section with an analysis of variance."""

from itertools import repeat

import numpy as np
import pandas as pd

from mnist_resnet.comparing.factors import varying_factors
from mnist_resnet.comparing.methods import Method
from mnist_resnet.comparing.report import Section
from mnist_resnet.comparing.reported import metric_of
from mnist_resnet.comparing.transform import count_images, scale_text, transform_of
from mnist_resnet.comparing.variance import Term, analyse, told_apart
from mnist_resnet.config.levels import level_text

VARIANCE = "Analysis of variance"
"""Title of its section."""


def variance_section(frame: pd.DataFrame, name: str) -> Section | None:
    """Return the analysis of variance of a metric, or a line on why there is none; None without two factors or seeds.

    Runs that did not complete, or without a finite value, have no part in it.
    """
    factors = [factor for factor in varying_factors(frame) if factor not in ("experiment", "sweep")]
    values = frame[name].astype(float) if name in frame else pd.Series(dtype=float)
    completed = frame[(frame["status"] == "completed") & np.isfinite(values)] if name in frame else frame[:0]
    if len(factors) < 2 or "seed" not in frame or completed["seed"].map(level_text).nunique() < 2:
        return None
    kept = told_apart(completed[factors])
    lost = [factor for factor in factors if factor not in kept]
    of_what = "it" if len(lost) == 1 else "them"
    lost_text = f"{', '.join(lost)}: all completed runs share one level, so that nothing is told of {of_what}."
    lines = [lost_text] if lost else []
    if len(kept) < 2:
        return Section(VARIANCE, [*lines, "No analysis: it takes two factors that vary between completed runs."])
    metric = metric_of(frame, name)
    values = values[completed.index]
    scale = transform_of(metric, count_images(values) if metric.is_share else None)
    seeds = completed["seed"].map(level_text).tolist()
    found = analyse(scale.forward(values).tolist(), completed[kept], seeds)
    if found.reason:
        return Section(VARIANCE, [*lines, f"No analysis: {found.reason}."])
    lines += [
        f"Of {metric.label}{scale_text(metric)}, with seeds as blocks; sums of squares of type II.",
        "Partial ω² is the share of the variance that is not another term's, less what chance gives; the interval is "
        "of that share (noncentral F). p is not corrected for the number of terms.",
    ]
    rows = pd.DataFrame(map(_term_row, found.terms, repeat(found.residual)), dtype=object)
    return Section(VARIANCE, lines, rows, [Method.VARIANCE])


def _term_row(term: Term, residual: int) -> dict[str, str]:
    return {
        "factor": " × ".join(term.factors),
        "df": f"{term.df}, {residual}",
        "F": f"{term.f:.3g}",
        "p": "< 0.001" if term.p < 0.001 else f"{term.p:.3f}",
        "partial ω²": f"{term.omega:.2f}",
        "partial η²": f"{term.eta:.2f}",
        "95 % interval": f"{term.low:.2f} to {term.high:.2f}",
    }
