"""Formats raw values as text, in the unit named by the column heading."""

from collections.abc import Mapping
from numbers import Integral

import pandas as pd

from mnist_resnet.comparing.report import ABSENT
from mnist_resnet.config.levels import level_text
from mnist_resnet.config.metric import BUILT_IN, Metric

HEADINGS = {"best_epoch": "best epoch"}
"""Headings of columns that hold no metrics."""

RECORDED = (*HEADINGS, "numerics", "processor", "code")
"""Columns of what was found out, of which a job that has not begun has none; others are settings, which may be null."""


def format_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of raw values as text: shares in per cent, a dash for missing values."""
    metrics: Mapping[str, Metric] = table.attrs.get("metrics", BUILT_IN)
    cells = {
        str(column): [
            format_metric(metrics[str(column)], value) if column in metrics else format_cell(str(column), value)
            for value in table[column].tolist()
        ]
        for column in table
    }
    headings = HEADINGS | {name: metric.title for name, metric in metrics.items()}
    return pd.DataFrame(cells, dtype=object).rename(columns=headings)


def format_cell(column: str, value: object) -> str:
    """Return a value that is no metric's as text."""
    if is_missing(value):
        return "null" if column not in RECORDED and value is None else ABSENT
    if column in (*HEADINGS, "epochs", "seed") and isinstance(value, (float, Integral)):
        return f"{int(value)}"
    return level_text(value)


def format_metric(metric: Metric, value: object) -> str:
    """Return a metric's value as text, in the unit named by its column's heading."""
    if is_missing(value):
        return ABSENT
    if not isinstance(value, (int, float)):
        return level_text(value)
    if metric.is_share:
        return f"{100 * value:.2f}"
    if metric.name in ("seconds", "images_per_second"):
        return f"{value:.0f}" if value >= 100 else f"{value:.1f}"
    if metric.scale == "seconds":
        return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
    return f"{value:g}" if metric.scale == "count" else f"{value:.4g}"


def is_missing(value: object) -> bool:
    """Return whether a value is None or nan."""
    return value is None or value is pd.NaT or (isinstance(value, float) and value != value)


def format_change(metric: Metric, value: float) -> str:
    """Return a change of a metric with its sign; of a share, in percentage points."""
    text = f"{100 * value:+.2f}" if metric.is_share else f"{value:+.4g}"
    return text.lstrip("+-") if float(text) == 0 else text


def p_text(p: float, equals: str = "") -> str:
    """Return a p value as text."""
    return ABSENT if p != p else f"{equals}{p:.3f}" if p >= 0.001 else "< 0.001"
