"""Patches of scikit-learn's two sample photographs, each read from its file when it is asked for."""

from collections.abc import Callable
from importlib.resources import files
from typing import Any

from PIL import Image
from torch.utils.data import Dataset

NAMES = ("china.jpg", "flower.jpg")


class Patches(Dataset[tuple[Any, int]]):
    """A map-style data set: which photograph is a patch of?

    Args:
        begin: first column of the patches, in pixels.
        end: the column after the last one.
        size: height and width of a patch, in pixels.
        transform: changes each patch, a PIL image.
    """

    def __init__(self, begin: int, end: int, size: int = 28, transform: Callable[[Any], Any] | None = None) -> None:
        self.corners = [
            (left, top) for top in range(0, 427 - size, size) for left in range(begin, end - size + 1, size)
        ]
        self.size, self.transform = size, transform

    def __len__(self) -> int:
        return len(NAMES) * len(self.corners)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        label, place = index % len(NAMES), index // len(NAMES)
        left, top = self.corners[place]
        with Image.open(str(files("sklearn.datasets.images") / NAMES[label])) as photograph:
            patch: Any = photograph.crop((left, top, left + self.size, top + self.size))
        return (self.transform(patch) if self.transform else patch), label
