"""Exports a trained network as `model.pt` (traced, the report's format) and `model.pt2` (torch.export).

Both files accept any batch size.
"""

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor, nn

from mnist_resnet.job_folder import EXPORTED_MODEL, TRACED_MODEL, UnreadableFolder, write_atomically
from mnist_resnet.models.model_file import (
    DESCRIPTION,
    LoadedModel,
    ModelDescription,
    load_model,
)
from mnist_resnet.models.pytorch_messages import messages_hidden
from mnist_resnet.models.weights_archive import ModelArchive, WeightsNotReplaceable, weight_bytes

TOLERANCE = 1e-4
"""Largest absolute and relative difference between the logits of the saved and the live network.

Both compute in float32 on the CPU. There, the report's network gave bitwise equal logits; on other CPUs kernels may sum
in another order.
"""

CHECKED_AT_ONCE = 20
"""Images that pass through a file's network at once: it is in memory beside three others of its size."""

MAX_RECHECK_IMAGES = 10
"""Number of images, at most, for checking a cached graph with new weights."""

MAX_CACHED_ARCHITECTURES = 4
"""Number of architectures whose graphs are cached; the two networks of each take as much memory as its files."""


class ExportMismatch(RuntimeError):
    """A saved network gives other logits than the live one; the message is one line."""


@dataclass(frozen=True)
class VerifiedExport:
    """A model file that was read back and gave the live network's logits.

    Attributes:
        archive: the file without its weights.
        read_back: the network loaded from the file.
    """

    archive: ModelArchive
    read_back: LoadedModel


_VERIFIED: dict[str, dict[str, VerifiedExport]] = {}
"""Verified exports by architecture and file name, the most recently used architecture last."""


def export_model(
    model: nn.Module,
    images: Tensor,
    description: ModelDescription,
    folder: Path,
    architecture: str | None = None,
    write: Callable[[Path, bytes], None] = write_atomically,
) -> None:
    """Write `model.pt` and `model.pt2` into `folder`, each atomically, and check them against `model`.

    The saved networks compute on the CPU in float32 and evaluation mode. `model` keeps its device, mode and weights,
    and all random states are restored, so that later training is bitwise the same.

    For each architecture, torch makes and loads the files of the first network only. The files of later networks are
    the same archives with other weights. They are read back and compared bitwise with the archive and the live weights;
    then the weights are loaded into the first network's graph to check the logits.

    Args:
        model: maps normalised images, float [n, channels, height, width], to logits, float [n, classes].
        images: uint8 [n ≥ 1, channels, height, width], test images for checking the saved networks.
        description: stored in both files.
        folder: the job folder.
        architecture: identifies everything that `model` was built from except its weights; None if unknown, which turns
            off the cache.
        write: writes a file atomically.

    Raises:
        ExportMismatch: A file that was read back gives other logits than the live network (see `TOLERANCE`), or not one
            logit for each class of `description`.
        OSError: A file can't be written.
    """
    images = images.cpu()
    key = f"{architecture} {tuple(images.shape[1:])} {description.to_json()}"
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        live = copy.deepcopy(getattr(model, "_orig_mod", model)).cpu().float().eval()
        live.to(memory_format=torch.contiguous_format)
        verified = _VERIFIED.pop(key, None)
        if verified is None or not _save_with_cached_graphs(live, images[:MAX_RECHECK_IMAGES], verified, folder, write):
            verified = _save_with_torch(live, images, description, folder, write)
    if architecture is not None and verified is not None:
        _VERIFIED[key] = verified
        for oldest in list(_VERIFIED)[:-MAX_CACHED_ARCHITECTURES]:
            del _VERIFIED[oldest]


