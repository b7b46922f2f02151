"""Divides the trained parameters into the optimiser's groups, by the rules of `optim.groups`."""

import re
from collections.abc import Sequence
from typing import Any

from torch import nn

from mnist_resnet.config.classifier_schema import ParameterGroup
from mnist_resnet.errors import UsageError

KINDS = {
    "vectors": lambda parameter: parameter.ndim <= 1,
    "matrices": lambda parameter: parameter.ndim == 2,
    "kernels": lambda parameter: parameter.ndim > 2,
}
"""Kinds of parameters by shape: `vectors` are biases and the weights of norms, `kernels` those of convolutions."""


def parameter_groups(
    parameters: Sequence[tuple[str, nn.Parameter]], groups: Sequence[ParameterGroup]
) -> list[dict[str, Any]]:
    """Return the groups: first the parameters that no rule takes, then those of each rule, with its settings.

    Args:
        parameters: the trained parameters with their names.
        groups: the rules. Each takes what none before it has taken.

    Raises:
        UsageError: a rule takes no parameter, or its pattern is no regular expression.
    """
    left = list(parameters)
    made = []
    for number, group in enumerate(groups):
        taken = [(name, parameter) for name, parameter in left if _matches(number, group.parameters, name, parameter)]
        if not taken:
            raise UsageError(
                f"optim.groups.{number}.parameters={group.parameters}: takes no parameter; give {', '.join(KINDS)}, or "
                f"a regular expression for names such as {parameters[0][0]}"
            )
        names = {name for name, _ in taken}
        left = [(name, parameter) for name, parameter in left if name not in names]
        made.append({"params": [parameter for _, parameter in taken], **(group.model_extra or {})})
    rest = [{"params": [parameter for _, parameter in left]}] if left else []
    return [*rest, *made]


def _matches(number: int, rule: str, name: str, parameter: nn.Parameter) -> bool:
    if rule in KINDS:
        return bool(KINDS[rule](parameter))
    try:
        return re.search(rule, name) is not None
    except re.error as error:
        raise UsageError(f"optim.groups.{number}.parameters={rule}: no regular expression ({error})") from None
