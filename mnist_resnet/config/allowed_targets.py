"""Allowlist of `_target_`s that a stored config may build.

Hydra's `instantiate` calls whatever a `_target_` names. Configs composed from the user's own `conf/` are trusted. A
stored config may come from anywhere, such as a copied sweep folder: it may build only the targets listed here or named
by the user. The list is asked where things are built (`build`), so no way in goes past it. (Hydra 1.4's own list, the
execution whitelist, is made from this one.)
"""

import os
from collections.abc import Iterable, Iterator, Mapping
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
        "mnist_resnet.models.warm_start.warm_started",
        "mnist_resnet.training.combined_optimizer.CombinedOptimizer",
        "mnist_resnet.training.schedule.constant",
        "mnist_resnet.training.schedule.cosine",
        "mnist_resnet.training.schedule.linear",
        "mnist_resnet.training.schedule.onecycle",
        "mnist_resnet.training.step.ComposedStep",
        "mnist_resnet.data.in_memory.in_memory",
        "mnist_resnet.data.sources.digits",
        "mnist_resnet.data.sources.fashion_mnist",
        "mnist_resnet.data.sources.mnist",
        "mnist_resnet.data.stream.streamed",
        "mnist_resnet.tracking.no_tracker.NoTracker",
        "mnist_resnet.tracking.several.SeveralTrackers",
        "mnist_resnet.tracking.wandb.WandbTracker",
        "optuna.pruners.HyperbandPruner",
        "optuna.pruners.MedianPruner",
        "optuna.pruners.NopPruner",
        "optuna.pruners.SuccessiveHalvingPruner",
        "optuna.samplers.GridSampler",
        "optuna.samplers.RandomSampler",
        "optuna.samplers.TPESampler",
        "torch.nn.BCEWithLogitsLoss",
        "torch.nn.CrossEntropyLoss",
        "torch.nn.HuberLoss",
        "torch.nn.Identity",
        "torch.nn.L1Loss",
        "torch.nn.MSELoss",
        "torch.optim.Adagrad",
        "torch.optim.Adam",
        "torch.optim.AdamW",
        "torch.optim.Adamax",
        "torch.optim.LBFGS",
        "torch.optim.Muon",
        "torch.optim.NAdam",
        "torch.optim.RAdam",
        "torch.optim.RMSprop",
        "torch.optim.SGD",
        "torch.optim.lr_scheduler.CosineAnnealingLR",
        "torch.optim.lr_scheduler.CosineAnnealingWarmRestarts",
        "torch.optim.lr_scheduler.LinearLR",
        "torch.optim.lr_scheduler.OneCycleLR",
        "torch.optim.lr_scheduler.ReduceLROnPlateau",
        "torch.optim.lr_scheduler.SequentialLR",
        "torch.optim.lr_scheduler.StepLR",
        "torchvision.transforms.v2.CutMix",
        "torchvision.transforms.v2.MixUp",
    ]
)
"""Full names only: allowing a package such as `torch` would allow everything that it imports, too."""

TRUST_VARIABLE = "MNIST_RESNET_TRUST"
"""Environment variable with further allowed targets, separated by commas, for programs without a `--trust` option."""


_allowed_here: set[str] = set()
"""Targets that the user of this process composed or named, beside `TRUSTED_TARGETS`."""


def allow(config: Any) -> None:
    """Allow the targets of a config that this process has composed from the user's own files.

    Args:
        config: Composed config, or part of one.
    """
    _allowed_here.update(targets(config))


def trust(named: Iterable[str]) -> None:
    """Allow targets that the user named, each by its full name."""
    _allowed_here.update(named)


def targets(config: Any) -> Iterator[str]:
    """Yield every `_target_` in a resolved config, at any depth."""
    if isinstance(config, Mapping):
        if "_target_" in config:
            yield str(config["_target_"])
        config = list(config.values())
    if isinstance(config, list | tuple):
        for value in config:
            yield from targets(value)


def unlisted_targets(config: Any) -> list[str]:
    """Return the targets of a resolved config that are not on our list, each once."""
    return list(dict.fromkeys(target for target in targets(config) if target not in TRUSTED_TARGETS))


def check_allowed(config: Any, trusted: Iterable[str] = ()) -> None:
    """Check that a resolved config names allowed targets only.

    Allowed are `TRUSTED_TARGETS`, targets of configs that were composed in this process (`allow`), `trusted`, and those
    named by the environment variable `MNIST_RESNET_TRUST`.

    Raises:
        UsageError: It names others.
    """
    from_environment = (target.strip() for target in os.environ.get(TRUST_VARIABLE, "").split(","))
    allowed = TRUSTED_TARGETS.union(_allowed_here, trusted, filter(None, from_environment))
    rejected = list(dict.fromkeys(target for target in targets(config) if target not in allowed))
    if rejected:
        options = " ".join(f"--trust {target}" for target in rejected)
        raise UsageError(
            f"_target_={', '.join(rejected)}: not on the list of what a stored config may run; if you know and trust "
            f"{'it' if len(rejected) == 1 else 'them'}: {options} (or {TRUST_VARIABLE}={','.join(rejected)})"
        )


def check_targets(config: dict[str, Any], trusted: Iterable[str] = ()) -> None:
    """Check that a stored config builds allowed targets only (see `check_allowed`), and interpolates nothing.

    Args:
        config: Config from a folder that may come from anywhere.
        trusted: Full names of further allowed targets.

    Raises:
        UsageError: It names other targets, or contains an interpolation such as `${oc.env:NAME}`, by which OmegaConf
            would read this machine's environment.
    """
    check_allowed(config, trusted)
    check_plain_values(config)


def check_plain_values(config: dict[str, Any]) -> None:
    """Check that a stored config interpolates nothing; see `check_targets`.

    Raises:
        UsageError: It does.
    """
    for key, value in flatten(config).items():
        if "${" in str(value):
            raise UsageError(f"{key}={value}: a stored config must hold plain values, no interpolations")
