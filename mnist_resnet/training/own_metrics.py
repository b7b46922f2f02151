"""Metrics that a config names beside loss and accuracy (`training.metrics`), on all images of an evaluation."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from mnist_resnet.config.metric import Metric
from mnist_resnet.errors import UsageError


def own_values(
    metrics: Mapping[str, Any], logits: Tensor, labels: Tensor, taken: Collection[str] = ()
) -> dict[str, float]:
    """Return the values of metrics by name.

    A metric is called once, with the logits and labels of all images. One of torchmetrics is reset before. A value with
    several elements, such as one for each class, becomes one metric for each: `recall_0`, `recall_1`, …; the values of
    a mapping are named `NAME_KEY`.

    Args:
        metrics: by name, the callables.
        logits: float32 [n, classes].
        labels: as the data have them, int64 [n] for classes.
        taken: names of values of other metrics.

    Raises:
        UsageError: a metric returns something else than numbers, or two have a value of the same name.
    """
    values: dict[str, float] = {}
    for name, metric in metrics.items():
        if callable(reset := getattr(metric, "reset", None)):
            reset()
        numbers = _numbers(name, metric(logits, labels))
        if twice := numbers.keys() & {*values, *taken}:
            raise UsageError(f"training.metrics.{name}: another metric has a value named {min(twice)}, too; rename one")
        values |= numbers
    return values


def check_scales(split: str, values: Mapping[str, float], declared: Mapping[str, Metric]) -> None:
    """Check the values of a split's metrics against what `metrics` declares of `SPLIT_NAME`.

    Raises:
        UsageError: a value contradicts the declared scale.
    """
    for name, value in values.items():
        metric = declared.get(f"{split}_{name}")
        if metric is not None and not metric.allows(value):
            raise UsageError(
                f"training.metrics: {metric.name}={value:g} is declared {metric.possible}; change "
                f"metrics.{metric.name}.scale, or what computes it"
            )


def _numbers(name: str, value: Any) -> dict[str, float]:
    if isinstance(value, Tensor):
        value = value.tolist()
    elif callable(to_list := getattr(value, "tolist", None)):  # NumPy's
        value = to_list()
    if isinstance(value, Mapping):
        parts = [_numbers(f"{name}_{key}", inner) for key, inner in value.items()]
    elif isinstance(value, Sequence) and not isinstance(value, str):
        parts = [_numbers(f"{name}_{index}", inner) for index, inner in enumerate(value)]
    elif isinstance(value, int | float):
        return {name: float(value)}
    else:
        raise UsageError(f"training.metrics.{name}: must return numbers, not a {type(value).__name__}")
    return {key: number for part in parts for key, number in part.items()}
