"""Parses the space of a search: Hydra's sweep overrides become Optuna distributions."""

import itertools
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import IntervalSweep, Override
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
    distribution_to_json,
    json_to_distribution,
)
from optuna.trial import Trial

from mnist_resnet.config.combinations import level_override
from mnist_resnet.config.signature import distinguishes_jobs
from mnist_resnet.config.sweep_grammar import levels, parse_sweep
from mnist_resnet.errors import UsageError, wording

INTERVAL_DIGITS = 4
"""Significant digits of a value from an interval. Names and tables stay readable, and the value can be typed again."""

RANGE_DIGITS = 10
"""Significant digits of a value from a range. Sums of its steps have errors, as in 0.30000000000000004."""


@dataclass(frozen=True)
class Parameter:
    """A searched key with its values.

    Attributes:
        key: The key as typed, including a leading `+`.
        typed: The values as typed.
        distribution: Optuna's distribution. Values of a choice are strings in Hydra's override syntax.
        is_group: Whether the key is a config group.
    """

    key: str
    typed: str
    distribution: BaseDistribution
    is_group: bool

    @property
    def name(self) -> str:
        """The key without a leading `+`."""
        return self.key.lstrip("+")

    def override(self, value: Any) -> str:
        """Return the override that sets this value."""
        return level_override(self.key, str(value), self.is_group)

    def suggest(self, trial: Trial) -> Any:
        """Return the sampler's value in `trial`, or the value that the trial already has."""
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return trial.suggest_categorical(self.name, distribution.choices)
        if isinstance(distribution, IntDistribution):
            return trial.suggest_int(
                self.name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
            )
        assert isinstance(distribution, FloatDistribution)
        return trial.suggest_float(
            self.name, distribution.low, distribution.high, step=distribution.step, log=distribution.log
        )

    def rounded(self, value: Any) -> Any:
        """Round a float to few digits within the bounds; return any other value unchanged."""
        distribution = self.distribution
        if not isinstance(distribution, FloatDistribution):
            return value
        digits = RANGE_DIGITS if distribution.step else INTERVAL_DIGITS
        return min(distribution.high, max(distribution.low, float(f"{value:.{digits}g}")))

    def enqueued(self, value: Any) -> Any:
        """Return the value of this space that a user's own trial names, in the form in which the space holds it.

        Raises:
            UsageError: It is outside the space.
        """
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            text = "null" if value is None else str(value)
            if text in distribution.choices:
                return text
        elif isinstance(value, int | float) and not isinstance(value, bool):
            is_whole = isinstance(value, int) or value.is_integer()
            if (is_whole or isinstance(distribution, FloatDistribution)) and distribution._contains(float(value)):
                return value
        raise UsageError(f"{self.name}={value}: is outside the space, {self.typed}")

    def edge_values(self) -> list[Any]:
        """Return every choice, or both ends: if these values are valid, so are nearly all others.

        Between ends that are both whole stands a fraction: a key that takes whole numbers alone takes such ends.
        """
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return list(distribution.choices)
        assert isinstance(distribution, IntDistribution | FloatDistribution)
        low, high = distribution.low, distribution.high
        is_continuous = isinstance(distribution, FloatDistribution) and distribution.step is None
        ends_are_whole = float(low).is_integer() and float(high).is_integer()
        inside = [low + (high - low) / math.pi] if is_continuous and ends_are_whole else []
        return list(dict.fromkeys([low, high, *inside]))

    def grid_values(self) -> list[Any]:
        """Return all values, for a grid.

        Raises:
            UsageError: The values can't be listed.
        """
        distribution = self.distribution
        if isinstance(distribution, CategoricalDistribution):
            return list(distribution.choices)
        if isinstance(distribution, IntDistribution):
            return list(range(distribution.low, distribution.high + 1, distribution.step))
        assert isinstance(distribution, FloatDistribution)
        if distribution.step is None:
            raise UsageError(f"{self.key}={self.typed}: a grid needs a list or a range of values, as in {self.key}=a,b")
        steps = round((distribution.high - distribution.low) / distribution.step)
        return [self.rounded(distribution.low + step * distribution.step) for step in range(steps + 1)]

    def check_stored(self) -> None:
        """Check a parameter that was read from a folder: its values are plain, and none is a target.

        Raises:
            UsageError: It sets a target, or a value holds a target or an interpolation.
        """
        if any(part.startswith("_") for part in re.split(r"[./@]", self.name)):
            raise UsageError(f"{self.name}: a stored search can't search a target; run the command that started it")
        for choice in getattr(self.distribution, "choices", ()):
            if "${" in str(choice) or "_target_" in str(choice):
                raise UsageError(
                    f"{self.name}={choice}: a stored search must hold plain values, no interpolations or targets"
                )

    def as_dict(self) -> dict[str, Any]:
        """Return a JSON-serializable dict; `read_parameter` reads it."""
        distribution = json.loads(distribution_to_json(self.distribution))
        return {"key": self.key, "typed": self.typed, "distribution": distribution, "is_group": self.is_group}


