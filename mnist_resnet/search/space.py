"""The space of a search: what Hydra's override syntax sweeps over, as Optuna's distributions."""

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
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

from mnist_resnet.config.compose import refuse_repeats
from mnist_resnet.config.signature import distinguishes_jobs
from mnist_resnet.errors import UsageError

DIGITS = 4
"""Significant digits of a value from an interval: names and tables stay readable, and it can be typed again."""

EXACT = 10
"""Significant digits of a value from a range: its steps add up to 0.30000000000000004 and the like."""


@dataclass(frozen=True)
class Parameter:
    """One key that is searched.

    Attributes:
        key: as typed, a leading `+` among it.
        typed: the values, as typed.
        distribution: Optuna's; a choice's values are texts as Hydra takes them.
        is_group: whether it chooses in a config group.
    """

    key: str
    typed: str
    distribution: BaseDistribution
    is_group: bool

    @property
    def name(self) -> str:
        """The key without a sign."""
        return self.key.lstrip("+")

    def override(self, value: Any) -> str:
        """As typed for this one value."""
        return f"{self.key}={value}"

    def suggested(self, trial: Trial) -> Any:
        """The sampler's value in `trial`; the same again if the trial has one already."""
        of = self.distribution
        if isinstance(of, CategoricalDistribution):
            return trial.suggest_categorical(self.name, of.choices)
        if isinstance(of, IntDistribution):
            return trial.suggest_int(self.name, of.low, of.high, step=of.step, log=of.log)
        assert isinstance(of, FloatDistribution)
        return trial.suggest_float(self.name, of.low, of.high, step=of.step, log=of.log)

    def rounded(self, value: Any) -> Any:
        """A float with few digits, within the bounds; anything else as it is."""
        of = self.distribution
        if not isinstance(of, FloatDistribution):
            return value
        return min(of.high, max(of.low, float(f"{value:.{EXACT if of.step else DIGITS}g}")))

    def edges(self) -> list[Any]:
        """The values that show whether all will do: every choice, both ends."""
        of = self.distribution
        if isinstance(of, CategoricalDistribution):
            return list(of.choices)
        assert isinstance(of, IntDistribution | FloatDistribution)
        return list(dict.fromkeys([of.low, of.high]))

    def points(self) -> list[Any]:
        """All values, for a grid.

        Raises:
            UsageError: they can't be listed.
        """
        of = self.distribution
        if isinstance(of, CategoricalDistribution):
            return list(of.choices)
        if isinstance(of, IntDistribution):
            return list(range(of.low, of.high + 1, of.step))
        assert isinstance(of, FloatDistribution)
        if of.step is None:
            raise UsageError(f"{self.key}={self.typed}: a grid needs a list or a range of values, as in {self.key}=a,b")
        return [self.rounded(of.low + step * of.step) for step in range(round((of.high - of.low) / of.step) + 1)]

    def as_dict(self) -> dict[str, Any]:
        """For a file."""
        distribution = json.loads(distribution_to_json(self.distribution))
        return {"key": self.key, "typed": self.typed, "distribution": distribution, "is_group": self.is_group}


def read_parameter(content: Mapping[str, Any]) -> Parameter:
    """What `as_dict` gave."""
    distribution = json_to_distribution(json.dumps(content["distribution"]))
    return Parameter(content["key"], content["typed"], distribution, content["is_group"])


