"""Classify image files: `python -m mnist_resnet.predict MODEL IMAGE…`.

MODEL is a `model.pt2`, a `model.pt` or a job folder. A model file may come from elsewhere: it is screened before
torch's loaders, which trust what they read, get to see it (`mnist_resnet/models/safe_load.py` says against
what), and `--trust-model` leaves that out. Pictures are decoded by Pillow.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import UnreadableFolder

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def main(arguments: Sequence[str] | None = None) -> int:
    """Print one line for each image: file, class, the probability of every class.

    Returns:
        0, or 2 if the model or any of the images can't be read; then nothing is classified, and each has its line.
    """
    asked = _parser().parse_args(arguments)
    try:
        lines = _classify(asked.model, asked.images, asked.trust_model)
    except (UsageError, UnreadableFolder) as error:
        print("\n".join(f"error: {line}" for line in str(error).splitlines()), file=sys.stderr)
        return 2
    print("\n".join(lines))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m mnist_resnet.predict", description="Classify image files.")
    parser.add_argument("model", type=Path, metavar="MODEL", help="model.pt2, model.pt or a job folder")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE", help="of any size and format")
    parser.add_argument("--trust-model", action="store_true", help="load a model file that could run code of its own")
    return parser


def _classify(model: Path, images: list[Path], trust: bool) -> list[str]:
    import torch

    from mnist_resnet.models.model_file import find_model, load_model

    loaded = load_model(find_model(model), trusted=trust)
    description = loaded.description
    pictures = _read_all(images, description.channels, description.height, description.width, description.ink_side)
    probabilities = loaded.log_probabilities(torch.from_numpy(pictures)).exp()
    return [_line(path, description.class_names, row) for path, row in zip(images, probabilities.tolist(), strict=True)]


def _read_all(paths: list[Path], channels: int, height: int, width: int, ink_side: int) -> "NDArray[np.uint8]":
    import numpy as np

    from mnist_resnet.data.image_file import read_image_file

    pictures, problems = [], []
    for path in paths:
        try:
            pictures.append(read_image_file(path, channels, height, width, ink_side))
        except UsageError as error:
            problems.append(str(error))
    if problems:
        raise UsageError("\n".join(problems))
    return np.stack(pictures)


def _line(path: Path, class_names: Sequence[str], probabilities: list[float]) -> str:
    best = max(range(len(probabilities)), key=probabilities.__getitem__)
    shares = ", ".join(f"{name} {100 * share:.2f} %" for name, share in zip(class_names, probabilities, strict=True))
    return f"{path}: {class_names[best]}  ({shares})"


if __name__ == "__main__":
    sys.exit(main())
