"""Classifies image files: `python -m mnist_resnet.predict MODEL IMAGE…`.

MODEL is a `model.pt2`, a `model.pt` or a job folder. A model file may come from an untrusted source. It is therefore
screened before torch loads it, since torch's loaders trust what they read; `mnist_resnet/models/safe_load.py` describes
the threats, and `--trust-model` skips the screening. Pillow decodes the images.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import UnreadableFolder, refuse_sweep
from mnist_resnet.jobs.signals import interruptible

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@interruptible
def main(arguments: Sequence[str] | None = None, program: str = "python -m mnist_resnet.predict") -> int:
    """Print one line per image: file, predicted class, probability of every class.

    Returns:
        The exit code: 0, or 2 if the model or any image can't be read. In that case nothing is classified, and each
        problem is printed on its own line.
    """
    options = _parser(program).parse_args(arguments)
    try:
        lines = _classify(options.model, options.images, options.trust_model)
    except (UsageError, UnreadableFolder) as error:
        print("\n".join(f"error: {line}" for line in str(error).splitlines()), file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description="Classify image files.")
    parser.add_argument("model", type=Path, metavar="MODEL", help="model.pt2, model.pt or a job folder")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="image file of any size and format")
    parser.add_argument(
        "--trust-model", action="store_true", help="load the model file even if it could run code of its own"
    )
    return parser


def _classify(model: Path, images: list[Path], trust: bool) -> list[str]:
    import torch

    from mnist_resnet.models.model_file import find_model, load_model

    refuse_sweep(model)
    loaded = load_model(find_model(model), trusted=trust)
    description = loaded.description
    pixels = _read_images(images, description.channels, description.height, description.width, description.ink_side)
    probabilities = loaded.log_probabilities(torch.from_numpy(pixels)).exp()
    return [_line(path, description.class_names, row) for path, row in zip(images, probabilities.tolist(), strict=True)]


def _read_images(paths: list[Path], channels: int, height: int, width: int, ink_side: int) -> "NDArray[np.uint8]":
    """Read the images as uint8 [n, channels, height, width]; if any can't be read, raise one error on all of them."""
    import numpy as np

    from mnist_resnet.data.image_file import read_image_file

    images, problems = [], []
    for path in paths:
        try:
            images.append(read_image_file(path, channels, height, width, ink_side))
        except UsageError as error:
            problems.append(str(error))
    if problems:
        raise UsageError(*problems)
    return np.stack(images)


def _line(path: Path, class_names: Sequence[str], probabilities: list[float]) -> str:
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    shares = ", ".join(f"{name} {100 * share:.2f} %" for name, share in zip(class_names, probabilities, strict=True))
    return f"{path}: {class_names[best]}  ({shares})"


if __name__ == "__main__":
    sys.exit(main())
