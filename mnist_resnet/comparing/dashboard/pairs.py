"""Several sweeps on one page: the same configs paired, and what changed."""

from collections.abc import Sequence
from typing import Any

from mnist_resnet.comparing.frame import Job
from mnist_resnet.comparing.side_by_side import side_by_side

MOST_PAIRS = 500


def pairs(jobs: Sequence[Job], sweeps: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The first sweep against each of the others: differences of test accuracy (second less first), and changes."""
    if len(sweeps) < 2:
        return []
    return [
        {
            "first": sweeps[0]["label"],
            "second": sweep["label"],
            "count": len(found.pairs),
            "pairs": found.pairs.head(MOST_PAIRS).to_numpy().tolist(),
            "mean": found.difference.mean,
            "interval": [found.difference.low, found.difference.high],
            "changes": found.changes.to_numpy().tolist(),
        }
        for sweep, found in zip(sweeps[1:], side_by_side(jobs), strict=True)
    ]
