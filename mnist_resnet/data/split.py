"""The splits of a data set that a run trains and is evaluated on: tensors on the device, or items that are streamed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mnist_resnet.data.stream import Batch, StreamedItems
from mnist_resnet.data.targets import Kind, check_targets

SAMPLED = 64
"""Items by which the content of a streamed split is known: reading all of them could take as long as an epoch."""


@dataclass(frozen=True)
class Split:
    """A split of a data set (training, validation or test), on the device.

    Attributes:
        pixels: uint8 [n, channels, height, width], 0 to 255; or other inputs, see `LabelledImages`.
        labels: int64 [n], 0 to classes - 1; or others, see `LabelledImages`.
        mean: float32 [1 or channels, 1, 1], mean of the pixels scaled to 0…1, or of floats; None leaves floats alone.
        std: float32 [1 or channels, 1, 1], their standard deviation; None as for `mean`.
        kind: the kind of the labels.
    """

    pixels: Tensor
    labels: Tensor
    mean: Tensor | None
    std: Tensor | None
    kind: Kind = "classes"

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def example(self) -> tuple[Tensor, Tensor]:
        """The first input, not normalised, and its label or labels."""
        return self.pixels[0], self.labels[0]

    def content(self) -> Iterator[Tensor]:
        """Yield tensors that tell this split's content from others."""
        yield from (self.pixels, self.labels)

    def upcoming(self, order: Tensor, batch_size: int, begin: int, seed: int) -> Iterator[Tensor]:  # noqa: ARG002
        """Yield the indices of an epoch's batches, as `batch` takes them.

        Args:
            order: int64 [n], on the CPU.
            batch_size: examples per batch.
            begin: the first batch, from 0.
            seed: below 2**32, for what is drawn at random while items are read; these have been read.
        """
        yield from torch.split(order.to(self.labels.device), batch_size)[begin:]

    def batch(self, indices: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return the normalised images and the labels at `indices`.

        Args:
            indices: int64 [batch], or a slice.

        Returns:
            Images, float32 [batch, channels, height, width], and labels, int64 [batch].
        """
        return self.normalise(self.pixels[indices]), self.labels[indices]

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all images in order, as `batch` returns them; the last batch may be smaller."""
        for begin in range(0, len(self), batch_size):
            yield self.batch(slice(begin, begin + batch_size))

    def normalise(self, pixels: Tensor) -> Tensor:
        """Normalise a batch of pixels or other inputs; see `normalised`."""
        return normalised(pixels, self.mean, self.std)


@dataclass
class StreamedSplit:
    """A split whose items are read when a batch needs them, with the methods of `Split`.

    Attributes:
        items: where they are read from.
        chosen: the items of this split.
        mean: as for `Split`.
        std: as for `Split`.
        classes: number of classes, or of yes-or-no labels; None for numbers.
        kind: the kind of the targets.
    """

    items: StreamedItems
    chosen: Sequence[int]
    mean: Tensor | None
    std: Tensor | None
    classes: int | None
    kind: Kind
    _ahead: tuple[Tensor, Batch] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.chosen)

    @property
    def example(self) -> tuple[Tensor, Tensor]:
        """The data set's first input, not normalised, and its target or targets, on the CPU."""
        return self.items.example

    def content(self) -> Iterator[Tensor]:
        """Yield the number of items, and some of them, evenly spread."""
        yield torch.tensor(len(self))
        places = torch.linspace(0, len(self) - 1, min(SAMPLED, len(self))).long().tolist()
        yield from self.items.read([self.chosen[place] for place in places])

    def upcoming(self, order: Tensor, batch_size: int, begin: int, seed: int) -> Iterator[Tensor]:
        """Yield the indices of an epoch's batches, and read ahead what `batch` will be asked for; see `Split`."""
        chunks = torch.split(order, batch_size)[begin:]
        read = self.items.batches([self._places(chunk) for chunk in chunks], seed)
        for chunk, batch in zip(chunks, read, strict=True):
            self._ahead = chunk, batch
            yield chunk
        self._ahead = None

    def batch(self, indices: Tensor | slice) -> tuple[Tensor, Tensor]:
        """Return the normalised inputs and the targets at `indices`: read ahead, or now."""
        if self._ahead is not None and indices is self._ahead[0]:
            return self._on_device(self._ahead[1])
        if isinstance(indices, slice):
            indices = torch.arange(len(self))[indices]
        return self._on_device(self.items.read(self._places(indices)))

    def batches(self, batch_size: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield all items in order, as `batch` returns them; the last batch may be smaller."""
        places = [list(self.chosen[begin : begin + batch_size]) for begin in range(0, len(self), batch_size)]
        yield from map(self._on_device, self.items.batches(places))

    def normalise(self, pixels: Tensor) -> Tensor:
        """Normalise a batch of pixels or other inputs; see `normalised`."""
        return normalised(pixels, self.mean, self.std)

    def _places(self, indices: Tensor) -> Sequence[int]:
        return [self.chosen[index] for index in indices.tolist()]

    def _on_device(self, batch: Batch) -> tuple[Tensor, Tensor]:
        inputs, targets = batch
        check_targets(targets, self.classes)
        device = self.items.device
        return self.normalise(inputs.to(device, non_blocking=True)), targets.to(device, non_blocking=True)


AnySplit = Split | StreamedSplit


def normalised(pixels: Tensor, mean: Tensor | None, std: Tensor | None) -> Tensor:
    """Normalise uint8 [batch, channels, height, width] to float32 of the same shape.

    The operations and their order are those of torchvision's ToTensor and Normalize, so the results are bitwise equal.
    Floats become float32 and are normalised if the config gives `mean` and `std`; integers stay as they are.
    """
    if pixels.dtype == torch.uint8:
        assert mean is not None
        assert std is not None
        return pixels.to(torch.float32).div_(255).sub_(mean).div_(std)
    if not pixels.is_floating_point():
        return pixels
    floats = pixels.to(torch.float32)
    return floats if mean is None or std is None else (floats - mean) / std
