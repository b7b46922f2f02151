"""Decides whether a job ran the config that a claim is about, on all its images and for all its epochs."""

from typing import Any

from mnist_resnet.comparing.factors import NON_FACTORS, NUMERICS, is_under
from mnist_resnet.comparing.job import Job
from mnist_resnet.config.levels import flatten
from mnist_resnet.config.metric import is_image_classifier

SCALE_KEYS = ("data.train_size", "data.test_size", "data.val_size", "trainer.epochs", "scale.epochs")
"""Config keys that make a job smaller than its experiment file describes."""

HARMLESS_KEYS = (
    *NON_FACTORS,
    *NUMERICS,
    "seed",
    "experiment",
    "trainer.precision",
    "trainer.log_interval",
    "trainer.checkpoint_interval",
    "trainer.checkpoint_every",
    "trainer.profile",
)
"""Keys that may be overridden without making the experiment a different one: seed, numerics, logging."""


def scale_reduction(job: Job) -> str | None:
    """Return the settings that make this job smaller than the claim's own setting; None at full scale.

    An experiment file may set a size of its own, since a paper may have trained on fewer images. With an experiment
    selected, only the command line, another scale or a debugging option counts as a reduction.
    """
    leaves, overridden = flatten(job.config), overrides(job)
    options = {group: job.choices.get(group) for group in ("scale", "debug")}
    reasons = [f"{group}={option}" for group, option in options.items() if option not in (None, "full")]
    if not is_image_classifier(job.config):
        return ", ".join(reasons) or None
    experiment_sets_size = bool(job.choices.get("experiment")) and not reasons
    full_scale = {
        "data.val_size": (0, None),
        "scale.epochs": (1, None),
        "trainer.epochs": (leaves.get("trainer.epochs"),),
    }
    for key in SCALE_KEYS:
        smaller = leaves.get(key) not in full_scale.get(key, (None,))
        if key in overridden if experiment_sets_size else smaller:
            reasons.append(f"{key}={leaves.get(key)}")
    return ", ".join(reasons) or None


def changed_settings(job: Job) -> str | None:
    """Return the overrides that make this job differ from the claim's experiment file; None if there are none."""
    if not job.choices.get("experiment"):
        return None
    ignored = (*HARMLESS_KEYS, *SCALE_KEYS, "scale")
    changed = {key: value for key, value in overrides(job).items() if not is_under(key, ignored)}
    return ", ".join(f"{key}={value}" for key, value in changed.items()) or None


def overrides(job: Job) -> dict[str, str]:
    """Return the command-line overrides by key, without Hydra's own keys and without the prefixes `+` and `~`."""
    entries: Any = job.result.get("overrides")
    pairs = [str(override).partition("=") for override in entries] if isinstance(entries, list) else []
    return {key.lstrip("+~"): value for key, _, value in pairs if not key.lstrip("+~").startswith("hydra")}
