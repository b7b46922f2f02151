"""Comparison of several sweeps on one page: paired configs, and what changed."""

from collections.abc import Sequence
from typing import Any

from mnist_resnet.comparing.job import Job
from mnist_resnet.comparing.side_by_side import side_by_side
from mnist_resnet.config.metric import Metric

MAX_PAIRS = 500
"""Largest number of pairs listed for two sweeps."""


def pairs(jobs: Sequence[Job], metric: Metric) -> list[dict[str, Any]]:
    """Compare the first sweep with each other one: changes of a metric (second minus first), and of settings.

    Of an accuracy, the change is that of the error rate.
    """
    return [
        {
            "first": comparison.first,
            "second": comparison.second,
            "count": len(comparison.pairs),
            "pairs": comparison.pairs.head(MAX_PAIRS).to_numpy().tolist(),
            "mean": comparison.difference.mean,
            "interval": list(comparison.interval),
            "changes": comparison.changes.to_numpy().tolist(),
        }
        for comparison in side_by_side(jobs, metric)
    ]
