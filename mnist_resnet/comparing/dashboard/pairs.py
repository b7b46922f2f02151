"""Comparison of several sweeps on one page: paired configs, and what changed."""

from collections.abc import Sequence
from typing import Any

from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.side_by_side import side_by_side

MAX_PAIRS = 500
"""Largest number of pairs listed for two sweeps."""


def pairs(jobs: Sequence[Job], sweeps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Compare the first sweep with each other one: changes of the test error (second minus first), and of settings."""
    if len(sweeps) < 2:
        return []
    return [
        {
            "first": sweeps[0]["label"],
            "second": sweep["label"],
            "count": len(comparison.pairs),
            "pairs": comparison.pairs.head(MAX_PAIRS).to_numpy().tolist(),
            "mean": comparison.difference.mean,
            "interval": [comparison.difference.low, comparison.difference.high],
            "changes": comparison.changes.to_numpy().tolist(),
        }
        for sweep, comparison in zip(sweeps[1:], side_by_side(jobs), strict=True)
    ]
