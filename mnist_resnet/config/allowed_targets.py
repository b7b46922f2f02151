"""Allowlist of `_target_`s that a stored config may build.

Hydra's `instantiate` calls whatever a `_target_` names. Configs composed from the user's own `conf/` are trusted. A
stored config may come from anywhere, such as a copied sweep folder: it may build only the targets listed here or named
by the user. (Hydra 1.4 plans a similar list, called an execution whitelist.)
"""

import os
from collections.abc import Iterable, Iterator
from typing import Any

from mnist_resnet.config.signature import flatten
from mnist_resnet.errors import UsageError

TRUSTED_TARGETS = frozenset(
    [
        "mnist_resnet.data.augmentation.Affine",
        "mnist_resnet.data.augmentation.Elastic",
        "mnist_resnet.data.augmentation.Translate",
        "mnist_resnet.training.averaging.ExponentialAverage",
        "mnist_resnet.training.averaging.LatestWeights",
        "mnist_resnet.training.averaging.TailAverage",
        "mnist_resnet.models.lean.LeanNetwork",
        "mnist_resnet.models.resnet.ResNet",
        "mnist_resnet.training.schedule.constant",
        "mnist_resnet.training.schedule.cosine",
        "mnist_resnet.training.schedule.linear",
        "mnist_resnet.training.schedule.onecycle",
        "mnist_resnet.data.sources.digits",
        "mnist_resnet.data.sources.fashion_mnist",
        "mnist_resnet.data.sources.mnist",
        "mnist_resnet.tracking.no_tracker.NoTracker",
        "mnist_resnet.tracking.wandb.WandbTracker",
        "torch.nn.CrossEntropyLoss",
        "torch.nn.Identity",
        "torch.optim.Adagrad",
        "torch.optim.Adam",
        "torch.optim.AdamW",
        "torch.optim.Adamax",
        "torch.optim.NAdam",
        "torch.optim.RAdam",
        "torch.optim.RMSprop",
        "torch.optim.SGD",
    ]
)
"""Full names only: allowing a package such as `torch` would allow everything that it imports, too."""

TRUST_VARIABLE = "MNIST_RESNET_TRUST"
"""Environment variable with further allowed targets, separated by commas, for programs without a `--trust` option."""


def targets(config: Any) -> Iterator[str]:
    """Yield every `_target_` in a resolved config, at any depth."""
    if isinstance(config, dict):
        if "_target_" in config:
            yield str(config["_target_"])
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from targets(value)


def check_targets(config: dict[str, Any], trusted: Iterable[str] = ()) -> None:
    """Check that a stored config builds only allowed targets.

    Allowed are `TRUSTED_TARGETS`, `trusted`, and those named by the environment variable `MNIST_RESNET_TRUST`.

    Args:
        config: resolved config from an untrusted folder.
        trusted: full names of further allowed targets.

    Raises:
        UsageError: the config names other targets, or contains an interpolation such as `${oc.env:NAME}`, by which
            OmegaConf would read this machine's environment.
    """
    from_environment = (target.strip() for target in os.environ.get(TRUST_VARIABLE, "").split(","))
    allowed = TRUSTED_TARGETS.union(trusted, from_environment)
    rejected = list(dict.fromkeys(target for target in targets(config) if target not in allowed))
    if rejected:
        options = " ".join(f"--trust {target}" for target in rejected)
        raise UsageError(
            f"_target_={', '.join(rejected)}: not on the list of what a stored config may run; if you know and trust "
            f"{'it' if len(rejected) == 1 else 'them'}: {options} (or {TRUST_VARIABLE}={','.join(rejected)})"
        )
    for key, value in flatten(config).items():
        if "${" in str(value):
            raise UsageError(f"{key}={value}: a stored config must hold plain values, no interpolations")
