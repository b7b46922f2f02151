"""The trained network leaves the program: traced as in the report, and exported with a free batch size."""

import copy
import io
from pathlib import Path

import torch
from torch import Tensor, nn

from mnist_resnet.job_folder import EXPORTED_MODEL, TRACED_MODEL, UnreadableFolder, write_atomically
from mnist_resnet.running.model_file import (
    DESCRIPTION,
    ModelDescription,
    deprecation_of_torchscript_unsaid,
    load_model,
)

TOLERANCE = 1e-4
"""Greatest difference between a logit of the saved network and of the live one, in absolute terms and as a share of
the logit. Both compute in float32 on the CPU, where the report's network gave equal bits; kernels may sum in another
order elsewhere."""


class ExportMismatch(RuntimeError):
    """A saved network that does not answer as the live one does; its text is one line."""


def export_model(model: nn.Module, images: Tensor, description: ModelDescription, folder: Path) -> None:
    """Write `model.pt` and `model.pt2` into `folder`, each atomically, and check them against `model`.

    What is written computes on the CPU in float32 and evaluation mode. `model` itself keeps its device, mode and
    weights, and every random state is left as it was: what is trained next is bitwise the same.

    Args:
        model: takes float [n, channels, height, width], gives logits [n, classes].
        images: uint8 [n ≥ 1, channels, height, width], test images that the saved networks are checked on.
        description: goes into both files.
        folder: the job folder.

    Raises:
        ExportMismatch: a file, read back, gives other logits than the live network (`TOLERANCE`), or not one for each
            class of `description`.
    """
    images = images.cpu()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        live = copy.deepcopy(getattr(model, "_orig_mod", model)).cpu().float().eval()
        example = description.normalise(images)
        expected = live(example)
        write_atomically(folder / TRACED_MODEL, _traced(live, example[:1], description))
        write_atomically(folder / EXPORTED_MODEL, _exported(live, example, description))
        for name in (TRACED_MODEL, EXPORTED_MODEL):
            _check(folder / name, images, description, expected)


def _traced(live: nn.Module, example: Tensor, description: ModelDescription) -> bytes:
    file = io.BytesIO()
    with deprecation_of_torchscript_unsaid():
        # torch's own check would run the trace on the example it was made from; ours reads the file back.
        traced = torch.jit.trace(live, example, check_trace=False)  # type: ignore[no-untyped-call]
        torch.jit.save(traced, file, _extra_files={DESCRIPTION: description.to_json()})
    return file.getvalue()


def _exported(live: nn.Module, example: Tensor, description: ModelDescription) -> bytes:
    # torch.export takes a size of 0 or 1 for a constant, so the example holds two images.
    pair = example[:1].repeat(2, 1, 1, 1)
    program = torch.export.export(live, (pair,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    file = io.BytesIO()
    torch.export.save(program, file, extra_files={DESCRIPTION: description.to_json()})
    return file.getvalue()


def _check(path: Path, images: Tensor, description: ModelDescription, expected: Tensor) -> None:
    try:
        saved = load_model(path, trusted=True)
    except UnreadableFolder as error:
        raise ExportMismatch(f"what was saved can't be loaded: {error}") from None
    if saved.description != description:
        raise ExportMismatch(f"{path}: describes itself otherwise than it was told to")
    given = saved.logits(images)
    if not torch.allclose(given, expected, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True):
        difference = (given - expected).abs().max().item()
        raise ExportMismatch(f"{path}: its logits differ from the live network's by up to {difference:.3g}")