def read_parameter(content: Mapping[str, Any]) -> Parameter:
    """Restore a parameter from `Parameter.as_dict`."""
    distribution = json_to_distribution(json.dumps(content["distribution"]))
    return Parameter(content["key"], content["typed"], distribution, content["is_group"])


def parse_space(
    arguments: Sequence[str], params: Mapping[str, Any], loader: ConfigLoader
) -> tuple[list[Parameter], list[str]]:
    """Split overrides into searched parameters and the overrides that all trials share.

    Args:
        arguments: Task overrides as typed.
        params: The sweeper's `params` (`hydra.sweeper.params`). Typed overrides take precedence.
        loader: Hydra's config loader.

    Returns:
        The searched parameters, and the fixed overrides.

    Raises:
        UsageError: A key is given twice or can't be searched, a space is empty, or nothing is searched.
    """
    overrides = parse_sweep(arguments, params, loader)
    searched = [override for override in overrides if override.is_sweep_override()]
    if not searched:
        raise UsageError(
            "hydra/sweeper=search: nothing is searched; give a space, as in "
            "optim.lr='tag(log, interval(1e-4, 1e-1))' model='choice(stem3x3,stem7x7)'"
        )
    fixed = [str(override.input_line) for override in overrides if not override.is_sweep_override()]
    return [_parameter(override, bool(loader.get_group_options(override.key_or_group))) for override in searched], fixed


def _parameter(override: Override, is_group: bool) -> Parameter:
    key, name = override.get_key_element(), override.get_key_element().lstrip("+")
    if name.startswith("sweep."):
        raise UsageError(f"{name}: can't be searched, it is a setting of the whole sweep")
    if name == "seed":
        raise UsageError(
            "seed: can't be searched, that would pick the luckiest seed; run the best config with several seeds"
        )
    if not distinguishes_jobs(name):
        raise UsageError(f"{name}: can't be searched, no metric depends on it")
    line = str(override.input_line)
    typed = line.partition("=")[2]
    try:
        return Parameter(key, typed, _distribution(override, line), is_group)
    except ValueError as error:
        raise UsageError(f"{line}: {wording(error)}") from None


def _distribution(override: Override, line: str) -> BaseDistribution:
    value: Any = override.value()
    tags: set[str] = getattr(value, "tags", set())  # a glob has none
    unknown = tags - {"log"}
    if unknown:
        raise UsageError(f"{line}: unknown tag {sorted(unknown)[0]}; the only tag is log")
    log = "log" in tags
    if isinstance(value, IntervalSweep):
        return _interval(value.start, value.end, log, line)
    listed = levels(override)
    if override.is_range_sweep():
        return _range(sorted(float(level) for level in listed), all(map(_is_whole, listed)), log, line)
    if log:
        raise UsageError(f"{line}: a list has no log scale; leave out the tag, or give an interval")
    return CategoricalDistribution(listed)


def _interval(low: Any, high: Any, log: bool, line: str) -> BaseDistribution:
    if low >= high:
        raise UsageError(f"{line}: must go from a smaller to a larger number")
    if log and low <= 0:
        raise UsageError(f"{line}: starts at {low:g}, which has no logarithm; start above 0")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _range(values: list[float], whole: bool, log: bool, line: str) -> BaseDistribution:
    step = float(f"{values[1] - values[0]:.{RANGE_DIGITS}g}") if len(values) > 1 else 1.0
    if log and (not whole or step != 1 or values[0] <= 0):
        raise UsageError(f"{line}: a range on a log scale must have whole numbers above 0, without a step")
    if whole:
        return IntDistribution(int(values[0]), int(values[-1]), step=1 if log else int(step), log=log)
    return FloatDistribution(values[0], values[-1], step=step)


def _is_whole(level: str) -> bool:
    return level.lstrip("+-").isdigit()


def corners(space: Sequence[Parameter]) -> Iterator[dict[str, Any]]:
    """Yield values by name at corners of the space, to check whether the whole space can be composed.

    For each combination of choices in the config groups: the first edge value of every other key, then each remaining
    edge value with all other keys at their first.
    """
    groups = [parameter for parameter in space if parameter.is_group]
    others = [parameter for parameter in space if not parameter.is_group]
    first = {parameter.name: parameter.edge_values()[0] for parameter in others}
    for chosen in itertools.product(*(group.edge_values() for group in groups)):
        base = first | dict(zip([group.name for group in groups], chosen, strict=True))
        yield base
        for parameter in others:
            for value in parameter.edge_values()[1:]:
                yield base | {parameter.name: value}
