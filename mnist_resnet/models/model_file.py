"""A trained network as a file: what it says of itself, and how it is loaded without the code that made it."""

import io
import json
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from mnist_resnet.job_folder import EXPORTED_MODEL, TRACED_MODEL, UnreadableFolder
from mnist_resnet.models.safe_load import refuse_foreign_code

DESCRIPTION = "description.json"
"""Name of the description inside both kinds of file."""

DESCRIPTION_FORMAT = 1

LARGEST = 4096
"""Pixels to a side, or channels: a file that claims more is no network of this program."""


@dataclass(frozen=True)
class ModelDescription:
    """What one must know of a network to put a question to it; it travels inside the model file, as JSON.

    Attributes:
        channels: of the images that it takes.
        height: of the images, in pixels.
        width: of the images, in pixels.
        ink_side: typical longer side, in pixels, of the box around all pixels above zero: 20 for MNIST.
        mean: of the pixels as fractions of one, for all channels or one for each; subtracted before the network.
        std: likewise, divided by.
        class_names: one for each logit.
    """

    channels: int
    height: int
    width: int
    ink_side: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    class_names: tuple[str, ...]

    @classmethod
    def of(
        cls,
        images: Tensor,
        mean: float | Sequence[float],
        std: float | Sequence[float],
        classes: int | Sequence[str],
    ) -> "ModelDescription":
        """Describe the network that was trained on images like these, uint8 [n, channels, height, width]."""
        _, channels, height, width = images.shape
        names = [str(number) for number in range(classes)] if isinstance(classes, int) else list(classes)
        return cls(channels, height, width, _ink_side(images), _as_floats(mean), _as_floats(std), tuple(names))

    def normalise(self, images: Tensor) -> Tensor:
        """Uint8 [n, channels, height, width] → float32 of the same shape, as the network takes it."""
        mean = torch.tensor(self.mean, device=images.device).reshape(-1, 1, 1)
        std = torch.tensor(self.std, device=images.device).reshape(-1, 1, 1)
        return (images.float() / 255 - mean) / std

    def to_json(self) -> str:
        """The text that goes into the model file."""
        return json.dumps({"format": DESCRIPTION_FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str | bytes) -> "ModelDescription":
        """Read it back.

        Raises:
            ValueError: it is no such text.
        """
        content = json.loads(text)
        if not isinstance(content, dict) or content.pop("format", None) != DESCRIPTION_FORMAT:
            raise ValueError(f"its description is not of format {DESCRIPTION_FORMAT}")
        try:
            described = cls(
                channels=int(content.pop("channels")),
                height=int(content.pop("height")),
                width=int(content.pop("width")),
                ink_side=int(content.pop("ink_side")),
                mean=_as_floats(content.pop("mean")),
                std=_as_floats(content.pop("std")),
                class_names=tuple(str(name) for name in content.pop("class_names")),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"its description is incomplete ({error})") from None
        if not described._is_sound():
            raise ValueError("its description contradicts itself")
        return described

    def _is_sound(self) -> bool:
        sizes = (self.channels, self.height, self.width, self.ink_side)
        if min(sizes) < 1 or max(sizes) > LARGEST or not self.class_names:
            return False
        return {len(self.mean), len(self.std)} <= {1, self.channels} and 0 not in self.std


@dataclass(frozen=True)
class LoadedModel:
    """A network from a file, on the CPU, in float32 and evaluation mode."""

    description: ModelDescription
    network: Callable[[Tensor], Tensor]

    def check(self) -> None:
        """Put one black image to the network.

        Raises:
            ValueError: its answer is not what the description says.
        """
        described = self.description
        shape = (1, described.channels, described.height, described.width)
        given = list(self.logits(torch.zeros(shape, dtype=torch.uint8)).shape)
        if given != [1, len(described.class_names)]:
            raise ValueError(f"its logits are {given} for {len(described.class_names)} classes")

    def logits(self, images: Tensor, batch_size: int = 1000) -> Tensor:
        """Float32 [n, classes] of images uint8 [n, channels, height, width]."""
        with torch.no_grad():
            batches = [self.network(self.description.normalise(batch)) for batch in torch.split(images, batch_size)]
        return torch.cat(batches)

    def log_probabilities(self, images: Tensor, batch_size: int = 1000) -> Tensor:
        """Natural logarithms, float32 [n, classes], of images uint8 [n, channels, height, width]."""
        return self.logits(images, batch_size).log_softmax(dim=1)


def find_model(path: Path) -> Path:
    """`path` itself if it is a file; in a job folder the exported network, or else the traced one.

    Raises:
        UnreadableFolder: there is nothing there, or no network in the folder.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise UnreadableFolder(f"{path}: no such file or folder")
    for name in (EXPORTED_MODEL, TRACED_MODEL):
        if (path / name).is_file():
            return path / name
    raise UnreadableFolder(
        f"{path}: neither {EXPORTED_MODEL} nor {TRACED_MODEL} in it; sweep.keep=model keeps them of further jobs"
    )


def load_model(path: Path, trusted: bool = False) -> LoadedModel:
    """The network in `path`: a `model.pt2` (torch.export) or a `model.pt` (TorchScript).

    Args:
        path: its name must end in `.pt2` or `.pt`.
        trusted: leave out the screening (`model_screening`), for a file that this very program wrote, or that the
            user vouches for.

    Raises:
        UnreadableFolder: it can't be read, is no such file, describes itself in no way, or does what a network need
            not do.
    """
    loaders = {".pt2": _load_exported, ".pt": _load_traced}
    if path.suffix not in loaders:
        raise UnreadableFolder(f"{path}: a model file ends in .pt2 or .pt")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UnreadableFolder(f"{path}: can't be read ({error.strerror})") from None
    if not trusted:
        refuse_foreign_code(path, content)
    try:
        model = loaders[path.suffix](content)
        model.check()
        return model
    except Exception as error:  # the loaders of torch raise whatever their C++ or JSON parts met
        raise UnreadableFolder(f"{path}: no model file of this program ({_first_line(error)})") from None


@contextmanager
def deprecation_of_torchscript_unsaid() -> Iterator[None]:
    """Keep TorchScript's own deprecation warnings, and no others, off the screen: the report's format is meant."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is (deprecated|not supported)")
        yield


