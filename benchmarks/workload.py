"""The workload that all contenders of `throughput` share: network, images, batch size."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mnist_resnet.models.resnet import Stem

LEARNING_RATE = 0.001
"""Adam's learning rate in both baselines; it does not affect the speed."""


@dataclass(frozen=True)
class Workload:
    """What every contender trains, on which device.

    Attributes:
        device: `cpu`, `cuda` or `cuda:N`.
        stem: stem of the network, as in `ResNet`.
        width: width of the network, as in `ResNet`.
        steps: optimiser steps in a round.
        batch_size: images in a step.
        data: option of `conf/data` that our loop reads.
        data_root: `data.root` of our loop, or None for its default.
        torchvision_root: folder with the same images, uncompressed for torchvision.
        train_size: training images in an epoch of our loop: those of one round, or all if there are fewer.
        matrices: sizes of the square matrices whose products measure the machine's limit.
    """

    device: str
    stem: "Stem"
    width: int
    steps: int
    batch_size: int
    data: str
    data_root: str | None
    torchvision_root: str
    train_size: int
    matrices: list[int]
