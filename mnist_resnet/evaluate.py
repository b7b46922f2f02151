"""Scores a saved job on its test images again: `python -m mnist_resnet.evaluate JOB_DIR [--data-root DIR]`.

The saved network computes in float32 on the CPU, whereas the record may come from another device and precision. The two
are therefore compared image by image. The record holds if every image whose class changed is a near tie for the saved
network, which rounding can flip (`NEAR_TIE`). This says little about a network that is unsure of every image.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mnist_resnet.config.metric import is_image_classifier, predicts_numbers, primary_metric
from mnist_resnet.errors import UsageError, wording
from mnist_resnet.job_folder import RESULT, Status, UnreadableFolder, read_json, refuse_sweep
from mnist_resnet.jobs.signals import interruptible

if TYPE_CHECKING:
    from torch import Tensor

    from mnist_resnet.comparing.predictions import Predictions
    from mnist_resnet.data.split import Split
    from mnist_resnet.models.model_file import LoadedModel

NEAR_TIE = {"fp32": 0.001, "tf32": 0.06, "bf16": 0.5}
"""Largest difference of the log-probabilities of two classes that rounding may swap, by precision of the record.

bf16: measured on a CPU with autocast for four networks of width 8 and 16, both stems and learning rates, 3,000 test
images each: 6 to 9 images changed class, with log-probabilities at most 0.18 apart; the difference between the two most
likely classes moved by at most 0.34. tf32 keeps three more bits, hence an eighth; not measured. fp32: only the order of
summation differs.
"""


@dataclass(frozen=True)
class Comparison:
    """The recorded results compared with those of the saved network.

    Attributes:
        images: number of test images.
        recorded: test accuracy in `result.json`, a fraction of one.
        predicted: test accuracy in `predictions.npz`, a fraction of one.
        recomputed: the saved network's test accuracy, a fraction of one.
        changed: number of images whose class changed.
        beyond_rounding: number of changed images that are not near ties.
        max_difference: largest log-probability difference between a changed image's two classes, by the saved network.
        precision: precision of the recorded results.
    """

    images: int
    recorded: float
    predicted: float
    recomputed: float
    changed: int
    beyond_rounding: int
    max_difference: float
    precision: str

    @property
    def holds(self) -> bool:
        """Whether the saved network reproduces the recorded figure, except for rounding."""
        return self._matches_predictions and self.beyond_rounding == 0

    @property
    def _matches_predictions(self) -> bool:
        # An accuracy is a count divided by the number of images, which may round either way.
        return abs(self.recorded - self.predicted) * self.images < 0.5

    def __str__(self) -> str:
        lines = [
            f"recorded {100 * self.recorded:.2f} % ({self.precision}), now {100 * self.recomputed:.2f} % (fp32) of "
            f"{self.images:,} test images"
        ]
        if not self._matches_predictions:
            lines.append(f"its own predictions.npz gives {100 * self.predicted:.2f} %")
        if self.changed:
            lines.append(
                f"{self.changed} changed class, {self.beyond_rounding} of them beyond what {self.precision} explains "
                f"(log-probabilities up to {self.max_difference:.2g} apart, {NEAR_TIE[self.precision]:g} allowed)"
            )
        else:
            lines.append("no image changed class")
        return "\n".join([*lines, "the recorded figure holds" if self.holds else "the recorded figure DIFFERS"])


@interruptible
def main(arguments: Sequence[str] | None = None, program: str = "python -m mnist_resnet.evaluate") -> int:
    """Print the recorded accuracy, the recomputed one, and whether the record holds.

    Returns:
        The exit code: 0 if the record holds, 1 if it differs, 2 if the job or its test images can't be read.
    """
    options = _parser(program).parse_args(arguments)
    try:
        comparison = _evaluate(options.job, options.data_root, options.trust, options.trust_model)
    except (UsageError, UnreadableFolder) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(comparison)
    return 0 if comparison.holds else 1


def _parser(program: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=program, description="Score a saved job on its test images again.")
    parser.add_argument("job", type=Path, metavar="JOB_DIR", help="the folder of a completed job")
    parser.add_argument("--data-root", metavar="DIR", help="the data set's folder on this machine")
    parser.add_argument(
        "--trust", action="append", default=[], metavar="TARGET", help="allow this data source of your own to run"
    )
    parser.add_argument(
        "--trust-model", action="store_true", help="load the model file even if it could run code of its own"
    )
    return parser


def _evaluate(job: Path, data_root: str | None, trust: list[str], trust_model: bool) -> Comparison:
    from mnist_resnet.comparing.predictions import read_predictions
    from mnist_resnet.models.model_file import find_model, load_model

    refuse_sweep(job)
    result = read_json(job / RESULT)
    recorded, precision = _record(job, result)
    predictions = read_predictions(job)
    model = load_model(find_model(job), trusted=trust_model)
    test = _test_images(job, result, data_root, trust)
    return _compare(job, model, test, predictions, recorded, precision)


def _record(job: Path, result: dict[str, Any]) -> tuple[float, str]:
    if result.get("status") != Status.COMPLETED:
        raise UsageError(f"{job}: the job is {result.get('status')}; only a completed job can be evaluated")
    config = result.get("config")
    if isinstance(config, dict) and (predicts_numbers(config) or not is_image_classifier(config)):
        metric = primary_metric(config)
        reports = f"reports {metric.name}" if metric else "reports metrics of its own"
        raise UsageError(f"{job}: its task {reports}; only the test accuracy of classified images is computed again")
    try:
        recorded, precision = float(result["last"]["test_accuracy"]), str(result["numerics"]["precision"])
    except (KeyError, TypeError, ValueError):
        raise UnreadableFolder(f"{job / RESULT}: no test accuracy with its precision in it") from None
    if precision not in NEAR_TIE:
        raise UnreadableFolder(
            f"{job / RESULT}: precision {precision!r} is unknown; expected one of {', '.join(NEAR_TIE)}"
        )
    return recorded, precision


def _test_images(job: Path, result: dict[str, Any], data_root: str | None, trusted: list[str]) -> "Split":
    from hydra.errors import InstantiationException

    from mnist_resnet.config.allowed_targets import check_targets, trust
    from mnist_resnet.config.schema import check
    from mnist_resnet.data.batches import load
    from mnist_resnet.data.split import Split

    config = result.get("config")
    if not isinstance(config, dict) or not isinstance(config.get("data"), dict):
        raise UnreadableFolder(f"{job / RESULT}: holds no config")
    trust(trusted)
    check_targets(config["data"])
    data = config["data"] if data_root is None else config["data"] | {"root": data_root}
    try:
        test = load(check(config | {"data": data}).data, "cpu").test
    except InstantiationException as error:
        if isinstance(error.__cause__, UsageError):
            raise error.__cause__ from None
        raise UsageError(f"{job}: its test images can't be loaded ({wording(error, 300)})") from None
    if not isinstance(test, Split):
        raise UsageError(f"{job}: its test images are streamed; predictions are recorded only of those kept in memory")
    return test


def _compare(
    job: Path, model: "LoadedModel", test: "Split", predictions: "Predictions", recorded: float, precision: str
) -> Comparison:
    import torch

    from mnist_resnet.training.predictions import test_set_sha256

    if test_set_sha256(test.pixels, test.labels) != predictions.test_set_sha256:
        raise UsageError(f"{job}: the test images are not those of the record (their SHA-256 differs)")
    print(f"scoring {len(test):,} images on the CPU …", file=sys.stderr)
    log_probabilities = _score(job, model, test.pixels)
    recorded_classes = torch.from_numpy(predictions.predicted).long()
    classes = log_probabilities.argmax(dim=1)
    image = torch.arange(len(classes))
    differences = log_probabilities[image, classes] - log_probabilities[image, recorded_classes]
    differences = differences[classes != recorded_classes]
    return Comparison(
        images=len(classes),
        recorded=recorded,
        predicted=predictions.accuracy,
        recomputed=(classes == test.labels).double().mean().item(),
        changed=len(differences),
        beyond_rounding=int((~(differences <= NEAR_TIE[precision])).sum()),
        max_difference=differences.max().item() if len(differences) else 0.0,
        precision=precision,
    )


def _score(job: Path, model: "LoadedModel", pixels: "Tensor") -> "Tensor":
    """Return the network's log-probabilities, float32 [n, classes], for images uint8 [n, channels, height, width]."""
    expected = (model.description.channels, model.description.height, model.description.width)
    if tuple(pixels.shape[1:]) != expected:
        raise UsageError(
            f"{job}: its network takes images of {list(expected)}, its test images are {list(pixels.shape[1:])}"
        )
    return model.log_probabilities(pixels)


if __name__ == "__main__":
    sys.exit(main())