def _load_exported(content: bytes) -> LoadedModel:
    extra: dict[str, str] = {DESCRIPTION: ""}
    program = torch.export.load(io.BytesIO(content), extra_files=extra)
    return LoadedModel(ModelDescription.from_json(extra[DESCRIPTION]), program.module())


def _load_traced(content: bytes) -> LoadedModel:
    extra: dict[str, bytes] = {DESCRIPTION: b""}
    with deprecation_of_torchscript_unsaid():
        network = torch.jit.load(  # type: ignore[no-untyped-call]
            io.BytesIO(content), map_location="cpu", _extra_files=extra
        )
    return LoadedModel(ModelDescription.from_json(extra[DESCRIPTION]), network.eval())


def _ink_side(images: Tensor) -> int:
    ink = (images > 0).any(dim=1)
    sides = torch.maximum(_extent(ink.any(dim=2)), _extent(ink.any(dim=1)))
    inked = sides[sides > 0]
    return int(inked.median()) if len(inked) else max(images.shape[2:])


def _extent(marked: Tensor) -> Tensor:
    """Distance from the first to the last True of each row of bool [n, length], both counted; 0 where none is."""
    first = marked.int().argmax(dim=1)
    last = marked.shape[1] - 1 - marked.flip(1).int().argmax(dim=1)
    return torch.where(marked.any(dim=1), last - first + 1, 0)


def _as_floats(value: float | Sequence[float]) -> tuple[float, ...]:
    return (float(value),) if isinstance(value, int | float) else tuple(float(number) for number in value)


def _first_line(error: Exception) -> str:
    return re.sub(r"\s+", " ", str(error))[:200] or type(error).__name__
