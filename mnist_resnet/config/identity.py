"""Tells whether two configs are the same experiment, and the same job of a sweep."""

from typing import Any

from mnist_resnet.config.metric import is_image_classifier
from mnist_resnet.config.schema import check_job
from mnist_resnet.config.signature import requested_numerics, signature
from mnist_resnet.config.stored_form import with_floats
from mnist_resnet.errors import UsageError


def identity(config: dict[str, Any]) -> str:
    """Return what distinguishes a sweep's jobs: the experiment and the requested (unresolved) numerics."""
    return _identity(_normalised(config))


def identity_without_epochs(config: dict[str, Any]) -> str:
    """Return the identity without `trainer.epochs`: equal for jobs of a sweep that differ only in their epochs."""
    normalised = _normalised(config)
    if not is_image_classifier(config):
        return _identity(normalised)
    trainer = {key: value for key, value in normalised["trainer"].items() if key != "epochs"}
    return _identity(normalised | {"trainer": trainer})


def is_same_experiment(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two resolved configs have the same signature, but for the spelling of their numbers.

    Older versions stored 0 and 0.0 as they were typed, and signed what they stored.
    """
    return signature(_normalised(one)) == signature(_normalised(other))


def _identity(normalised: dict[str, Any]) -> str:
    numerics = requested_numerics(normalised)
    return " ".join([signature(normalised), *(f"{key}={value}" for key, value in numerics.items())])


def _normalised(config: dict[str, Any]) -> dict[str, Any]:
    try:
        normalised: dict[str, Any] = with_floats(config, check_job(config))
    except UsageError:
        # Stored by a version that accepted it; then only the same spelling is the same.
        return config
    return normalised