def _save_with_torch(
    live: nn.Module,
    images: Tensor,
    description: ModelDescription,
    folder: Path,
    write: Callable[[Path, bytes], None],
) -> dict[str, VerifiedExport] | None:
    """Let torch make both files, and check them.

    Returns:
        The verified exports by file name, or None if their weights are not replaceable.
    """
    example = description.normalise(images)
    expected = live(example)
    archives: dict[str, ModelArchive] = {}
    for name, graph in ((TRACED_MODEL, _Traced(live, example)), (EXPORTED_MODEL, _Exported(live, example))):
        try:
            archives[name] = ModelArchive.from_network(live, partial(graph.save, description))
        except WeightsNotReplaceable:
            write(folder / name, _file_content(partial(graph.save, description)))
        else:
            write(folder / name, archives[name].to_bytes(weight_bytes(live)))
    read_back = {name: _read_back(folder / name, description) for name in (TRACED_MODEL, EXPORTED_MODEL)}
    for name, saved in read_back.items():
        _check_logits(folder / name, saved.logits(images, CHECKED_AT_ONCE), expected)
    if archives.keys() != read_back.keys():
        return None
    return {name: VerifiedExport(archives[name], saved) for name, saved in read_back.items()}


def _save_with_cached_graphs(
    live: nn.Module,
    images: Tensor,
    verified: Mapping[str, VerifiedExport],
    folder: Path,
    write: Callable[[Path, bytes], None],
) -> bool:
    """Write both files with the cached graphs of an earlier network, and check them.

    Returns:
        Whether these graphs compute the live network's logits; if not, the files must be written anew.

    Raises:
        ExportMismatch: A file does not contain what was written to it.
    """
    expected = live(next(iter(verified.values())).read_back.description.normalise(images))
    if not all(export.archive.fits(live) for export in verified.values()):
        return False
    weights = weight_bytes(live)
    for name, export in verified.items():
        write(folder / name, export.archive.to_bytes(weights))
        if not export.archive.matches(folder / name, weights):
            raise ExportMismatch(f"{folder / name}: its content differs from what was written")
        assert isinstance(export.read_back.network, nn.Module)
        export.read_back.network.load_state_dict(live.state_dict())
        if not _agree(export.read_back.logits(images), expected):
            # The network computes with more than its weights and its architecture, such as a constant of its own.
            return False
    return True


class _Traced:
    """A TorchScript trace, the report's format.

    torch's own check is off: it would run the trace on the example only. `export_model` checks the file instead.
    """

    def __init__(self, live: nn.Module, example: Tensor) -> None:
        with messages_hidden():
            self._graph = torch.jit.trace(live, example[:1], check_trace=False)  # type: ignore[no-untyped-call]

    def save(self, description: ModelDescription, path: Path) -> None:
        with messages_hidden():
            torch.jit.save(self._graph, path, _extra_files={DESCRIPTION: description.to_json()})


class _Exported:
    """A torch.export program. The example has two images, because torch.export treats sizes 0 and 1 as constants."""

    def __init__(self, live: nn.Module, example: Tensor) -> None:
        pair = example[:1].repeat(2, 1, 1, 1)
        with messages_hidden():
            self._graph = torch.export.export(live, (pair,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))

    def save(self, description: ModelDescription, path: Path) -> None:
        with messages_hidden():
            torch.export.save(self._graph, path, extra_files={DESCRIPTION: description.to_json()})


def _file_content(save: Callable[[Path], None]) -> bytes:
    """Return the content of the file that `save` writes."""
    with TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        save(path := Path(folder) / "network.pt2")
        return path.read_bytes()


def _read_back(path: Path, description: ModelDescription) -> LoadedModel:
    try:
        saved = load_model(path, trusted=True)
    except UnreadableFolder as error:
        raise ExportMismatch(f"the saved file can't be loaded: {error}") from None
    if saved.description != description:
        raise ExportMismatch(f"{path}: its description differs from the one that was written")
    return saved


def _check_logits(path: Path, actual: Tensor, expected: Tensor) -> None:
    if not _agree(actual, expected):
        difference = (actual - expected).abs().max().item()
        raise ExportMismatch(f"{path}: its logits differ from the live network's by up to {difference:.3g}")


def _agree(actual: Tensor, expected: Tensor) -> bool:
    return torch.allclose(actual, expected, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)
