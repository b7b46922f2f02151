"""Metrics by name: what a job reports, which direction is better, and how its values are shown and averaged."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

Scale = Literal["share", "count", "seconds", "positive", "free"]

IMAGE_CLASSIFIER = "mnist_resnet.training.image_classifier"
"""Target of the task of configs that name none: those frozen before tasks could be chosen."""

BEST = "best_"
"""Prefix of a metric's value in the best epoch."""

RESERVED = frozenset(
    [
        "step",
        "epoch",
        "seed",
        "name",
        "sweep",
        "status",
        "folder",
        "index",
        "signature",
        "data_sha256",
        "epochs",
        "epochs_completed",
        "seconds",
        "training_seconds",
        "images_per_second",
        "parameters",
        "numerics",
        "processor",
        "code",
        "error",
        "best_epoch",
        "best_picked_on",
    ]
)
"""Names of what is recorded of every job, which no metric of a training function can have."""


@dataclass(frozen=True)
class Metric:
    """A number that a job reports.

    Attributes:
        name: key in `metrics.jsonl`; with `BEST` before it, its value in the best epoch.
        better: whether higher or lower values are better; None if it has no direction.
        scale: `share`: a fraction of one, shown in per cent, with intervals on the log of right over wrong; `count`;
            `seconds`, and `positive` for others above zero, such as a loss: with intervals on the log scale; `free`.
        unit: shown in headings; a share's is %.
        pick: which report a job is judged by: its last one, or the one with the best value.
        heading: shown above its column; the name and the unit if empty.
    """

    name: str
    better: Literal["higher", "lower"] | None = None
    scale: Scale = "free"
    unit: str = ""
    pick: Literal["last", "best"] = "last"
    heading: str = ""

    def __deepcopy__(self, memo: Any) -> "Metric":
        """Return itself: pandas copies a frame's attributes with each selection, and nothing can change them."""
        return self

    @property
    def is_share(self) -> bool:
        """Whether it is a fraction of one, which is shown in per cent and compared by what it lacks to one."""
        return self.scale == "share"

    @property
    def counts_errors(self) -> bool:
        """Whether changes of it are those of the error rate: of a share of which more is better."""
        return self.is_share and self.better != "lower"

    @property
    def ends(self) -> tuple[float, float]:
        """The smallest and the largest possible value."""
        return (float("-inf") if self.scale == "free" else 0.0), 1.0 if self.is_share else float("inf")

    def allows(self, value: float) -> bool:
        """Return whether a value is none that the metric's scale rules out; nan is always allowed."""
        lowest, highest = self.ends
        return not (value < lowest or value > highest)

    @property
    def possible(self) -> str:
        """What the scale makes of its values, in words."""
        return "a share, and so a fraction between 0 and 1" if self.is_share else f"{self.scale}, and so not below 0"

    @property
    def error(self) -> str:
        """What it lacks to one, in words: the test error of the test accuracy."""
        return f"{self.label.removesuffix('accuracy').strip()} error".strip()

    @property
    def label(self) -> str:
        """The name in words, without a unit."""
        return self.name.replace("_", " ")

    @property
    def title(self) -> str:
        """The heading of its column."""
        unit = "%" if self.is_share else self._unit
        return self.heading or (f"{self.label}, {unit}" if unit else self.name if self.better is None else self.label)

    def text(self, value: float) -> str:
        """Return a value with its unit, as progress lines show it."""
        if self.is_share:
            return f"{100 * value:.2f} %"
        has_places = self.name in BUILT_IN or (0.01 <= abs(value) < 1000 and not float(value).is_integer())
        number = f"{value:.4f}" if has_places else f"{value:.6g}"
        return f"{number} {self._unit}".rstrip()

    @property
    def _unit(self) -> str:
        return self.unit or ("s" if self.scale == "seconds" else "")


def _share(name: str, heading: str = "") -> Metric:
    return Metric(name, "higher", "share", heading=heading)


def _loss(name: str) -> Metric:
    return Metric(name, "lower", "positive", heading=name)


