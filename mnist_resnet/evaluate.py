"""Score a saved job on its test images again: `python -m mnist_resnet.evaluate JOB_DIR [--data-root DIR]`.

The saved network computes in float32 on the CPU, the record may come from another device and precision. So the two
are compared image by image: the record holds if every image that changed class is a near tie for the saved network,
one that rounding can turn over (`NEAR_TIE`). That says little of a network that is unsure of every image.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import RESULT, Status, UnreadableFolder, read_json

if TYPE_CHECKING:
    from torch import Tensor

    from mnist_resnet.data.batches import Split
    from mnist_resnet.models.model_file import LoadedModel
    from mnist_resnet.training.predictions import Predictions

NEAR_TIE = {"fp32": 0.001, "tf32": 0.06, "bf16": 0.5}
"""Greatest distance, by precision of the record, between the log-probabilities of two classes that rounding may swap.

bf16: measured on a CPU with autocast, four networks of width 8 and 16, both stems and learning rates, 3,000 test images
each: 6 to 9 images changed class, at most 0.18 apart, and the distance between the two likeliest classes moved by at
most 0.34. tf32 keeps three bits more, so an eighth; not measured. fp32: another order of summation, no more.
"""


@dataclass(frozen=True)
class Comparison:
    """The record against the saved network.

    Attributes:
        images: in the test set.
        recorded: test accuracy by `result.json`, a fraction of one.
        predicted: test accuracy by `predictions.npz`.
        again: the saved network's, computed now.
        changed: images whose class is another one now.
        beyond_rounding: those of them that are no near tie.
        widest: greatest distance, in log-probability by the saved network, between an image's two classes.
        precision: in which the record was computed.
    """

    images: int
    recorded: float
    predicted: float
    again: float
    changed: int
    beyond_rounding: int
    widest: float
    precision: str

    @property
    def holds(self) -> bool:
        """Whether the recorded figure is that of the saved network, but for rounding."""
        return self._is_of_its_predictions and self.beyond_rounding == 0

    @property
    def _is_of_its_predictions(self) -> bool:
        # An accuracy is a count of images; the division by their number may round either way.
        return abs(self.recorded - self.predicted) * self.images < 0.5

    def __str__(self) -> str:
        lines = [
            f"recorded {100 * self.recorded:.2f} % ({self.precision}), now {100 * self.again:.2f} % (fp32) of "
            f"{self.images:,} test images"
        ]
        if not self._is_of_its_predictions:
            lines.append(f"its own predictions.npz gives {100 * self.predicted:.2f} %")
        if self.changed:
            lines.append(
                f"{self.changed} changed class, {self.beyond_rounding} of them beyond what {self.precision} explains "
                f"(log-probabilities up to {self.widest:.2g} apart, {NEAR_TIE[self.precision]:g} allowed)"
            )
        else:
            lines.append("no image changed class")
        return "\n".join([*lines, "the recorded figure holds" if self.holds else "the recorded figure DIFFERS"])


def main(arguments: Sequence[str] | None = None) -> int:
    """Print what was recorded, what comes out now, and whether the record holds.

    Returns:
        0 if it holds, 1 if it differs, 2 if the job or its test images can't be had.
    """
    asked = _parser().parse_args(arguments)
    try:
        comparison = _evaluate(asked.job, asked.data_root, asked.trust, asked.trust_model)
    except (UsageError, UnreadableFolder) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(comparison)
    return 0 if comparison.holds else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mnist_resnet.evaluate", description="Score a saved job on its test images again."
    )
    parser.add_argument("job", type=Path, metavar="JOB_DIR", help="the folder of a completed job")
    parser.add_argument("--data-root", metavar="DIR", help="where its data set lies on this machine")
    parser.add_argument(
        "--trust", action="append", default=[], metavar="TARGET", help="a data source of your own that may be called"
    )
    parser.add_argument("--trust-model", action="store_true", help="load a model file that could run code of its own")
    return parser


def _evaluate(job: Path, data_root: str | None, trust: list[str], trust_model: bool) -> Comparison:
    from mnist_resnet.models.model_file import find_model, load_model
    from mnist_resnet.training.predictions import read_predictions

    result = read_json(job / RESULT)
    recorded, precision = _record(job, result)
    predictions = read_predictions(job)
    model = load_model(find_model(job), trusted=trust_model)
    test = _test_images(job, result, data_root, trust)
    return _compare(job, model, test, predictions, recorded, precision)


def _record(job: Path, result: dict[str, Any]) -> tuple[float, str]:
    if result.get("status") != Status.COMPLETED:
        raise UsageError(f"{job}: the job is {result.get('status')}; only a completed one has a figure to check")
    try:
        recorded, precision = float(result["last"]["test_accuracy"]), str(result["numerics"]["precision"])
    except (KeyError, TypeError, ValueError):
        raise UnreadableFolder(f"{job / RESULT}: holds no test accuracy with its precision") from None
    if precision not in NEAR_TIE:
        raise UnreadableFolder(f"{job / RESULT}: precision {precision!r} is none of {', '.join(NEAR_TIE)}")
    return recorded, precision


def _test_images(job: Path, result: dict[str, Any], data_root: str | None, trust: list[str]) -> "Split":
    from hydra.errors import InstantiationException

    from mnist_resnet.config.allowed_targets import check_targets
    from mnist_resnet.config.schema import check
    from mnist_resnet.data.batches import load

    config = result.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("data"), dict):
        raise UnreadableFolder(f"{job / RESULT}: holds no config")
    check_targets(config["data"], trust)
    changed = config["data"] if data_root is None else config["data"] | {"root": data_root}
    try:
        return load(check(config | {"data": changed}).data, "cpu").test
    except InstantiationException as error:
        if isinstance(error.__cause__, UsageError):
            raise error.__cause__ from None
        raise UsageError(f"{job}: its test images can't be had ({' '.join(str(error).split())[:300]})") from None


def _compare(
    job: Path, model: "LoadedModel", test: "Split", predictions: "Predictions", recorded: float, precision: str
) -> Comparison:
    import torch

    from mnist_resnet.training.predictions import test_set_sha256

    if test_set_sha256(test.pixels, test.labels) != predictions.test_set_sha256:
        raise UsageError(f"{job}: the test images found are not those of the record (their SHA-256 differs)")
    print(f"scoring {len(test):,} images on the CPU …", file=sys.stderr)
    log_probabilities = _scored(job, model, test.pixels)
    before = torch.from_numpy(predictions.predicted).long()
    now = log_probabilities.argmax(dim=1)
    every = torch.arange(len(now))
    apart = (log_probabilities[every, now] - log_probabilities[every, before])[now != before]
    return Comparison(
        images=len(now),
        recorded=recorded,
        predicted=predictions.accuracy,
        again=(now == test.labels).double().mean().item(),
        changed=len(apart),
        beyond_rounding=int((~(apart <= NEAR_TIE[precision])).sum()),
        widest=apart.max().item() if len(apart) else 0.0,
        precision=precision,
    )


def _scored(job: Path, model: "LoadedModel", pixels: "Tensor") -> "Tensor":
    wanted = (model.description.channels, model.description.height, model.description.width)
    if tuple(pixels.shape[1:]) != wanted:
        raise UsageError(
            f"{job}: its network takes images of {list(wanted)}, its test images are {list(pixels.shape[1:])}"
        )
    return model.log_probabilities(pixels)


if __name__ == "__main__":
    sys.exit(main())
