"""Hydra's sweep syntax, with the same levels on every version of Hydra.

Hydra 1.3 adds up a float range's steps with binary rounding errors: `range(0.1,0.4,0.1)` has 0.30000000000000004 and
0.4 there, but 0.1, 0.2 and 0.3 in Hydra 1.4. Sorted in reverse, a range has other numbers in Hydra 1.3.
"""

import json
import math
import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from copy import copy
from decimal import Decimal
from fnmatch import fnmatch
from functools import reduce
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, Override, RangeSweep, Sweep
from omegaconf import OmegaConf

from mnist_resnet.config.validation_errors import suggest_option
from mnist_resnet.errors import UsageError

NUMBER = re.compile(r"-?(0|[1-9]\d{0,17})(\.\d{1,17})?", re.ASCII)
"""Numbers as most people type them; Hydra's grammar knows more forms."""

OF_A_VALUE = re.compile(r"([\w.]+)=(.*?): (.*)")
"""Messages about a value: its key, the value, and what is wrong."""

NO_TEXT = ("must be text", "must be a folder's path")
"""How messages begin about a value that is no text."""

INNER_SWEEP = "a list or dictionary can't hold a sweep; sweep over whole values, or over a key of it"

MAX_LEVELS = 1_000_000
"""Most values of one range, and most combinations of a sweep's values: memory and time for more run out."""

NEEDS_QUOTES = re.compile(r"""[,:=\[\]{}()'"\\]""")
"""Characters that would end or change a text inside a list of levels."""


def sweep_parser(loader: ConfigLoader | None = None) -> OverridesParser:
    """Return a parser of overrides whose `sort` lists a range's own values."""
    parser = OverridesParser.create(config_loader=loader)
    hydras_sort = parser.functions.functions["sort"]

    def sort(*args: Any, sweep: Any = None, list: Any = None, reverse: bool = False) -> Any:  # noqa: A002
        value = args[0] if len(args) == 1 else sweep
        if isinstance(value, RangeSweep):
            return _sorted_range(value, reverse)
        ordered = hydras_sort(*args, sweep=sweep, list=list, reverse=reverse)
        if isinstance(ordered, ChoiceSweep):
            ordered.shuffle = False  # Hydra 1.3 would shuffle what is sorted once more
        return ordered

    parser.functions.functions["sort"] = sort
    return parser


def parse_sweep(arguments: Sequence[str], params: Mapping[str, Any], loader: ConfigLoader) -> list[Override]:
    """Parse what was typed and the sweeper's own `params`, whose values the typed ones replace.

    Args:
        arguments: task overrides as typed.
        params: `hydra.sweeper.params`: levels by key, as text in Hydra's syntax or as lists; keys may be nested.
        loader: Hydra's config loader.

    Raises:
        UsageError: a key is repeated, of which Hydra would silently take the last; or a list holds a range.
    """
    parser = sweep_parser(loader)
    typed = parser.parse_overrides(list(arguments))
    refuse_repeated_keys(override.get_key_element() for override in typed)
    by_key: dict[str, Override] = {}
    for override in [*parser.parse_overrides(list(_params_as_overrides(params))), *typed]:
        value: Any = override.value()
        if isinstance(value, ChoiceSweep) and any(isinstance(level, Sweep | Glob) for level in value.list):
            raise UsageError(f"{override.input_line}: a list can't hold a range or glob; write its values out")
        refuse_inner_sweep(override)
        by_key[override.get_key_element().lstrip("+")] = override
    return list(by_key.values())


def refuse_inner_sweep(override: Override) -> None:
    """Reject a sweep inside of a list or dictionary, such as a glob, which OmegaConf takes for a node of its own.

    Raises:
        UsageError: there is one.
    """
    value: Any = override.value()
    if any(isinstance(inner, Sweep | Glob) for level in getattr(value, "list", [value]) for inner in _inner(level)):
        raise UsageError(f"{override.input_line}: {INNER_SWEEP}")


