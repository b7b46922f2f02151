"""A search for the plot of its history: the objective in each trial, and what fewer trials would have found."""

from collections.abc import Sequence
from typing import Any

from mnist_resnet.comparing.dashboard.curves import rounded
from mnist_resnet.comparing.expected_best import expected_best
from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.searched import searched


def search(jobs: Sequence[Job]) -> dict[str, Any] | None:
    """Return the objective, its value in each job, and the expected best value by trials; None for other sweeps."""
    found = searched(jobs)
    if found is None:
        return None
    minimize = found.metric.better == "lower"
    expected = expected_best([value for value in found.values if value is not None], minimize)
    return {
        "name": f"{found.metric.label}, %" if found.metric.is_share else found.metric.label,
        "epoch": found.epoch,
        "minimize": minimize,
        "unit": 100 if found.metric.is_share else 1,
        "values": [rounded(value) for value in found.values],
        "expected": [[rounded(best.mean), rounded(best.low), rounded(best.high)] for best in expected],
    }
