"""An augmentation whose random numbers are apart from all others of a run."""

from collections.abc import Callable

from torch import Tensor

from mnist_resnet.jobs.checkpoint import State
from mnist_resnet.jobs.random_states import random_states, seed_everything, set_random_states


class OwnStream:
    """Calls an augmentation with random generators that nothing else draws from.

    Augmentations draw from the global generators, as dropout does. They are exchanged for the time of a call, which
    takes about 0.1 ms and can't be part of a CUDA graph.

    Args:
        augment: from images to images, float32 [batch, channels, height, width].
        seed: of the generators.
        device: whose generators are exchanged, beside those of the CPU.

    Attributes:
        states: the generators' states before the next call; checkpoints save them.
    """

    def __init__(self, augment: Callable[[Tensor], Tensor], seed: int, device: str) -> None:
        self.augment, self._device = augment, device
        others = random_states(device)
        seed_everything(seed)
        self.states: State = random_states(device)
        set_random_states(others, device)

    def __call__(self, images: Tensor) -> Tensor:
        """Return the augmented images."""
        others = random_states(self._device)
        set_random_states(self.states, self._device)
        try:
            return self.augment(images)
        finally:
            self.states = random_states(self._device)
            set_random_states(others, self._device)
