"""Digits on patches of scikit-learn's two sample photographs: images in colour, made as MNIST-M is.

A digit's pixels invert the photograph's: each channel is the difference of both (Ganin et al. 2016, "Domain-Adversarial
Training of Neural Networks", section 5.2.2, who took other photographs).
"""

from typing import Literal

import numpy
import torch
from sklearn.datasets import load_sample_images
from torch import Tensor

from mnist_resnet.data import sources
from mnist_resnet.data.dataset import DataSet, LabelledImages

SOURCES = {"mnist": sources.mnist, "digits": sources.digits}

TRAINING_COLUMNS = 480
"""The photographs' 640 columns: training images have patches of the first ones, test images of the others."""


def digits_on_photographs(
    digits: Literal["mnist", "digits"] = "mnist", root: str | None = None, verify: bool = True
) -> DataSet:
    """Put each digit on a patch of a photograph, always on the same one.

    Args:
        digits: which digits: MNIST's, or scikit-learn's.
        root: where MNIST is stored, as in `sources.mnist`.
        verify: likewise.
    """
    plain = SOURCES[digits](root=root, verify=verify)
    photographs = torch.from_numpy(numpy.stack(load_sample_images().images)).permute(0, 3, 1, 2)
    return DataSet(
        _on_photographs(plain.train, photographs[..., :TRAINING_COLUMNS], seed=1),
        _on_photographs(plain.test, photographs[..., TRAINING_COLUMNS:], seed=2),
    )


def _on_photographs(plain: LabelledImages, photographs: Tensor, seed: int) -> LabelledImages:
    """Return uint8 images [n, 3, height, width] with the labels of `plain`.

    Args:
        plain: images with one channel.
        photographs: uint8 [photographs, 3, height, width].
        seed: draws the patches.
    """
    size = plain.pixels.shape[-1]
    patches = photographs.unfold(2, size, 1).unfold(3, size, 1).permute(0, 2, 3, 1, 4, 5)
    random = numpy.random.default_rng(seed)
    places = [torch.from_numpy(random.integers(count, size=len(plain))) for count in patches.shape[:3]]
    chosen = patches[places[0], places[1], places[2]]
    return LabelledImages((chosen.short() - plain.pixels.short()).abs().byte(), plain.labels)
