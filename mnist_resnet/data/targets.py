"""The kinds of labels that data may have, and what is counted as right for each."""

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy


def is_classes(labels: Tensor) -> bool:
    """Return whether labels are classes, integers; otherwise they are several yes-or-no labels, floats of 0 or 1."""
    return not labels.is_floating_point()


def positions(labels: Tensor) -> int:
    """Return how many labels each example has: 1, or the tokens of a sequence, or the yes-or-no labels."""
    return labels[0].numel()


def count_right(logits: Tensor, labels: Tensor) -> Tensor:
    """Count the labels that are predicted right.

    Args:
        logits: float32 [batch, classes], [batch, classes, tokens], or [batch, labels].
        labels: int64 [batch] or [batch, tokens], or float32 [batch, labels].

    Returns:
        int64 [].
    """
    if is_classes(labels):
        return (logits.argmax(1) == labels).sum()
    return ((logits > 0) == (labels > 0.5)).sum()


def summed_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the cross entropy, summed over examples and averaged over the labels of each, float32 []."""
    if is_classes(labels):
        return cross_entropy(logits, labels, reduction="sum") / positions(labels)
    return binary_cross_entropy_with_logits(logits, labels, reduction="sum") / positions(labels)


def balancing_weights(labels: Tensor) -> Tensor:
    """Return a weight for each example, float64 [n], with which each class is drawn equally often.

    Args:
        labels: int64 [n].
    """
    counts = torch.bincount(labels)
    return counts.double().reciprocal()[labels]
