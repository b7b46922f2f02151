"""Tables and images of scikit-learn's whose targets are no single class."""

import torch
from sklearn.datasets import load_diabetes, load_digits
from torch import Tensor

from mnist_resnet.data.dataset import DataSet, LabelledImages

LOOPS = (0, 6, 8, 9)
"""Digits that are written with a closed loop."""


def diabetes(held_out: int = 100) -> DataSet:
    """Ten columns of 442 patients, float32 [n, 10], and how far the disease had progressed, in standard deviations."""
    table, target = load_diabetes(return_X_y=True, scaled=True)
    progress = (target - target.mean()) / target.std()
    inputs = torch.tensor(table * len(table) ** 0.5, dtype=torch.float32)
    return _parts(inputs, torch.tensor(progress, dtype=torch.float32), held_out)


def digit_properties(held_out: int = 360) -> DataSet:
    """Images of digits, uint8 [n, 1, 8, 8], and whether each is odd, at least five, and has a loop."""
    bundled = load_digits()
    images = torch.tensor(bundled.images * 15, dtype=torch.uint8).unsqueeze(1)
    digits = torch.tensor(bundled.target)
    has_loop = torch.isin(digits, torch.tensor(LOOPS))
    return _parts(images, torch.stack([digits % 2 == 1, digits >= 5, has_loop], dim=1).float(), held_out)


def _parts(inputs: Tensor, labels: Tensor, held_out: int) -> DataSet:
    """Hold out the last examples."""
    return DataSet(
        LabelledImages(inputs[:-held_out], labels[:-held_out]), LabelledImages(inputs[-held_out:], labels[-held_out:])
    )
