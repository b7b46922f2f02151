"""Job signatures: a hash of every config value that can change a job's results, and of nothing else.

Configs with the same signature are the same experiment, wherever they run. The idea is from facebookresearch/dora.
"""

import hashlib
import json
from functools import lru_cache
from typing import Any

from mnist_resnet.config.seed_sources import SEEDS, SOURCES
from mnist_resnet.job_folder import MOVED_TARGETS

NUMERICS: dict[str, Any] = {
    "trainer.device": None,
    "trainer.precision": None,
    "trainer.threads": None,
    "trainer.compile": "auto",
    "trainer.convolutions": "auto",
}
"""Settings that change speed and rounding, not the experiment; resolved once and recorded with the job.

Each with what a config stands for that does not have it: some are younger than the first sweeps.
"""

NOT_IN_SIGNATURE = (
    *NUMERICS,
    "claims",
    "comparisons",
    "data.loader_workers",
    "data.root",
    "data.verify",
    "metrics",
    "sweep",
    "task.checkpoint_every",
    "task.checkpoint_interval",
    "task.device",
    "tracking",
    "trainer.checkpoint_every",
    "trainer.checkpoint_interval",
    "trainer.detect_anomaly",
    "trainer.log_interval",
    "trainer.profile",
)
"""Config keys left out of the signature; a node stands for everything in it."""

NEUTRAL: dict[str, dict[str, Any]] = {
    "augmentation": {"_target_": "torch.nn.Identity", "_partial_": True},
    "averaging": {"_target_": "mnist_resnet.training.averaging.LatestWeights", "_partial_": True},
    "loss": {"_target_": "torch.nn.CrossEntropyLoss", "label_smoothing": 0.0},
    SEEDS: dict.fromkeys(SOURCES),
    "training": {"step": None, "metrics": {}},
}
"""Config groups and the node `seeds`, added after the first sweeps were frozen, each as it changes no results.

Such a node is left out of the signature, so configs with and without it have the same one.
"""

NEUTRAL_VALUES: dict[str, Any] = {"data.shuffle": True}
"""Single keys added later, in the same way."""

NEUTRAL_CHOICES = {"augmentation": "none", "averaging": "none", "loss": "cross_entropy", "training": "plain"}
"""The names of those options in `conf/`."""

ORIGINAL_TARGETS = {new: old for old, new in MOVED_TARGETS.items()}
"""Maps each moved `_target_` to its original path, which signatures hash."""


def signature(config: dict[str, Any]) -> str:
    """Return the SHA-256 hex digest of a resolved config, leaving out `NOT_IN_SIGNATURE` and what is neutral."""
    relevant = {key: value for key, value in config.items() if key not in NEUTRAL or value != NEUTRAL[key]}
    leaves = flatten(_with_original_targets(relevant)).items()
    hashed = {key: value for key, value in leaves if not _is_excluded(key) and not _is_neutral(key, value)}
    return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()


def requested_numerics(config: dict[str, Any]) -> dict[str, Any]:
    """Return the value of each of `NUMERICS` that a resolved config asks for."""
    values = flatten(config)
    return {key: values.get(key, absent) for key, absent in NUMERICS.items()}


def differing_numerics(had: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
    """Return those of the numerics that one resolved config asks for which another one asks for differently."""
    wanted = requested_numerics(asked)
    return {key: value for key, value in requested_numerics(had).items() if value != wanted[key]}


def distinguishes_jobs(key: str) -> bool:
    """Return whether two configs that differ only in `key` are different jobs of a sweep."""
    return key in NUMERICS or not _is_excluded(key)


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of a nested mapping by dotted key; lists and empty mappings are leaves."""
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            leaves.update(flatten(value, f"{prefix}{key}."))
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def _is_neutral(key: str, value: Any) -> bool:
    return key in NEUTRAL_VALUES and value == NEUTRAL_VALUES[key]


def _with_original_targets(value: Any, key: Any = "") -> Any:
    if isinstance(value, dict):
        return {inner_key: _with_original_targets(inner, inner_key) for inner_key, inner in value.items()}
    if isinstance(value, list):
        return [_with_original_targets(inner) for inner in value]
    is_target = isinstance(value, str) and str(key).rpartition(".")[2] == "_target_"
    return ORIGINAL_TARGETS.get(value, value) if is_target else value


@lru_cache(maxsize=10_000)
def _is_excluded(key: str) -> bool:
    return any(key == excluded or key.startswith(f"{excluded}.") for excluded in NOT_IN_SIGNATURE)
