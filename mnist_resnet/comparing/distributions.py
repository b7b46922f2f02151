"""Student's t and F distributions by `scipy.special`, bit for bit those of `scipy.stats`.

`scipy.stats` takes longer to import than a small table to compute, so it is imported where a test needs more of it.
"""

from typing import Any

from numpy.typing import ArrayLike
from scipy import special


def t_quantile(probability: ArrayLike, degrees: ArrayLike) -> Any:
    """Return the value that Student's t with `degrees` of freedom stays below with this probability."""
    return special.stdtrit(degrees, probability)


def t_tail(value: ArrayLike, degrees: ArrayLike) -> Any:
    """Return the probability that Student's t with `degrees` of freedom exceeds the value."""
    return special.stdtr(degrees, -value)  # type: ignore[operator]


def f_tail(value: ArrayLike, numerator: ArrayLike, denominator: ArrayLike) -> Any:
    """Return the probability that F with these degrees of freedom exceeds the value."""
    return special.fdtrc(numerator, denominator, value)