BUILT_IN: Mapping[str, Metric] = {
    metric.name: metric
    for metric in (
        *(_share("test_accuracy", "test accuracy, %"), _share("train_accuracy", "train accuracy, %")),
        *(_share("val_accuracy", "val accuracy, %"), _loss("test_loss"), _loss("train_loss"), _loss("val_loss")),
        Metric("seconds", "lower", "seconds", heading="seconds"),
        Metric("training_seconds", "lower", "seconds", heading="training, s"),
        Metric("images_per_second", "higher", "positive", heading="images/s"),
    )
}
"""The metrics of the image classifier, and the times that every job has."""


def named(name: str, declared: Mapping[str, Metric] = BUILT_IN) -> Metric:
    """Return a metric by its name; an undeclared one has no direction and is shown as it is."""
    if name in declared:
        return declared[name]
    if name.startswith(BEST) and name.removeprefix(BEST) in declared:
        metric = declared[name.removeprefix(BEST)]
        return replace(metric, name=name, heading=f"best {metric.heading}" if metric.heading else "")
    return Metric(name)


def is_image_classifier(config: Mapping[Any, Any]) -> bool:
    """Return whether a resolved config is one of the image classifier's."""
    task = config.get("task")
    return not isinstance(task, Mapping) or task.get("_target_") == IMAGE_CLASSIFIER


def predicts_numbers(config: Mapping[Any, Any]) -> bool:
    """Return whether a resolved config's targets are numbers (`data.classes=null`), which have a loss, no accuracy."""
    data = config.get("data")
    return is_image_classifier(config) and isinstance(data, Mapping) and data.get("classes", 0) is None


def declared_metrics(config: Mapping[str, Any]) -> dict[str, Metric]:
    """Return the metrics that a resolved config's `metrics` declares, in its order; malformed entries are ignored."""
    entries = config.get("metrics")
    if not isinstance(entries, Mapping):
        return {}
    return {str(name): _declared(str(name), entry) for name, entry in entries.items() if isinstance(entry, Mapping)}


def known_metrics(config: Mapping[str, Any]) -> dict[str, Metric]:
    """Return the declared metrics by name, and before them the image classifier's own, or any job's times."""
    times = {name: BUILT_IN[name] for name in ("seconds", "training_seconds")}
    return dict(BUILT_IN if is_image_classifier(config) else times) | declared_metrics(config)


def primary_metric(config: Mapping[str, Any]) -> Metric | None:
    """Return the metric that decides which report is the best one: the first declared with a direction.

    The image classifier's is its accuracy on held-out images, and on the test images where none are held out; of
    numbers it is the loss.
    """
    if is_image_classifier(config):
        data = config.get("data")
        held_out = isinstance(data, Mapping) and bool(data.get("val_size"))
        return BUILT_IN[f"{'val' if held_out else 'test'}_{'loss' if predicts_numbers(config) else 'accuracy'}"]
    return next((metric for metric in declared_metrics(config).values() if metric.better), None)


def objective_metrics(config: Mapping[str, Any]) -> list[Metric]:
    """Return the metrics that a search is judged by; none if none is named and none has a direction.

    By default it is the image classifier's accuracy on held-out images (of numbers, the loss), or the first declared
    metric with a direction.
    """
    names = config["sweep"].get("objective")
    if names is None and not is_image_classifier(config):
        primary = primary_metric(config)
        return [primary] if primary else []
    listed = (
        names if isinstance(names, list) else [names or ("val_loss" if predicts_numbers(config) else "val_accuracy")]
    )
    return [named(name, dict(BUILT_IN) | declared_metrics(config)) for name in listed]


def best_of(values: list[float], metric: Metric) -> float:
    """Return the best of some values of a metric that has a direction."""
    return min(values) if metric.better == "lower" else max(values)


def last_values(lines: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """Return the value of each metric that was reported last: a report need not have all of them."""
    return {name: value for line in lines for name, value in line.items()}


def _declared(name: str, entry: Mapping[str, Any]) -> Metric:
    fields = {key: entry[key] for key in ("better", "scale", "unit", "pick", "heading") if entry.get(key) is not None}
    return Metric(name, **fields)
