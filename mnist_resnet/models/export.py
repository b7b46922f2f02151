"""The trained network leaves the program: traced as in the report, and exported with a free batch size."""

import copy
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from mnist_resnet.job_folder import EXPORTED_MODEL, TRACED_MODEL, UnreadableFolder, write_atomically
from mnist_resnet.models.model_file import (
    DESCRIPTION,
    LoadedModel,
    ModelDescription,
    deprecation_of_torchscript_unsaid,
    load_model,
)
from mnist_resnet.models.weights_archive import ModelArchive, NotExchangeable, weights_of

TOLERANCE = 1e-4
"""Greatest difference between a logit of the saved network and of the live one, in absolute terms and as a share of
the logit. Both compute in float32 on the CPU, where the report's network gave equal bits; kernels may sum in another
order elsewhere."""

CHECKED_AGAIN = 10
"""Images, at most, that a graph which was checked before is checked on with other weights."""

ARCHITECTURES = 4
"""Of which the graphs are kept; the two networks of each take as much memory as its files."""


class ExportMismatch(RuntimeError):
    """A saved network that does not answer as the live one does; its text is one line."""


@dataclass(frozen=True)
class Checked:
    """A file that was read back, and gave the live network's logits.

    Attributes:
        archive: what it holds but for the weights.
        read_back: the network in it.
    """

    archive: ModelArchive
    read_back: LoadedModel


_CHECKED: dict[str, dict[str, Checked]] = {}


def export_model(
    model: nn.Module, images: Tensor, description: ModelDescription, folder: Path, architecture: str | None = None
) -> None:
    """Write `model.pt` and `model.pt2` into `folder`, each atomically, and check them against `model`.

    What is written computes on the CPU in float32 and evaluation mode. `model` itself keeps its device, mode and
    weights, and every random state is left as it was: what is trained next is bitwise the same.

    Of networks of one architecture only the first one's files are made by torch and loaded again. Those of the others
    are the same with other weights: read back, they are compared bit by bit with what was loaded then and with the live
    weights, and these are put into the network that was loaded then.

    Args:
        model: takes float [n, channels, height, width], gives logits [n, classes].
        images: uint8 [n ≥ 1, channels, height, width], test images that the saved networks are checked on.
        description: goes into both files.
        folder: the job folder.
        architecture: names all that `model` was built from but its weights; None if that is not known.

    Raises:
        ExportMismatch: a file, read back, gives other logits than the live network (`TOLERANCE`), or not one for each
            class of `description`.
    """
    images = images.cpu()
    key = f"{architecture} {tuple(images.shape[1:])} {description.to_json()}"
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        live = copy.deepcopy(getattr(model, "_orig_mod", model)).cpu().float().eval()
        live.to(memory_format=torch.contiguous_format)
        checked = _CHECKED.pop(key, None)
        if checked is None or not _is_saved_alike(live, images[:CHECKED_AGAIN], checked, folder):
            checked = _saved_anew(live, images, description, folder)
    if architecture is not None and checked is not None:
        _CHECKED[key] = checked
        for oldest in list(_CHECKED)[:-ARCHITECTURES]:
            del _CHECKED[oldest]


def _saved_anew(
    live: nn.Module, images: Tensor, description: ModelDescription, folder: Path
) -> dict[str, Checked] | None:
    """Have torch make both files; gives what further ones can be made of, if they can."""
    example = description.normalise(images)
    expected = live(example)
    archives: dict[str, ModelArchive] = {}
    for name, graph in ((TRACED_MODEL, _Traced(live, example)), (EXPORTED_MODEL, _Exported(live, example))):
        try:
            archives[name] = ModelArchive.of(live, lambda graph=graph: graph.save(description))  # type: ignore[misc]
            content = archives[name].holding(weights_of(live))
        except NotExchangeable:
            content = graph.save(description)
        write_atomically(folder / name, content)
    read_back = {name: _read_back(folder / name, description) for name in (TRACED_MODEL, EXPORTED_MODEL)}
    for name, saved in read_back.items():
        _compare(folder / name, saved.logits(images), expected)
    if archives.keys() != read_back.keys():
        return None
    return {name: Checked(archives[name], saved) for name, saved in read_back.items()}


def _is_saved_alike(live: nn.Module, images: Tensor, checked: Mapping[str, Checked], folder: Path) -> bool:
    """Write both files with the graphs of an earlier network; gives whether they are the live one's, too."""
    expected = live(next(iter(checked.values())).read_back.description.normalise(images))
    if not all(one.archive.fits(live) for one in checked.values()):
        return False
    weights = weights_of(live)
    for name, one in checked.items():
        write_atomically(folder / name, one.archive.holding(weights))
        if not one.archive.holds((folder / name).read_bytes(), weights):
            raise ExportMismatch(f"{folder / name}: read back, it holds something else than was written")
        assert isinstance(one.read_back.network, nn.Module)
        one.read_back.network.load_state_dict(live.state_dict())
        if not _agree(one.read_back.logits(images), expected):
            # What it computes depends on more than its weights and what it was built from.
            return False
    return True


class _Traced:
    """The report's format. torch's own check would run the trace on its example; ours reads the file back."""

    def __init__(self, live: nn.Module, example: Tensor) -> None:
        with deprecation_of_torchscript_unsaid():
            self._graph = torch.jit.trace(live, example[:1], check_trace=False)  # type: ignore[no-untyped-call]

    def save(self, description: ModelDescription) -> bytes:
        file = io.BytesIO()
        with deprecation_of_torchscript_unsaid():
            torch.jit.save(self._graph, file, _extra_files={DESCRIPTION: description.to_json()})
        return file.getvalue()


class _Exported:
    """torch.export takes a size of 0 or 1 for a constant, so the example holds two images."""

    def __init__(self, live: nn.Module, example: Tensor) -> None:
        pair = example[:1].repeat(2, 1, 1, 1)
        self._graph = torch.export.export(live, (pair,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))

    def save(self, description: ModelDescription) -> bytes:
        file = io.BytesIO()
        torch.export.save(self._graph, file, extra_files={DESCRIPTION: description.to_json()})
        return file.getvalue()


def _read_back(path: Path, description: ModelDescription) -> LoadedModel:
    try:
        saved = load_model(path, trusted=True)
    except UnreadableFolder as error:
        raise ExportMismatch(f"what was saved can't be loaded: {error}") from None
    if saved.description != description:
        raise ExportMismatch(f"{path}: describes itself otherwise than it was told to")
    return saved


def _compare(path: Path, given: Tensor, expected: Tensor) -> None:
    if not _agree(given, expected):
        difference = (given - expected).abs().max().item()
        raise ExportMismatch(f"{path}: its logits differ from the live network's by up to {difference:.3g}")


def _agree(given: Tensor, expected: Tensor) -> bool:
    return torch.allclose(given, expected, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
