"""Formats raw values as text, in the unit named by the column heading."""

from numbers import Integral

import pandas as pd

from mnist_resnet.comparing.levels import level_text
from mnist_resnet.comparing.report import ABSENT

HEADINGS = {
    "train_accuracy": "train accuracy, %",
    "test_accuracy": "test accuracy, %",
    "best_test_accuracy": "best test accuracy, %",
    "best_epoch": "best epoch",
    "seconds": "seconds",
    "training_seconds": "training, s",
    "images_per_second": "images/s",
}


def format_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table of raw values as text: accuracies in per cent, a dash for missing values."""
    cells = {str(column): [format_cell(str(column), value) for value in table[column].tolist()] for column in table}
    return pd.DataFrame(cells, dtype=object).rename(columns=HEADINGS)


def format_cell(column: str, value: object) -> str:
    """Return one value as text, in the unit named by its column's heading."""
    if value is None or value is pd.NaT or (isinstance(value, float) and value != value):
        return "null" if column not in HEADINGS and value is None else ABSENT
    if column.endswith("_accuracy") and isinstance(value, float):
        return f"{100 * value:.2f}"
    if column.endswith("_loss") and isinstance(value, float):
        return f"{value:.4g}"
    if column == "training_seconds" and isinstance(value, (int, float)):
        return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
    if column in ("seconds", "images_per_second") and isinstance(value, (int, float)):
        return f"{value:.0f}" if value >= 100 else f"{value:.1f}"
    if column in ("best_epoch", "epochs", "seed") and isinstance(value, (float, Integral)):
        return f"{int(value)}"
    return level_text(value)


def format_change(metric: str, value: float) -> str:
    """Return a change of a metric with its sign; of an accuracy, in percentage points."""
    text = f"{100 * value:+.2f}" if metric.endswith("_accuracy") else f"{value:+.4g}"
    return text.lstrip("+-") if float(text) == 0 else text
