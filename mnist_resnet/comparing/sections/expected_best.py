"""Report section on what searches of fewer trials would have found."""

from collections.abc import Sequence

import pandas as pd

from mnist_resnet.comparing.cells import format_metric
from mnist_resnet.comparing.expected_best import expected_best
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.methods import Method
from mnist_resnet.comparing.report import ABSENT, Section
from mnist_resnet.comparing.searched import searched

ROUND_NUMBERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)
"""Numbers of trials to list, besides all of them."""


def expected_best_section(jobs: Sequence[Job], frame: pd.DataFrame) -> Section | None:
    """Return what searches of fewer trials would have found; None for other sweeps, and below two trials."""
    found = searched(jobs) if jobs else None
    values = [value for value in found.values if value is not None] if found else []
    if found is None or len(values) < 2:
        return None
    seconds = float(frame["seconds"].mean())
    best = expected_best(values, minimize=found.metric.better == "lower")
    rows = [
        {
            "trials": f"{entry.trials}",
            "seconds": f"{seconds * entry.trials:.3g}",
            "expected best": format_metric(found.metric, entry.mean),
            "95 % range": ABSENT  # all trials are one search alone
            if entry.trials == len(best)
            else f"{format_metric(found.metric, entry.low)} to {format_metric(found.metric, entry.high)}",
        }
        for entry in best
        if entry.trials in ROUND_NUMBERS or entry.trials == len(best)
    ]
    line = (
        f"The best {found.metric.label} of the {found.epoch} epoch that a random search of so many trials would find "
        "(Dodge et al. 2019, without replacement), from these trials; a pruned one counts with the value where it "
        "ended. Seconds are the mean of these trials times their number, one after the other."
    )
    return Section("Expected best value by number of trials", [line], pd.DataFrame(rows, dtype=object), [Method.SEARCH])