def refuse_repeated_keys(keys: Iterable[str]) -> None:
    """Reject repeated keys, of which Hydra would silently take the last.

    Raises:
        UsageError: a key occurs more than once.
    """
    for key, count in Counter(key.lstrip("+") for key in keys).items():
        if count > 1:
            raise UsageError(f"{key}: given {count} times; give it once (a list of values is written {key}=a,b)")


def levels(override: Override) -> list[str]:
    """Return the values of a discrete sweep in Hydra's override syntax, each once.

    Raises:
        UsageError: the sweep has no values.
    """
    listed = _listed(override)
    if not listed:
        raise UsageError(f"{override.input_line}: gives no value to sweep over")
    return list(_counted(listed))


def repeated_levels(arguments: Sequence[str], params: Mapping[str, Any], loader: ConfigLoader) -> Iterator[str]:
    """Yield a line about each level that what was typed, or a sweeper's `params`, lists several times.

    Args:
        arguments: as for `parse_sweep`.
        params: as for `parse_sweep`.
        loader: as for `parse_sweep`.
    """
    for override in parse_sweep(arguments, params, loader):
        counts = _counted(_listed(override)) if override.is_discrete_sweep() else {}
        for level, count in counts.items():
            if count > 1:
                yield f"{override.input_line}: lists {level} {count} times; it runs once"


def typed_value(override: str, parser: OverridesParser) -> tuple[str, Any]:
    """Return the key and the value of an override that sets one; a plain number is read without Hydra's slow grammar.

    Args:
        override: As typed, such as `optim.lr=0.02`.
        parser: Hydra's.
    """
    key, _, text = override.partition("=")
    if NUMBER.fullmatch(text):
        return key, float(text) if "." in text else int(text)
    parsed = parser.parse_override(override)
    return parsed.key_or_group, parsed.value()


def as_written(message: str, overrides: Iterable[str]) -> str:
    """Return an error message about a text that Hydra took for another value, with what was typed.

    Hydra reads `sweep.name=2024_01_01` as 20240101, and 1e-400 as zero. Other messages are returned as they are.

    Args:
        message: what is wrong, beginning with `key=value: `.
        overrides: as typed.
    """
    found = OF_A_VALUE.match(message)
    for override in overrides if found else ():
        key, _, typed = override.lstrip("+").partition("=")
        if found and key == found[1] and found[3].startswith(NO_TEXT) and typed[:1] not in ("[", "{"):
            return f"{key}={typed}: {found[3]}; in quotes it is text: '{key}=\"{typed}\"'"
        for level in typed.split(",") if found and key == found[1] else ():
            if found and level != found[2] and _are_one_number(level, found[2]):
                cut = f"is read as {found[2]}; " if Decimal(level) != Decimal(found[2]) else ""
                return f"{key}={level}: {cut}{found[3]}"
    return message


def _are_one_number(one: str, other: str) -> bool:
    with suppress(ValueError):
        return float(one) == float(other)
    return False


def range_values(sweep: RangeSweep) -> list[int] | list[float]:
    """Return a range's values as a person would write them: decimal steps from the start, without the end.

    With Hydra 1.4, a cast such as `int(range(0.0,3.0))` is kept beside the range, to be applied to each value.
    """
    casts = getattr(sweep, "transformers", ())
    return [reduce(lambda value, cast: cast(value), casts, number) for number in _numbers(sweep)]


def _numbers(sweep: RangeSweep) -> list[int] | list[float]:
    bounds: Any = (sweep.start, sweep.stop, sweep.step)
    typed = f"range({','.join(map(str, bounds))})"
    if not sweep.step:
        raise UsageError(f"{typed}: needs a step other than 0")
    if (count := (bounds[1] - bounds[0]) / bounds[2]) > MAX_LEVELS:
        raise UsageError(f"{typed}: has {count:,.0f} values; {MAX_LEVELS:,} is the most")
    if all(isinstance(bound, int) for bound in bounds):
        return list(range(*bounds))
    start, stop, step = (Decimal(str(bound)) for bound in bounds)
    return [float(start + index * step) for index in range(max(0, math.ceil((stop - start) / step)))]