def parse_space(
    arguments: Sequence[str], params: Mapping[str, Any], loader: ConfigLoader
) -> tuple[list[Parameter], list[str]]:
    """What is searched, and the overrides that all trials have.

    Args:
        arguments: the task overrides as typed.
        params: of the sweeper (`hydra.sweeper.params`), which typed ones override.
        loader: Hydra's.

    Raises:
        UsageError: a key stands twice or can't be searched, a space is empty, or nothing is searched.
    """
    parser = OverridesParser.create(config_loader=loader)
    typed = parser.parse_overrides(list(arguments))
    refuse_repeats(override.get_key_element() for override in typed)
    by_key = {
        override.get_key_element(): override
        for override in [*parser.parse_overrides([f"{key}={value}" for key, value in params.items()]), *typed]
    }
    searched = [one for one in by_key.values() if one.is_sweep_override()]
    if not searched:
        raise UsageError(
            "hydra/sweeper=search: nothing is searched; give a space, as in "
            "optim.lr='tag(log, interval(1e-4, 1e-1))' model='choice(stem3x3,stem7x7)'"
        )
    fixed = [str(one.input_line) for one in by_key.values() if not one.is_sweep_override()]
    return [_parameter(override, bool(loader.get_group_options(override.key_or_group))) for override in searched], fixed


def _parameter(override: Override, is_group: bool) -> Parameter:
    key, name = override.get_key_element(), override.get_key_element().lstrip("+")
    if name.startswith("sweep."):
        raise UsageError(f"{name}: can't be searched, it is a setting of the whole sweep")
    if name == "seed":
        raise UsageError("seed: can't be searched, that would pick the luckiest; try the best config with several")
    if not distinguishes_jobs(name):
        raise UsageError(f"{name}: can't be searched, no figure depends on it")
    line = str(override.input_line)
    typed = line.partition("=")[2]
    try:
        return Parameter(key, typed, _distribution(override, line), is_group)
    except ValueError as error:
        raise UsageError(f"{line}: {' '.join(str(error).split())}") from None


def _distribution(override: Override, line: str) -> BaseDistribution:
    value: Any = override.value()
    unknown = value.tags - {"log"}
    if unknown:
        raise UsageError(f"{line}: unknown tag {sorted(unknown)[0]}; the one that counts is log")
    log = "log" in value.tags
    if isinstance(value, IntervalSweep):
        return _interval(value.start, value.end, log, line)
    levels = list(dict.fromkeys(override.sweep_string_iterator()))
    if not levels:
        raise UsageError(f"{line}: gives no value to search")
    if override.is_range_sweep():
        return _range(sorted(float(level) for level in levels), all(map(_is_whole, levels)), log, line)
    if log:
        raise UsageError(f"{line}: a list has no logarithm; leave out the tag, or give an interval")
    return CategoricalDistribution(levels)


def _interval(low: Any, high: Any, log: bool, line: str) -> BaseDistribution:
    if low >= high:
        raise UsageError(f"{line}: must go from a smaller to a larger number")
    if log and low <= 0:
        raise UsageError(f"{line}: starts at {low:g}, which has no logarithm; start above 0")
    if isinstance(low, int) and isinstance(high, int):
        return IntDistribution(low, high, log=log)
    return FloatDistribution(float(low), float(high), log=log)


def _range(values: list[float], whole: bool, log: bool, line: str) -> BaseDistribution:
    step = float(f"{values[1] - values[0]:.{EXACT}g}") if len(values) > 1 else 1.0
    if log and (not whole or step != 1 or values[0] <= 0):
        raise UsageError(f"{line}: a range with a logarithm has whole numbers above 0 without a step")
    if whole:
        return IntDistribution(int(values[0]), int(values[-1]), step=1 if log else int(step), log=log)
    return FloatDistribution(values[0], values[-1], step=step)


def _is_whole(level: str) -> bool:
    return level.lstrip("+-").isdigit()


def corners(space: Sequence[Parameter]) -> Iterator[dict[str, Any]]:
    """Values by name that show whether the whole space can be composed.

    Under each combination of the groups' choices: the first values of all keys, then each key's edges in turn.
    """
    groups = [one for one in space if one.is_group]
    others = [one for one in space if not one.is_group]
    first = {one.name: one.edges()[0] for one in others}
    for chosen in itertools.product(*(one.edges() for one in groups)):
        base = first | dict(zip([one.name for one in groups], chosen, strict=True))
        yield base
        for one in others:
            for edge in one.edges()[1:]:
                yield base | {one.name: edge}
