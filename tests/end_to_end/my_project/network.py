"""A network of the user's own."""

from torch import nn


def perceptron(hidden: int, channels: int, classes: int, dropout: float) -> nn.Module:
    """From images, float32 [batch, channels, 28, 28], to logits, float32 [batch, classes]."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(channels * 28 * 28, hidden),
        nn.ReLU(),
        nn.Dropout(dropout),
        nn.Linear(hidden, classes),
    )
