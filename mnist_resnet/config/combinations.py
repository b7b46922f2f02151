"""Combinations of overrides: from a sweep's command line to one list of overrides per job."""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import Override

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.seed_sources import SEEDS, SOURCES
from mnist_resnet.config.signature import flatten
from mnist_resnet.config.sweep_grammar import MAX_LEVELS, levels, parse_sweep, sweep_parser
from mnist_resnet.config.validation_errors import suggest_key
from mnist_resnet.errors import UsageError

Combination = list[str]
"""One job's overrides, in Hydra's syntax."""

SEARCH_SETTINGS = (
    *("sweep.trials", "sweep.objective", "sweep.objective_epoch", "sweep.objective_on_test"),
    "sweep.constraints",
)
"""Settings that have an effect only in a search."""


def combinations(
    arguments: Sequence[str], params: Mapping[str, Any], loader: ConfigLoader, design: str = "all"
) -> tuple[list[Combination], list[str]]:
    """Return the overrides of every job, and the swept keys.

    Args:
        arguments: task overrides as typed.
        params: the sweeper's own sweep (`hydra.sweeper.params`); typed overrides replace its values.
        loader: Hydra's config loader.
        design: `sweep.design`, which leaves some of all combinations out.

    Raises:
        UsageError: a key is repeated, its sweep is an interval or empty, there are too many combinations, or the design
            does not suit what is swept.
    """
    overrides = parse_sweep(arguments, params, loader)
    levels = [_level_overrides(override) for override in overrides]
    swept = [override.get_key_element().lstrip("+") for override in overrides if override.is_sweep_override()]
    if design == "one_source":
        return one_source(levels), swept
    if (count := math.prod(map(len, levels))) > MAX_LEVELS:
        shown = " ".join(str(override.input_line) for override in overrides if override.is_sweep_override())
        raise UsageError(f"{shown}: {count:,} combinations; {MAX_LEVELS:,} is the most")
    combined = [list(combination) for combination in itertools.product(*levels)]
    return within_one_change(combined, swept) if design == "one_change" else combined, swept


def one_source(levels: Sequence[Sequence[str]]) -> list[Combination]:
    """Return the combinations of a study of the sources of randomness: each one varied alone, and all together.

    All other seeds of `seeds.*` keep their first level while one is varied. Together they are all at their second
    level, then all at their third, as far as each has one. Whatever else is swept is combined with all of these.

    Args:
        levels: the overrides of each key, one for each level.

    Raises:
        UsageError: no seed of a source is swept.
    """
    sources = [
        index
        for index, options in enumerate(levels)
        if len(options) > 1 and override_key(options[0]).startswith(f"{SEEDS}.")
    ]
    if not sources:
        keys = (override_key(options[0]) for options in levels)
        if single := [key for key in keys if key.startswith(f"{SEEDS}.")]:
            raise UsageError(
                f"sweep.design=one_source: no source of randomness is swept, with one seed of {', '.join(single)}; "
                "give two or more, such as sweep.seeds=5 for a study"
            )
        raise UsageError(
            f"sweep.design=one_source: no source of randomness is swept; sweep over one of "
            f"{', '.join(f'{SEEDS}.{source}' for source in SOURCES)}"
        )
    alone = [(index, level) for index in sources for level in range(1, len(levels[index]))]
    base = dict.fromkeys(sources, 0)
    choices = [base, *(base | {index: level} for index, level in alone)]
    together = min(len(levels[index]) for index in sources)
    choices += [dict.fromkeys(sources, level) for level in range(1, together)] if len(sources) > 1 else []
    others = [index for index in range(len(levels)) if index not in sources]
    combined = []
    for chosen in itertools.product(*(levels[index] for index in others)):
        rest = dict(zip(others, chosen, strict=True))
        for choice in choices:
            picked = rest | {index: levels[index][level] for index, level in choice.items()}
            combined.append([picked[index] for index in range(len(levels))])
    return combined


def within_one_change(combined: Sequence[Combination], swept: Sequence[str]) -> list[Combination]:
    """Select the combinations of an ablation study: each ingredient left out alone, and each added alone.

    These are the combinations that differ in at most one swept factor from the first combination (all first levels) or
    from the last one (all last levels). The seed does not count as a factor.
    """

    def factors(combination: Combination) -> list[str]:
        return [
            override for override in combination if override_key(override) in swept and override_key(override) != "seed"
        ]

    def changes(combination: Combination, reference: Combination) -> int:
        return sum(level != other for level, other in zip(factors(combination), factors(reference), strict=True))

    references = (combined[0], combined[-1])
    return [
        combination for combination in combined if min(changes(combination, reference) for reference in references) <= 1
    ]


def without_excluded(jobs: Sequence[JobSpec], excluded: Sequence[str]) -> list[JobSpec]:
    """Return the jobs that match none of the `excluded` combinations, such as `model=stem7x7,optim.lr=0.02`.

    A job matches a combination if it has all of its values.

    Raises:
        UsageError: a combination is not a list of key=value, or names a key that no job has.
    """
    parsed = [_parse_exclusion(combination) for combination in excluded]
    return [job for job in jobs if not any(_matches(job, combination) for combination in parsed)]


def refuse_search_settings(arguments: Iterable[str]) -> None:
    """Reject search settings in a command that is no search, where they would be silently ignored.

    Raises:
        UsageError: one of the overrides sets a key of `SEARCH_SETTINGS`.
    """
    for argument in arguments:
        key, _, value = argument.lstrip("+").partition("=")
        if key in SEARCH_SETTINGS:
            raise UsageError(f"{key}={value}: is for a search; add -m hydra/sweeper=search, or leave it out")


def override_key(override: str) -> str:
    """Return the key that an override sets, adds or removes."""
    return override.partition("=")[0].lstrip("+~")


def level_override(key: str, level: str, is_group: bool) -> str:
    """Return the override that sets a level; `null`, by which a config group has no choice, is `~group` in Hydra."""
    return f"~{key.lstrip('+')}" if is_group and level == "null" else f"{key}={level}"


def _level_overrides(override: Override) -> list[str]:
    key = override.get_key_element()
    if not override.is_sweep_override():
        return [str(override.input_line) if override.is_delete() else f"{key}={override.get_value_element_as_str()}"]
    if not override.is_discrete_sweep():
        raise UsageError(f"{override.input_line}: only a search can sweep over an interval; give a list or a range")
    assert override.config_loader is not None
    is_group = bool(override.config_loader.get_group_options(override.key_or_group))
    return [level_override(key, level, is_group) for level in levels(override)]


def _parse_exclusion(combination: str) -> dict[str, Any]:
    parts = [part.partition("=") for part in combination.split(",")]
    if not all(key.strip() and equals for key, equals, _ in parts):
        raise UsageError(f"sweep.exclude={combination}: not key=value,key=value, such as model=stem7x7,optim.lr=0.02")
    parser = sweep_parser()
    return {key.strip(): parser.parse_override(f"{key.strip()}={value.strip()}").value() for key, _, value in parts}


def _matches(job: JobSpec, combination: dict[str, Any]) -> bool:
    values = flatten(job.config) | job.choices
    for key in combination:
        if key not in values:
            raise UsageError(f"sweep.exclude: {key}: no such key{suggest_key(key, values)}")
    return all(_is_equal(values[key], excluded) for key, excluded in combination.items())


def _is_equal(value: Any, excluded: Any) -> bool:
    try:
        return float(value) == float(excluded)
    except (TypeError, ValueError):
        return bool(str(value) == str(excluded))