def _sorted_range(sweep: RangeSweep, reverse: bool) -> RangeSweep:
    """Return a range with the same values in order."""
    values, ordered = _numbers(sweep), copy(sweep)
    ordered.shuffle = False
    if len(values) > 1 and (values[0] > values[-1]) != reverse:
        one_before_the_first = Decimal(str(values[0])) - Decimal(str(sweep.step))
        ordered.start, ordered.stop = values[-1], type(values[0])(one_before_the_first)
        ordered.step = -sweep.step
    return ordered


def _matching_options(glob: Glob, override: Override) -> list[str]:
    """Return the options of a config group that a glob selects; `mine/*` selects those in the subfolder `mine`."""
    assert override.config_loader is not None
    options = list(_options(override.config_loader, override.key_or_group))
    found = [
        option
        for option in options
        if any(fnmatch(option, pattern) and pattern.count("/") == option.count("/") for pattern in glob.include)
        and not any(fnmatch(option, pattern) for pattern in glob.exclude)
    ]
    if not found:
        raise UsageError(f"{override.input_line}: selects no choice{suggest_option('', options)}")
    return found


def _options(loader: ConfigLoader, group: str, folder: str = "") -> Iterator[str]:
    for option in loader.get_group_options(group):
        yield f"{folder}{option}"
    for inner in loader.get_group_options(group, ObjectType.GROUP):
        yield from _options(loader, f"{group}/{inner}", f"{folder}{inner}/")


def _listed(override: Override) -> list[tuple[str, Any]]:
    """Return a discrete sweep's levels as text, each with its value."""
    value: Any = override.value()
    if isinstance(value, RangeSweep):
        numbers = [*range_values(value)]
        if value.shuffle:
            random.shuffle(numbers)
        return [(str(number), number) for number in numbers]
    texts = _matching_options(value, override) if isinstance(value, Glob) else override.sweep_string_iterator()
    parser = OverridesParser.create()
    return [(text, parser.parse_override(f"{override.key_or_group}={text}").value()) for text in texts]


def _counted(listed: Sequence[tuple[str, Any]]) -> dict[str, int]:
    """Return how often each level is listed, by the form in which it comes first.

    Args:
        listed: Each level as text, and its value.
    """
    first: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for level, value in listed:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        counts[first.setdefault(repr(float(value)) if number else json.dumps(value), level)] += 1
    return counts


def _inner(value: Any) -> Iterator[Any]:
    """Yield what a list or dictionary holds, at every depth."""
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield inner
        yield from _inner(inner)


def _params_as_overrides(params: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    plain: Any = OmegaConf.to_container(params, resolve=True) if OmegaConf.is_config(params) else params
    for key, value in plain.items():
        if isinstance(value, Mapping):
            yield from _params_as_overrides(value, f"{prefix}{key}.")
        elif isinstance(value, list):
            yield f"{prefix}{key}={','.join(_as_text(level, quoted=True) for level in value)}"
        else:
            yield f"{prefix}{key}={_as_text(value)}"


def _as_text(value: Any, quoted: bool = False) -> str:
    """Return a value from a config file in Hydra's override syntax; a text stands for itself unless `quoted`."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, Mapping):
        return f"{{{','.join(f'{key}:{_as_text(inner, quoted=True)}' for key, inner in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(_as_text(inner, quoted=True) for inner in value)}]"
    if quoted and NEEDS_QUOTES.search(str(value)):
        escaped = str(value).replace("\\", "\\\\").replace("'", "\\'")
        return f"'{escaped}'"
    return str(value)
