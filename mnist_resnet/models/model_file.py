"""Model files: their description, and loading them without the code that built the network."""

import io
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from mnist_resnet.errors import wording
from mnist_resnet.job_folder import EXPORTED_MODEL, TRACED_MODEL, WEIGHTS, UnreadableFolder
from mnist_resnet.models.pytorch_messages import messages_hidden
from mnist_resnet.models.safe_load import refuse_foreign_code
from mnist_resnet.stored_file import MAX_WEIGHTS, parse_json, read_stored

DESCRIPTION = "description.json"
"""Name of the description inside the archive, in both file formats."""

DESCRIPTION_FORMAT = 1

MAX_SIZE = 4096
"""Upper limit of sides in pixels and of channels; a file with more is not a network of this program."""

MAX_VALUES = 3 * MAX_SIZE**2
"""Upper limit of the values in one image, which is checked with a black one: 200 MB in float32."""


@dataclass(frozen=True)
class ModelDescription:
    """The input format and class names of a network, stored as JSON inside the model file.

    Attributes:
        channels: channels of the input images.
        height: height of the input images, in pixels.
        width: width of the input images, in pixels.
        ink_side: typical longer side of the bounding box of all pixels above 0, in pixels: 20 for MNIST.
        mean: mean of the pixels scaled to 0…1, one value or one per channel; subtracted before the network.
        std: standard deviation of the pixels scaled to 0…1, one value or one per channel; divided by.
        class_names: name of each logit's class.
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
        """Describe a network from images of its training set.

        Args:
            images: uint8 [n, channels, height, width].
            mean: mean of the pixels scaled to 0…1, one value or one per channel.
            std: standard deviation, likewise.
            classes: names of the classes, or their number, which names them 0, 1, ….
        """
        _, channels, height, width = images.shape
        names = [str(number) for number in range(classes)] if isinstance(classes, int) else list(classes)
        return cls(channels, height, width, _ink_side(images), _as_floats(mean), _as_floats(std), tuple(names))

    def normalise(self, images: Tensor) -> Tensor:
        """Normalise uint8 [n, channels, height, width] to float32 of the same shape, the network's input."""
        mean = torch.tensor(self.mean, device=images.device).reshape(-1, 1, 1)
        std = torch.tensor(self.std, device=images.device).reshape(-1, 1, 1)
        return (images.float() / 255 - mean) / std

    def to_json(self) -> str:
        """Serialise to the JSON that is stored in the model file."""
        return json.dumps({"format": DESCRIPTION_FORMAT, **asdict(self)})

    @classmethod
    def from_json(cls, text: str | bytes) -> "ModelDescription":
        """Parse the result of `to_json`.

        Raises:
            ValueError: The text is not a valid description.
        """
        content = parse_json(text)
        if not isinstance(content, dict) or content.pop("format", None) != DESCRIPTION_FORMAT:
            raise ValueError(f"its description is not of format {DESCRIPTION_FORMAT}")
        try:
            description = cls(
                channels=int(content.pop("channels")),
                height=int(content.pop("height")),
                width=int(content.pop("width")),
                ink_side=int(content.pop("ink_side")),
                mean=_as_floats(content.pop("mean")),
                std=_as_floats(content.pop("std")),
                class_names=tuple(str(name) for name in content.pop("class_names")),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"its description is incomplete ({wording(error)})") from None
        if not description._is_valid():
            raise ValueError("its description has impossible values")
        return description

    def _is_valid(self) -> bool:
        sizes = (self.channels, self.height, self.width, self.ink_side)
        if min(sizes) < 1 or max(sizes) > MAX_SIZE or not self.class_names:
            return False
        if self.channels * self.height * self.width > MAX_VALUES:
            return False
        return {len(self.mean), len(self.std)} <= {1, self.channels} and 0 not in self.std


@dataclass(frozen=True)
class LoadedModel:
    """A network loaded from a file, on the CPU, in float32 and evaluation mode.

    Attributes:
        description: input format and class names.
        network: maps normalised images, float32 [n, channels, height, width], to logits, float32 [n, classes].
    """

    description: ModelDescription
    network: Callable[[Tensor], Tensor]

    def check(self) -> None:
        """Run the network on one black image and check the shape of the logits.

        Raises:
            ValueError: The shape does not match the number of classes.
        """
        description = self.description
        shape = (1, description.channels, description.height, description.width)
        actual = list(self.logits(torch.zeros(shape, dtype=torch.uint8)).shape)
        if actual != [1, len(description.class_names)]:
            raise ValueError(f"its logits are {actual} for {len(description.class_names)} classes")

    def logits(self, images: Tensor, batch_size: int = 1000) -> Tensor:
        """Return the logits of images.

        Args:
            images: uint8 [n, channels, height, width], on the CPU.
            batch_size: images per forward pass; limits the memory used.

        Returns:
            float32 [n, classes].
        """
        with torch.no_grad():
            batches = [self.network(self.description.normalise(batch)) for batch in torch.split(images, batch_size)]
        return torch.cat(batches)

    def log_probabilities(self, images: Tensor, batch_size: int = 1000) -> Tensor:
        """Return the natural logarithms of the class probabilities.

        Args:
            images: uint8 [n, channels, height, width], on the CPU.
            batch_size: images per forward pass; limits the memory used.

        Returns:
            float32 [n, classes].
        """
        return self.logits(images, batch_size).log_softmax(dim=1)


