"""A job's signature: a hash of everything in its config that can change its numbers, and of nothing else.

The idea is that of facebookresearch/dora: two configs of one signature are one experiment, wherever it runs.
"""

import hashlib
import json
from typing import Any

from mnist_resnet.job_folder import MOVED_TARGETS

NUMERICS = ("trainer.device", "trainer.precision", "trainer.threads")
"""Change the last bits and the speed, not the experiment; resolved once and recorded with the job."""

NOT_IN_SIGNATURE = (
    *NUMERICS,
    "claims",
    "comparisons",
    "data.root",
    "data.verify",
    "sweep",
    "tracking",
    "trainer.checkpoint_every",
    "trainer.checkpoint_interval",
    "trainer.compile",
    "trainer.detect_anomaly",
    "trainer.log_interval",
    "trainer.profile",
)
"""What is left out of the signature: each a key, or a node with all that is in it."""

NEUTRAL: dict[str, dict[str, Any]] = {
    "augmentation": {"_target_": "torch.nn.Identity", "_partial_": True},
    "averaging": {"_target_": "mnist_resnet.training.averaging.LatestWeights", "_partial_": True},
    "loss": {"_target_": "torch.nn.CrossEntropyLoss", "label_smoothing": 0.0},
}
"""Groups that came later, each at the choice that computes what was computed without it: so it does not count, and a
config without the group stands for it."""


ORIGINAL_TARGETS = {new: old for old, new in MOVED_TARGETS.items()}
"""Signatures hash a `_target_` as it was first spelled."""


def signature(config: dict[str, Any]) -> str:
    """SHA-256, in hexadecimal, of a resolved config without what `NOT_IN_SIGNATURE` and `NEUTRAL` name."""
    told = {key: value for key, value in config.items() if key not in NEUTRAL or value != NEUTRAL[key]}
    counted = {key: value for key, value in flatten(_with_original_targets(told)).items() if not _is_left_out(key)}
    return hashlib.sha256(json.dumps(counted, sort_keys=True).encode()).hexdigest()


def identity(config: dict[str, Any]) -> str:
    """What tells the jobs of a sweep apart: the signature, and the numerics that were asked for."""
    flat = flatten(config)
    return " ".join([signature(config), *(f"{key}={flat.get(key)}" for key in NUMERICS)])


def distinguishes_jobs(key: str) -> bool:
    """Whether jobs of a sweep that differ in `key` are different jobs."""
    return key in NUMERICS or not _is_left_out(key)


def flatten(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The leaves of a nested mapping by dotted key; lists and empty mappings are leaves."""
    leaves: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict) and value:
            leaves.update(flatten(value, f"{prefix}{key}."))
        else:
            leaves[f"{prefix}{key}"] = value
    return leaves


def _with_original_targets(value: Any, key: str = "") -> Any:
    if isinstance(value, dict):
        return {inner: _with_original_targets(held, inner) for inner, held in value.items()}
    if isinstance(value, list):
        return [_with_original_targets(held) for held in value]
    is_target = isinstance(value, str) and key.rpartition(".")[2] == "_target_"
    return ORIGINAL_TARGETS.get(value, value) if is_target else value


def _is_left_out(key: str) -> bool:
    return any(key == left_out or key.startswith(f"{left_out}.") for left_out in NOT_IN_SIGNATURE)
