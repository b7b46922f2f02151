"""The largest part of a table of seeds and cells that has no gaps."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

MAX_SELECTIONS = 2000
"""Largest number of selections of cells to try when the largest balanced part is looked for."""


def largest_balanced(table: pd.DataFrame) -> pd.DataFrame:
    """Return the part without gaps with most entries; rows are seeds, columns are cells.

    Means over different cells would add the cells' differences to the spread between seeds.

    Parts of two seeds or more come first: one seed has no interval.
    """
    some = table.dropna(axis="columns", how="all").dropna(axis="index", how="all")
    measured = some.notna().to_numpy()
    parts = [(measured[:, list(cells)].all(axis=1), sorted(cells)) for cells in _selections(measured)]
    if not parts:
        return some
    seeds, cells = max(parts, key=lambda part: (min(2, part[0].sum()), part[0].sum() * len(part[1]), part[0].sum()))
    return some.iloc[np.flatnonzero(seeds), cells]


def _selections(measured: NDArray[np.bool_]) -> set[frozenset[int]]:
    """Return the selections of cells among which the largest balanced part is: what some seeds have in common."""
    found: set[frozenset[int]] = set()
    for cells in {frozenset(np.flatnonzero(row).tolist()) for row in measured}:
        found |= {cells, *(cells & other for other in found)}
        if len(found) > MAX_SELECTIONS:
            break
    return found - {frozenset()}
