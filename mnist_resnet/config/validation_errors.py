"""What pydantic finds wrong with a config, in one line that names the key, the value and what would be right."""

import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping
from functools import reduce
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mnist_resnet.config.signature import flatten

WORDS = {
    "missing": "must be given",
    "int_type": "must be a whole number",
    "int_from_float": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a finite number",
    "bool_type": "must be true or false",
    "string_type": "must be text",
    "list_type": "must be a list, as in [1,2]",
    "dict_type": "must be a node with keys of its own",
    "model_type": "must be a node with keys of its own",
    "literal_error": "must be {expected}",
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
    "too_short": "must have {min_length} or more in it",
    "too_long": "must have {max_length} or fewer in it",
    "string_too_short": "must not be empty",
}
"""By pydantic's name of the error; what it says is said in its own words where one is left out."""

LIKENESS = 0.72
"""Of difflib's ratio, from which on a word is held for another mistyped: widht for width, not stem9x9 for stem7x7."""


def one_line(error: ValidationError, container: dict[str, Any]) -> str:
    """The first problem of `container`, which is no valid config."""
    first, *others = error.errors(include_url=False)
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])  # raised by a validator of ours, which names key and value itself
    path = _path(first, container)
    key = ".".join(path)
    if first["type"] == "extra_forbidden":
        node: Any = reduce(lambda node, part: node[int(part) if isinstance(node, list) else part], path[:-1], container)
        return f"{key}: no such key{instead(key, flatten(node, '.'.join([*path[:-1], ''])))}"
    if first["type"] == "missing":
        return f"{key}: {_says(first)}"
    # A union's members are alternatives of one knob; pydantic tells of each.
    same = [first, *(other for other in others if _path(other, container) == path)]
    said, *alternatives = dict.fromkeys(_says(problem) for problem in same)
    wanted = " or ".join([said, *(words.removeprefix("must be ") for words in alternatives)])
    return f"{key}={_shown(first['input'])}: {wanted}"


def instead(key: str, known: Iterable[str]) -> str:
    """`; did you mean …?` or `; one of …`, of the keys that are known, for one that is not."""
    others = [other for other in known if other != key and not other.endswith("_")]
    node, dot, last = key.rpartition(".")
    siblings = list(
        dict.fromkeys(
            other.removeprefix(node + dot).partition(".")[0] for other in others if other.startswith(node + dot)
        )
    )
    near = difflib.get_close_matches(last, siblings, n=1, cutoff=LIKENESS)
    if near:
        return f"; did you mean {node}{dot}{near[0]}?"
    same = [other for other in others if other.rpartition(".")[2] == last] or difflib.get_close_matches(
        key, others, n=1, cutoff=LIKENESS
    )
    if same:
        return f"; did you mean {' or '.join(same)}?"
    return f"; one of {', '.join(siblings)}" if node and siblings else "; --cfg job shows all keys, --help the groups"


def one_of(choice: str, options: Collection[str]) -> str:
    """`; did you mean …? one of …`, for a choice that is not among the options."""
    near = difflib.get_close_matches(choice, options, n=1, cutoff=LIKENESS)
    listed = f"one of {', '.join(options)}" if options else ""
    return "; " + " ".join([*(f"did you mean {found}?" for found in near), listed]) if options else ""


def _says(problem: ErrorDetails) -> str:
    words = WORDS.get(problem["type"])
    limits = {
        name: f"{limit:g}" if isinstance(limit, float) else limit for name, limit in problem.get("ctx", {}).items()
    }
    return words.format(**limits) if words else problem["msg"]


def _path(problem: ErrorDetails, container: Mapping[str, Any]) -> list[str]:
    """The problem's place as keys of the config; pydantic puts the names of a union's members among them."""
    node: Any = container
    path: list[str] = []
    for part in problem["loc"]:
        is_there = part in node if isinstance(node, dict) else isinstance(node, list) and isinstance(part, int)
        if is_there:
            node = node[part]
        elif problem["type"] != "missing" or part != problem["loc"][-1]:
            continue
        path.append(str(part))
    return path


def _shown(value: Any) -> str:
    """As a user would have typed it."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    is_number_as_text = isinstance(value, str) and re.fullmatch(r"[-+.\de]+", value)
    return repr(value) if is_number_as_text else str(value)
