"""Whether a job ran the config that a claim is about, on all its images and for all its epochs."""

from typing import Any

from mnist_resnet.comparing.frame import NO_FACTORS, Job, flatten

SCALE_KEYS = ("data.train_size", "data.test_size", "data.val_size", "trainer.epochs", "scale.epochs")
"""Config keys that make a job smaller than what its experiment file describes."""

HARMLESS = (
    *NO_FACTORS,
    "seed",
    "experiment",
    "trainer.device",
    "trainer.precision",
    "trainer.threads",
    "trainer.log_interval",
    "trainer.checkpoint_interval",
    "trainer.checkpoint_every",
    "trainer.compile",
    "trainer.detect_anomaly",
    "trainer.profile",
    "data.test_batch_size",
)
"""What may be set beside an experiment without making it another one: seeds, numerics, and who watches."""


def below(key: str, keys: tuple[str, ...]) -> bool:
    """Whether a config key is one of `keys`, or lies below one."""
    return any(key == other or key.startswith(f"{other}.") for other in keys)


def reduced(job: Job) -> str | None:
    """What makes this job smaller than its claim's own setting, in words; None where it is at full scale.

    An experiment file may set a size of its own, since a paper may have trained on fewer images: with an experiment
    chosen, only the command line, another scale or a debugging option reduces it.
    """
    leaves, overridden = flatten(job.config), overrides(job)
    chosen = {group: job.choices.get(group) for group in ("scale", "debug")}
    reasons = [f"{group}={option}" for group, option in chosen.items() if option not in (None, "full")]
    own = bool(job.choices.get("experiment")) and not reasons
    whole = {"data.val_size": (0, None), "scale.epochs": (1, None), "trainer.epochs": (leaves.get("trainer.epochs"),)}
    for key in SCALE_KEYS:
        smaller = leaves.get(key) not in whole.get(key, (None,))
        if key in overridden if own else smaller:
            reasons.append(f"{key}={leaves.get(key)}")
    return ", ".join(reasons) or None


def altered(job: Job) -> str | None:
    """What was set beside the experiment that the claim is about; None where it ran as its file says."""
    if not job.choices.get("experiment"):
        return None
    found = {key: value for key, value in overrides(job).items() if not below(key, (*HARMLESS, *SCALE_KEYS, "scale"))}
    return ", ".join(f"{key}={value}" for key, value in found.items()) or None


def overrides(job: Job) -> dict[str, str]:
    """The command line's overrides by key, without Hydra's own and without the marks `+` and `~`."""
    given: Any = job.result.get("overrides")
    pairs = [str(override).partition("=") for override in given] if isinstance(given, list) else []
    return {key.lstrip("+~"): value for key, _, value in pairs if not key.lstrip("+~").startswith("hydra")}
