"""Turns pydantic's validation errors into one line that names the key, the value and what would be right."""

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import reduce
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mnist_resnet.config.signature import flatten

MESSAGES = {
    "missing": "must be given",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list, as in [1,2]",
    "dict_type": "must be a node with keys and values",
    "model_type": "must be a node with keys and values",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "too_short": "must have {min_length} or more items",
    "too_long": "must have {max_length} or fewer items",
    "string_too_short": "must not be empty",
}
"""Message by pydantic's error type; for other types pydantic's own message is shown."""

NUMBER_AS_TEXT = ", not text: leave out its quotes; for a variable, ${oc.decode:${oc.env:NAME}}"

SIMILARITY_CUTOFF = 0.72
"""Smallest difflib ratio at which one word counts as a typo of another: widht of width, but not stem9x9 of stem7x7."""

SHORTEST_STEM = 4
"""Fewest letters of a key for which a word that begins with it counts as the same: optimizer and optim."""


def first_problem(error: ValidationError, container: dict[str, Any]) -> str:
    """Return a one-line message on the first validation error of `container`."""
    first, *others = problems = error.errors(include_url=False)
    if first["type"] == "missing":  # a typo in its name is the cause of both
        typos = [other for other in others if other["type"] == "extra_forbidden" and _node(other) == _node(first)]
        first = next(iter(typos), first)
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])  # raised by one of our validators, whose messages are complete
    path = config_path(first, container)
    key = ".".join(map(str, path))
    if first["type"] == "extra_forbidden":
        beside = [problem for problem in problems if _node(problem) == _node(first)]
        return f"{key}: no such key{suggest_key(key, _known_keys(beside, path, container))}"
    if first["type"] == "missing":
        return f"{key}: {_requirement(first)}"
    # For a key with a union type, pydantic reports one error per alternative.
    same_key = [first, *(other for other in others if config_path(other, container) == path)]
    requirement, *alternatives = dict.fromkeys(_requirement(problem) for problem in same_key)
    expected = " or ".join([requirement, *(text.removeprefix("must be ") for text in alternatives)])
    cure = NUMBER_AS_TEXT if "number" in expected and _is_number_as_text(first["input"]) else ""
    return f"{key}={as_typed(first['input'])}: {expected}{cure}"


def suggest_key(key: str, known: Iterable[str]) -> str:
    """Return `; did you mean …?` or `; one of …` for an unknown key, given the known keys."""
    others = [other for other in known if _may_be_meant(other, key)]
    node, dot, last = key.rpartition(".")
    siblings = list(
        dict.fromkeys(
            other.removeprefix(node + dot).partition(".")[0] for other in others if other.startswith(node + dot)
        )
    )
    near = near_key(key, others)
    if near:
        return f"; did you mean {near}?"
    same = [other for other in others if other.rpartition(".")[2] == last]
    if not same and node and siblings:
        turned = [sibling for sibling in siblings if sorted(sibling) == sorted(last)]
        similar = turned or difflib.get_close_matches(last, siblings, n=1)
        return f"; did you mean {node}.{similar[0]}?" if similar else f"; one of {', '.join(siblings)}"
    # Whole keys are compared where the node is unknown; in a known one they are alike by its name.
    similar = same or difflib.get_close_matches(key, others, n=1, cutoff=SIMILARITY_CUTOFF)
    shown = "hydra" if key.startswith("hydra.") else "job"
    return (
        f"; did you mean {' or '.join(similar)}?" if similar else f"; --cfg {shown} shows all keys, --help the groups"
    )


def near_key(key: str, known: Iterable[str]) -> str | None:
    """Return the known key in the same node of which `key` looks like a typo or a longer form, such as optimizer."""
    node, dot, last = key.rpartition(".")
    siblings = {
        other.removeprefix(node + dot).partition(".")[0]: None
        for other in known
        if other.startswith(node + dot) and _may_be_meant(other, key)
    }
    near = difflib.get_close_matches(last, siblings, n=1, cutoff=SIMILARITY_CUTOFF) or [
        sibling for sibling in siblings if len(sibling) >= SHORTEST_STEM and last.startswith(sibling)
    ]
    return f"{node}{dot}{near[0]}" if near else None


def _may_be_meant(other: str, key: str) -> bool:
    """Return whether a known key is neither Hydra's, such as `_target_`, nor the unknown one or part of its value."""
    return not other.endswith("_") and not f"{other}.".startswith(f"{key}.")


def partial_key(key: str, having: Iterable[str], lacking: Iterable[str]) -> str:
    """Return the message for a key that only some of the swept choices have."""
    return f"{key}: is a key of {' and '.join(having)}, not of {' and '.join(lacking)}; sweep these apart"


def suggest_option(choice: str, options: Collection[str]) -> str:
    """Return `; did you mean …? one of …` for an unknown choice, given the options."""
    others = [option for option in options if option != choice]  # it may be one, but not to whoever looked for it
    near = difflib.get_close_matches(choice, others, n=1, cutoff=SIMILARITY_CUTOFF)
    listed = f"one of {', '.join(options)}" if options else ""
    return "; " + " ".join([*(f"did you mean {found}?" for found in near), listed]) if options else ""


def config_path(problem: ErrorDetails, container: Mapping[str, Any]) -> list[str | int]:
    """Return the path to a validation error's value: keys and positions, without pydantic's names of union members."""
    node: Any = container
    path: list[str | int] = []
    for part in problem["loc"]:
        exists = part in node if isinstance(node, dict) else isinstance(node, list) and isinstance(part, int)
        if exists:
            node = node[part]
        elif problem["type"] != "missing" or part != problem["loc"][-1]:
            continue
        path.append(part)
    return path


def _known_keys(beside: Iterable[ErrorDetails], path: Sequence[str | int], container: dict[str, Any]) -> Iterable[str]:
    """Return the keys of the node in which one at `path` is unknown: those given and those lacking.

    Args:
        beside: the problems in that node.
        path: keys and positions.
        container: the config.
    """
    root: Any = container
    node = reduce(lambda node, part: node[part], path[:-1], root)
    lacking = {problem["loc"][-1]: None for problem in beside if problem["type"] == "missing"}
    unknown = [problem["loc"][-1] for problem in beside if problem["type"] == "extra_forbidden"]
    known = lacking | {name: value for name, value in node.items() if name not in unknown}
    return flatten(known, ".".join(map(str, [*path[:-1], ""])))


def _node(problem: ErrorDetails) -> tuple[str | int, ...]:
    return problem["loc"][:-1]


def _requirement(problem: ErrorDetails) -> str:
    message = MESSAGES.get(problem["type"])
    limits = {
        name: f"{limit:g}" if isinstance(limit, float) else limit for name, limit in problem.get("ctx", {}).items()
    }
    return message.format(**limits) if message else problem["msg"]


def as_typed(value: Any) -> str:
    """Return the value in the form in which a user types it."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return repr(value) if _is_number_as_text(value) else str(value)


def _is_number_as_text(value: Any) -> bool:
    return isinstance(value, str) and re.fullmatch(r"[-+.\de]+", value) is not None
