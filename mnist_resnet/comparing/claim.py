"""A claimed figure, and what its words say of it: its precision, and whether it is the highest of several."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from mnist_resnet.config.metric import BUILT_IN, Metric, named

NUMBER = r"(?:\d+(?:[.,]\d+)?|[.,]\d+)(?:e[+-]?\d{1,3})?"
"""A number as it is written, such as 99.0, .990 or 1.0e-3."""

QUALIFIER = re.compile(
    r"\b(?:up to|as high as|at most)[\s~≈]*"
    r"(?:(?:about|around|approximately|roughly|nearly|almost|some|an?|the|of|test|training|train|accurac(?:y|ies)|score)"
    r"[\s~≈]+)*$",
    re.IGNORECASE,
)
"""Words before a figure that make it the highest of several runs or epochs."""

QUALIFIED = re.compile(r"^\s*(?:%|per ?cent)?,?\s*at most\b(?![^.;]*\d)", re.IGNORECASE)
"""Words after a figure that do so."""

NO_SHARE = re.compile(
    r"^[\s-]*(?:training\s+)?(?:epoch|run|seed|step|iteration|image|layer|hour|minute|second|h\b|min\b|s\b)",
    re.IGNORECASE,
)
"""What follows a number that is none of an accuracy."""


@dataclass(frozen=True)
class Claim:
    """A figure published for a config.

    Attributes:
        metric: what is claimed, such as the test accuracy.
        epoch: `last`, as the metric itself picks it, or `best`: the best training figure, or the figure in the epoch
            picked as best.
        value: in the metric's own unit, shares as fractions of one; None if the published words state no figure.
        words: the claim as published.
    """

    metric: Metric
    epoch: str
    value: float | None
    words: str

    @classmethod
    def read(cls, entry: dict[str, Any], metrics: Mapping[str, Metric] = BUILT_IN) -> "Claim":
        """Read the claim from one entry of the config's `claims`; `metrics` are those of the config."""
        value = entry.get("value")
        return cls(
            metric=named(str(entry.get("metric", "test_accuracy")), metrics),
            epoch=str(entry.get("epoch") or "last"),
            value=float(value) if isinstance(value, (int, float)) else None,
            words=str(entry.get("words") or ("" if value is None else value)),
        )

    @property
    def is_accuracy(self) -> bool:
        """Whether the metric is an accuracy, which is judged by its error rate."""
        return self.metric.counts_errors

    @property
    def is_maximum(self) -> bool:
        """Whether the words state the claimed figure as the highest of several, such as "up to 99 %".

        "95 % after up to 30 epochs" does not: there, the words belong to another figure.
        """
        return self.is_accuracy and any(
            QUALIFIER.search(self.words[: number.start()]) or QUALIFIED.search(self.words[number.end() :])
            for number in self._stated(self._spellings[:2])
        )

    def bounds(self, grain: float = 0.0) -> tuple[float, float]:
        """Return the range of values that the claim covers: all that round to it as it is written.

        "85 %" is stated in whole per cent, so it covers 84.5 to 85.5 %, whether or not "about" stands before it. The
        figure may as well be written as a fraction, "0.850", or as what it lacks to one, "error 15.0 %".

        Args:
            grain: smallest step of the measured figures, such as one test image in ten thousand.
        """
        if self.value is None:
            return float("nan"), float("nan")
        half = max(self._unit, grain) / 2
        return self.value - half, self.value + half

    @property
    def _spellings(self) -> tuple[tuple[float, float], ...]:
        """The figure as it may be written, each with its size in the metric's unit; a share's also as its error."""
        value = self.value if self.value is not None else float("nan")
        if not self.metric.is_share:
            return ((value, 1.0),)
        straight = ((100 * value, 0.01), (value, 1.0))
        return (*straight, (100 * (1 - value), 0.01), (1 - value, 1.0)) if self.is_accuracy else straight

    def _stated(self, spellings: Sequence[tuple[float, float]]) -> dict[re.Match[str], float]:
        """Return where the words state the figure in one of these spellings, with one unit in its last place."""
        found: dict[re.Match[str], float] = {}
        for number in re.finditer(NUMBER, self.words, re.IGNORECASE):
            written = Decimal(number.group().replace(",", "."))
            sizes = [size for value, size in spellings if abs(float(written) - value) < 1e-9 * max(1.0, abs(value))]
            if sizes and not (self.metric.is_share and NO_SHARE.search(self.words[number.end() :])):
                found[number] = float(10.0 ** int(written.as_tuple().exponent)) * sizes[0]
        return found

    @property
    def _unit(self) -> float:
        """One unit in the last decimal place of the figure as published, in its finest spelling."""
        straight, error = self._stated(self._spellings[:2]), self._stated(self._spellings[2:])
        if units := (straight or error).values():
            return min(units)
        value, size = self._spellings[0]
        return float(10.0 ** min(0, int(Decimal(f"{value:.10g}").as_tuple().exponent))) * size