def find_model(path: Path) -> Path:
    """Return `path` if it is a file; in a job folder, the exported model file, or else the traced one.

    Raises:
        UnreadableFolder: `path` does not exist, or the folder has no model file.
    """
    if path.is_file():
        return path
    if not path.is_dir():
        raise UnreadableFolder(f"{path}: no such file or folder")
    for name in (EXPORTED_MODEL, TRACED_MODEL):
        if (path / name).is_file():
            return path / name
    if (path / WEIGHTS).is_file():
        why = f"the notes in its result.json say why. {WEIGHTS} has the weights for torch.load"
    else:
        why = "sweep.keep=model keeps them for future jobs"
    raise UnreadableFolder(f"{path}: contains neither {EXPORTED_MODEL} nor {TRACED_MODEL}; {why}")


def load_model(path: Path, trusted: bool = False) -> LoadedModel:
    """Load a model file: `model.pt2` (torch.export) or `model.pt` (TorchScript).

    Args:
        path: file whose name ends in `.pt2` or `.pt`.
        trusted: skip the safety check (`safe_load.py`), for a file that this process wrote.

    Raises:
        UnreadableFolder: The file can't be read, is no model file, has no valid description, or fails the safety check.
    """
    loaders = {".pt2": _load_exported, ".pt": _load_traced}
    if path.suffix not in loaders:
        raise UnreadableFolder(f"{path}: a model file ends in .pt2 or .pt")
    file: Path | io.BytesIO = path
    if not trusted:
        try:
            content = read_stored(path, MAX_WEIGHTS)
        except OSError as error:
            raise UnreadableFolder(f"{path}: can't be read ({error.strerror})") from None
        refuse_foreign_code(path, content)
        file = io.BytesIO(content)
    try:
        model = loaders[path.suffix](file)
        model.check()
        return model
    except Exception as error:  # torch's loaders raise many types from their C++ and JSON parts
        raise UnreadableFolder(f"{path}: not a model file of this program ({wording(error, 200)})") from None


@contextmanager
def ignore_torchscript_deprecation() -> Iterator[None]:
    """Ignore TorchScript's deprecation warnings, and no others: the report's file format needs TorchScript."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"`torch\.jit\.\w+` is (deprecated|not supported)")
        yield


def _load_exported(file: Path | io.BytesIO) -> LoadedModel:
    extra: dict[str, str] = {DESCRIPTION: ""}
    with messages_hidden():  # a traceback of many lines where it tries its next way to read the file
        program = torch.export.load(file, extra_files=extra)
    return LoadedModel(ModelDescription.from_json(extra[DESCRIPTION]), program.module())


def _load_traced(file: Path | io.BytesIO) -> LoadedModel:
    extra: dict[str, bytes] = {DESCRIPTION: b""}
    with ignore_torchscript_deprecation():
        network = torch.jit.load(file, map_location="cpu", _extra_files=extra)  # type: ignore[no-untyped-call]
    return LoadedModel(ModelDescription.from_json(extra[DESCRIPTION]), network.eval())


def _ink_side(images: Tensor) -> int:
    """Return the median longer side of the ink's bounding box in images, uint8 [n, channels, height, width].

    Blank images do not count; if all are blank, return the images' longer side.
    """
    ink = (images > 0).any(dim=1)
    sides = torch.maximum(_extent(ink.any(dim=2)), _extent(ink.any(dim=1)))
    nonblank_sides = sides[sides > 0]
    return int(nonblank_sides.median()) if len(nonblank_sides) else max(images.shape[2:])


def _extent(mask: Tensor) -> Tensor:
    """Return the length from the first to the last True (inclusive) in each row of `mask`, or 0 if it has none.

    Args:
        mask: bool [n, length].

    Returns:
        int64 [n].
    """
    first = mask.int().argmax(dim=1)
    last = mask.shape[1] - 1 - mask.flip(1).int().argmax(dim=1)
    return torch.where(mask.any(dim=1), last - first + 1, 0)


def _as_floats(value: float | Sequence[float]) -> tuple[float, ...]:
    return (float(value),) if isinstance(value, int | float) else tuple(float(number) for number in value)
