"""Goes on with the levels of a float range as an earlier launch froze them.

Hydra 1.3 listed `range(0.1,0.4,0.1)` as 0.1, 0.2, 0.30000000000000004 and 0.4. It now stands for 0.1, 0.2 and 0.3
(`sweep_grammar`), but the job with 0.30000000000000004 is not to be trained again.
"""

import logging
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.types import RangeSweep

from mnist_resnet.config.job_spec import JobSpec
from mnist_resnet.config.sweep_grammar import levels, parse_sweep

LOG = logging.getLogger("mnist_resnet")

DIGITS = 10
"""Significant digits in which the sums of a range's steps agree with the number that they stand for."""


def with_frozen_levels(
    arguments: Sequence[str], params: Mapping[str, Any], frozen: Sequence[JobSpec], loader: ConfigLoader
) -> list[str]:
    """Return the arguments, with each float range that was frozen in Hydra 1.3's numbers as a list of these.

    Logs which numbers are gone on with, and which frozen jobs the range no longer has.

    Args:
        arguments: task overrides as typed.
        params: the sweeper's `params`.
        frozen: the jobs that the sweep already has.
        loader: Hydra's config loader.
    """
    replaced = {}
    for override in parse_sweep(arguments, params, loader):
        value: Any = override.value()
        if not isinstance(value, RangeSweep) or all(isinstance(number, int) for number in _bounds(value)):
            continue
        key = override.get_key_element()
        jobs = {job.swept.get(key.lstrip("+")): job for job in reversed(frozen)}
        listed = [float(level) for level in levels(override)]
        earlier = {_rounded(number): number for number in _as_hydra_1_3_lists(value) if number in jobs}
        kept = {number: earlier[number] for number in listed if number not in jobs and number in earlier}
        gone = [
            job.name
            for job in frozen
            if job.swept.get(key.lstrip("+")) in set(earlier.values()) - {*listed, *kept.values()}
        ]
        if kept:
            replaced[str(override.input_line)] = f"{key}={','.join(str(kept.get(number, number)) for number in listed)}"
        _report(str(override.input_line), list(kept.values()), gone)
    typed = [replaced.pop(argument, argument) for argument in arguments]
    return [*typed, *replaced.values()]  # those from `params` are now typed, which takes precedence


def _bounds(sweep: RangeSweep) -> tuple[Any, Any, Any]:
    return sweep.start, sweep.stop, sweep.step


def _as_hydra_1_3_lists(sweep: RangeSweep) -> Iterator[float]:
    start, stop, step = (Decimal(bound) for bound in _bounds(sweep))
    while start < stop if step > 0 else start > stop:
        yield float(start)
        start += step


def _rounded(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")


def _report(typed: str, kept: Sequence[float], gone: Sequence[str]) -> None:
    if kept:
        LOG.warning("%s: goes on with %s, as frozen", typed, ", ".join(map(str, kept)))
    if gone:
        LOG.warning("%s: no longer has %s; left as they are", typed, ", ".join(gone))
