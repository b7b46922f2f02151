"""Which `_target_`s may be built from a config that comes from elsewhere, such as a sweep folder that was copied here.

`instantiate` runs whatever a `_target_` names. What a user composes from a `conf/` of their own is theirs; a frozen
config is data, and builds only what is on this list, or in a package that the user names. (Hydra 1.4 will ask
programs for such a list, under the name of an execution whitelist.)
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
        "mnist_resnet.tracking.wandb.NoTracker",
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
"""Named one by one: a whole package such as `torch` would open everything that it imports."""

TRUST_VARIABLE = "MNIST_RESNET_TRUST"
"""Environment variable with the user's own targets, separated by commas, for programs that can't be handed any."""


def targets(config: Any) -> Iterator[str]:
    """Every `_target_` in a resolved config, at any depth."""
    if isinstance(config, dict):
        if "_target_" in config:
            yield str(config["_target_"])
        config = list(config.values())
    if isinstance(config, list):
        for value in config:
            yield from targets(value)


def check_targets(config: dict[str, Any], trusted: Iterable[str] = ()) -> None:
    """Let pass a config whose `_target_`s are all on the list, or in `trusted`, or named by `MNIST_RESNET_TRUST`.

    Args:
        config: resolved, from a folder that may come from anywhere.
        trusted: further targets, each in full.

    Raises:
        UsageError: it names other targets, or is not resolved: OmegaConf would read this machine's environment for it.
    """
    named = (target.strip() for target in os.environ.get(TRUST_VARIABLE, "").split(","))
    allowed = TRUSTED_TARGETS.union(trusted, named)
    others = list(dict.fromkeys(target for target in targets(config) if target not in allowed))
    if others:
        options = " ".join(f"--trust {target}" for target in others)
        raise UsageError(
            f"_target_={', '.join(others)}: not on the list of what a stored config may run; if you know and trust "
            f"{'it' if len(others) == 1 else 'them'}: {options} (or {TRUST_VARIABLE}={','.join(others)})"
        )
    for key, value in flatten(config).items():
        if "${" in str(value):
            raise UsageError(f"{key}={value}: a stored config holds values, and nothing that is yet to be looked up")
