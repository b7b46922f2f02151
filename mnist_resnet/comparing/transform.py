"""Scales on which a metric's spread is taken, so that every printed bound is a possible value."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logit

from mnist_resnet.config.metric import Metric

Function = Callable[[ArrayLike], NDArray[np.float64]]

UNKNOWN_SIZE = 10_000
"""Number of images assumed for an accuracy of exactly 0 or 1, if it can't be told from the figures."""

MAX_SIZE = 200_000
"""Largest number of images that figures are searched for; beyond it, they are no shares of images."""


@dataclass(frozen=True)
class Transform:
    """An increasing function from a metric's possible values to the whole line.

    Attributes:
        forward: the function; it takes arrays.
        back: its inverse.
        slope: its derivative.
    """

    forward: Function
    back: Function
    slope: Function


def _same(values: ArrayLike) -> NDArray[np.float64]:
    return np.asarray(values, dtype=float)


LINEAR = Transform(_same, _same, lambda values: np.ones_like(_same(values)))
"""For metrics that may be negative, such as differences."""

LOG = Transform(
    lambda values: np.log(np.maximum(values, np.finfo(float).tiny)),
    lambda values: np.exp(values),
    lambda values: 1 / np.maximum(values, np.finfo(float).tiny),
)
"""For metrics above zero: losses, seconds, images a second."""


def logit_transform(images: int | None) -> Transform:
    """Return the scale of accuracies: the log of right over wrong; all right counts as half an image wrong."""
    half = 0.5 / (images or UNKNOWN_SIZE)

    def inside(values: ArrayLike) -> NDArray[np.float64]:
        return np.clip(_same(values), half, 1 - half)

    return Transform(
        lambda values: np.asarray(logit(inside(values))),
        lambda values: np.asarray(expit(values)),
        lambda values: 1 / (inside(values) * (1 - inside(values))),
    )


def transform_of(metric: Metric | None, images: int | None = None) -> Transform:
    """Return the scale of a metric; the linear one of a number that is none."""
    if metric is not None and metric.is_share:
        return logit_transform(images)
    return LOG if metric is not None and metric.scale in ("positive", "seconds") else LINEAR


def count_images(accuracies: Iterable[float]) -> int | None:
    """Return the number of images that these accuracies are shares of: their least common denominator.

    None if they are no shares, or if the figures are so few and round that the number can't be told.
    """
    size = 1
    for accuracy in set(accuracies):
        if not math.isfinite(accuracy):
            continue
        share = Fraction(accuracy).limit_denominator(MAX_SIZE)
        size = math.lcm(size, share.denominator)
        if abs(float(share) - accuracy) > 1e-12 or size > MAX_SIZE:
            return None
    return size if size >= 100 else None


def scale_text(metric: Metric) -> str:
    """Return in words on which scale a metric's spread is taken."""
    if metric.is_share:
        return " on the log of right over wrong"
    return " on the log scale" if metric.scale in ("positive", "seconds") else ""
