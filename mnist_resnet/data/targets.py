"""The kinds of targets that data may have, what is counted as right for each, and the loss that judges each."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, mse_loss

from mnist_resnet.errors import UsageError

Kind = Literal["classes", "yes_or_no", "numbers"]
"""`classes`: int64 [n], or [n, tokens]; `yes_or_no`: float32 [n, labels] of zeros and ones; `numbers`: float32
[n, numbers], to be predicted as they are."""


def kind_of(labels: Tensor, classes: int | None) -> Kind:
    """Return the kind of some targets.

    Args:
        labels: the targets, or one of them.
        classes: the config's `data.classes`; None says that the targets are numbers.
    """
    if classes is None:
        return "numbers"
    return "yes_or_no" if labels.is_floating_point() else "classes"


def check_targets(labels: Tensor, classes: int | None) -> None:
    """Check that targets are what the config says of them.

    Args:
        labels: int64 [n] or [n, tokens], or float32 [n, labels] or [n, numbers].
        classes: the config's `data.classes`.

    Raises:
        UsageError: They are not; the message says what would be.
    """
    key, kind = f"data.classes={'null' if classes is None else classes}", kind_of(labels, classes)
    if kind == "numbers":
        if not labels.is_floating_point():
            raise UsageError(f"{key}: the targets are classes, int64; set their number, or make them float32 numbers")
    elif kind == "yes_or_no":
        if not bool(((labels == 0) | (labels == 1)).all()):
            raise UsageError(
                f"{key}: the targets are floats other than 0 and 1; data.classes=null predicts them as they are"
            )
        if labels.shape[1:] != (classes,):
            raise UsageError(f"{key}: there are {positions(labels)} yes-or-no labels")
    elif classes == 1:
        raise UsageError(
            f"{key}: the targets are classes, int64; set their number, 2 or more, or make them one yes-or-no label "
            f"each, float32 [n] of zeros and ones"
        )
    elif int(labels.min()) < 0 or int(labels.max()) >= (classes or 0):
        wrong = int(labels.max()) if int(labels.min()) >= 0 else int(labels.min())
        raise UsageError(f"{key}: there is a label {wrong}; labels count from 0")


def positions(labels: Tensor) -> int:
    """Return how many targets each example of a batch has: 1, or the tokens of a sequence, or the yes-or-no labels."""
    return labels[0].numel()


def count_right(logits: Tensor, labels: Tensor, kind: Kind) -> Tensor:
    """Count the labels that are predicted right.

    Args:
        logits: float32 [batch, classes], [batch, classes, tokens], or [batch, labels].
        labels: int64 [batch] or [batch, tokens], or float32 [batch, labels].
        kind: the kind of the labels, not `numbers`.

    Returns:
        int64 [].
    """
    if kind == "classes":
        return (logits.argmax(1) == labels).sum()
    return ((logits > 0) == (labels > 0.5)).sum()


def summed_loss(predicted: Tensor, labels: Tensor, kind: Kind) -> Tensor:
    """Return the loss by which evaluations judge, summed over examples and averaged over the targets of each.

    It is the cross entropy, or of numbers the squared error.

    Args:
        predicted: as in `count_right`; of numbers, float32 [batch, numbers].
        labels: as in `count_right`; of numbers, of the same shape.
        kind: the kind of the labels.

    Returns:
        float32 [].

    Raises:
        UsageError: The network predicts numbers of another shape than the targets have.
    """
    if kind == "classes":
        return cross_entropy(predicted, labels, reduction="sum") / positions(labels)
    if kind == "yes_or_no":
        return binary_cross_entropy_with_logits(predicted, labels, reduction="sum") / positions(labels)
    if predicted.shape != labels.shape:
        raise UsageError(
            f"model: returns {list(predicted.shape)} for targets {list(labels.shape)}; of numbers, the network must "
            f"return as many for each example as there are"
        )
    return mse_loss(predicted, labels, reduction="sum") / positions(labels)


def balancing_weights(labels: Tensor) -> Tensor:
    """Return a weight for each example, float64 [n], with which each class is drawn equally often.

    Args:
        labels: int64 [n].
    """
    counts = torch.bincount(labels)
    return counts.double().reciprocal()[labels]
