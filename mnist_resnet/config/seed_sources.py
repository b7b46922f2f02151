"""The sources of randomness that have seeds of their own, beside `seed`."""

from collections.abc import Mapping
from typing import Any

SEEDS = "seeds"
"""The config node with these seeds."""

SOURCES = {
    "init": "initial weights",
    "order": "order of the training images",
    "dropout": "dropout",
    "augmentation": "augmentation",
    "split": "data split",
}
"""What each of them seeds, by key."""

UNLIKE_SEED = ("augmentation", "split")
"""Sources that do something else if they are not set than if they are set to `seed`."""


def seed_label(config: Mapping[str, Any]) -> Any:
    """Return a job's seed; with the seeds of single sources, as text, where these make another run of it."""
    seed, seeds = config.get("seed"), config.get(SEEDS)
    own = seeds if isinstance(seeds, Mapping) else {}
    apart = {
        source: own[source]
        for source in SOURCES
        if own.get(source) is not None and (own[source] != seed or source in UNLIKE_SEED)
    }
    return ", ".join([str(seed), *(f"{source}={value}" for source, value in apart.items())]) if apart else seed
