"""Turns Hydra's and OmegaConf's errors into one line that says what was typed and what would be right."""

import re
import sys
from collections.abc import Iterator
from itertools import pairwise
from traceback import walk_tb
from typing import Any

from hydra.errors import HydraException, OverrideParseException
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import MarkedYAMLError
from yaml.reader import ReaderError

from mnist_resnet.config.defaults_lists import (
    NEEDED,
    NEEDED_BY_HYDRA,
    PLUGINS,
    refuse_faulty_defaults,
    refuse_no_choice,
)
from mnist_resnet.config.file_errors import (
    circular_defaults,
    defaults_fault,
    encoding_fault,
    no_config,
    unfit_value,
    unreadable_character,
    yaml_fault,
)
from mnist_resnet.config.hydra_messages import said_instead
from mnist_resnet.config.signature import flatten
from mnist_resnet.config.typed_choices import (
    all_groups,
    chosen_files,
    config_folders,
    known_keys,
    options_of,
    parsed_overrides,
)
from mnist_resnet.config.validation_errors import partial_key, suggest_key, suggest_option
from mnist_resnet.errors import UsageError
from mnist_resnet.job_folder import UnreadableFolder

EXTRAS = {
    "joblib": ("hydra-joblib-launcher", "joblib"),
    "submitit_local": ("hydra-submitit-launcher", "slurm"),
    "submitit_slurm": ("hydra-submitit-launcher", "slurm"),
    "ray": ("hydra-ray-launcher", "ray"),
}
"""Public launchers that are separate packages: the package, and the extra of ours that installs it."""
DICTIONARIES = ("hydra.launcher.slurm.parameters", "hydra.launcher.ray.resources")
"""Keys whose values are dictionaries with keys of the user's choice, null by default.

Hydra refuses keys that an empty dictionary does not have, but takes any value for null.
"""

EXTENDED = "extend_list("
"""What Hydra 1.4 alone reads, with a warning."""

FREE_NODES = ("hydra.job.env_set", "hydra.callbacks")
"""Nodes with keys of the user's choice, to which Hydra adds one only after a `+`."""


def user_message(error: BaseException) -> str | None:
    """Return the one-line message for invalid user input, or None if `error` is a bug in the program."""
    if isinstance(error, UsageError | UnreadableFolder):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if type(error) is OSError:
        return no_config(chosen_files())
    if isinstance(error, MarkedYAMLError | ReaderError | UnicodeDecodeError):
        return _unreadable_file(error)
    if isinstance(error, RecursionError):
        return circular_defaults(chosen_files())
    if isinstance(error, OverrideParseException):
        return _parse_error(error.override or "")
    if isinstance(error, HydraException | OmegaConfBaseException | UserWarning) or _is_raised_by_hydra(error):
        text = " ".join(" ".join(str(part) for part in _chain(error)).split())
        try:
            return _explain(text, error)
        except UsageError as fault:
            return str(fault)
        except Exception:  # what is wrong with a config may trip what looks into it: then Hydra's own words must do
            return said_instead(text) or text
    return _no_such_variable(error) or _while_building(error)


def _unreadable_file(error: MarkedYAMLError | ReaderError | UnicodeDecodeError) -> str | None:
    if isinstance(error, MarkedYAMLError):
        return yaml_fault(error)
    return unreadable_character(error) if isinstance(error, ReaderError) else encoding_fault(error, config_folders())


def _explain(text: str, error: BaseException) -> str:
    extended = [argument for argument in sys.argv[1:] if f"={EXTENDED}" in argument]
    if isinstance(error, UserWarning) and extended:
        return _extended_list(extended[0])
    fault = _fault_in_file(text) or _unknown_setting(text) or _key_without_a_name(text) or said_instead(text)
    if fault:
        return fault
    found = re.search(r"Could not delete from config\. '([^']+)'", text)
    if found:
        key = found.group(1)
        return _null_key(key) if key in known_keys() else _no_such_key(key, "~")
    if "is not a supported primitive type" in text and (unfit := unfit_value(chosen_files())):
        return unfit
    found = re.search(r"package '([^']+)' not found in config", text)
    if found:
        return _not_shown(found.group(1))
    found = re.search(r"Could not override '([^']+)'", text)
    if found:
        return _no_such_key(_first_unknown(found.group(1)))
    found = re.search(r"In '([^']+)'.*?Could not find '([^']+?)/([^/']*)'", text) or re.search(
        r"(Could) not find '([^']+?)/([^/']*)'", text
    )
    if found:
        return _no_such_choice(found[2], found[3])
    if "Config group override must be a string or a list" in text:
        return _choice_is_no_name()
    if isinstance(error, OmegaConfBaseException) and error.full_key:
        missing = isinstance(error, MissingMandatoryValue)
        reason = "has no value; give one" if missing else (error.msg or text).splitlines()[0]
        typed = [str(one.input_line) for one in parsed_overrides() if one.key_or_group == error.full_key]
        return f"{typed[0] if typed and '${' in typed[0] else error.full_key}: {reason}"
    return _interpolating_overrides() + text.removeprefix("In 'config': ")


def _fault_in_file(text: str) -> str | None:
    groups = all_groups()
    is_own_study = any(override.key_or_group == "task" for override in parsed_overrides())
    needed = [] if is_own_study else NEEDED
    for file in chosen_files():
        refuse_faulty_defaults(file, groups, needed)
    refuse_no_choice(sys.argv[1:], [*needed, *NEEDED_BY_HYDRA])
    return defaults_fault(text, groups, chosen_files())


def _no_such_choice(group: str, choice: str) -> str:
    if group == "hydra/launcher" and choice in EXTRAS:
        package, extra = EXTRAS[choice]
        return f"{group}={choice}: needs {package}, which is not installed: pip install -e '.[{extra}]'"
    file = next((file.name for file in chosen_files() if (group, choice) in file.choices), None)
    if file and group not in [override.key_or_group for override in parsed_overrides()]:
        return f"{file}: '{group}: {choice}' in defaults: no such choice{suggest_option(choice, options_of(group))}"
    misnamed = [folder / group / f"{choice.removesuffix('.yml')}.yml" for folder in config_folders()]
    for path in misnamed:
        if path.is_file():
            return f"{group}={choice}: {path}: must end in .yaml; rename it"
    return f"{group}={choice}: no such choice{suggest_option(choice, options_of(group))}"


def _parse_error(override: str) -> str:
    key, equals, value = override.partition("=")
    if value.startswith(EXTENDED):
        return _extended_list(override)
    if not equals and options_of(key):
        return f"{override}: not key=value; write {key}=CHOICE{suggest_option('', options_of(key))}"
    if not equals and key in known_keys():
        return f"{override}: not key=value; write {key}=…"
    if not equals:
        return f"{override}: not key=value{suggest_key(key, known_keys()) if key.strip() else ''}"
    squeezed = f"{key.strip()}={override.partition('=')[2].strip()}"
    if squeezed != override:
        return f"{override}: can't be read; leave out the spaces around it and its =: {squeezed}"
    if ",," in override:
        return f"{override}: lacks a value between two commas; write several values as in {key}=a,b"
    if override.endswith(","):
        return f"{override}: ends in a comma; write several values without a space, as in {key}=a,b"
    close = "close brackets and quotes, and " if _is_open(override) else ""
    return f"{override}: can't be read; {close}quote a value that holds one of = , : [ ] {{ }}, as in '{key}=\"…\"'"


def _extended_list(override: str) -> str:
    return f"{override}: Hydra 1.3 can't extend a list, and 1.5 no longer will; write the whole list, as in [1,2]"


def _is_open(text: str) -> bool:
    """Return whether a bracket or a quote in `text` is not closed."""
    unquoted = re.sub(r"'[^']*'|\"[^\"]*\"", "", text)
    pairs = (("[", "]"), ("{", "}"), ("(", ")"))
    return "'" in unquoted or '"' in unquoted or any(unquoted.count(a) != unquoted.count(b) for a, b in pairs)


def _null_key(key: str) -> str:
    return f"~{key}: is null, which Hydra can't delete, or one of the swept choices lacks it; leave it as it is"


def _not_shown(key: str) -> str:
    known = known_keys()
    if any(f"{other}.".startswith(f"{key}.") for other in known):
        return f"--package {key}: is null, or no part of what this --cfg shows; --cfg all shows all keys"
    return f"--package {key}: no such key{suggest_key(key, known)}"


def _no_such_key(key: str, sign: str = "") -> str:
    node, _, last = key.rpartition(".")
    if node in FREE_NODES and not sign:
        return f"{key}: is a new key; add it: ++{key}=…"
    if node in DICTIONARIES:
        return f"{sign}{key}: give the whole dictionary, as in '{node}={{{last}: …}}'"
    task = next((override.value() for override in parsed_overrides() if override.key_or_group == "task"), None)
    if key in NEEDED and task not in (None, "image_classifier"):
        return f"{sign}{key}: is no group of task={task}; leave it out, or add it: +{key}=…"
    if options_of(key):
        return f"{sign}{key}: has no default; add it: +{key}=…{suggest_option('', options_of(key))}"
    partial = None if sign else _partial_key(key) or _key_of_other_plugin(key)
    if partial:
        return partial
    return f"{sign}{key}: no such key{suggest_key(key, known_keys())}"


def _first_unknown(key: str) -> str:
    """Return the first unknown key inside the dictionary that was typed for `key`; `key` if it was none."""
    for override in parsed_overrides():
        value = override.value()
        if override.key_or_group == key and isinstance(value, dict):
            inner = flatten({str(name): inner for name, inner in value.items()}, f"{key}.")
            known = known_keys()
            return next((name for name in inner if name not in known), key)
    return key


def _partial_key(key: str) -> str | None:
    """Return the message for a key that a typed sweep's choices have, but not all of them, or not the default one."""
    for override in parsed_overrides():
        levels = [str(level) for level in getattr(override.value(), "list", ())]
        if levels and set(levels) <= set(options_of(override.key_or_group)):
            chosen = {f"{override.key_or_group}={level}": level for level in levels}
            having = [choice for choice in chosen if key in known_keys([choice])]
            if having and len(having) < len(chosen):
                return partial_key(key, having, [choice for choice in chosen if choice not in having])
            if having:
                return f"{key}: the swept choices have it, the default one has not; write ++{key}=…"
    return None


def _key_of_other_plugin(key: str) -> str | None:
    """Return the message for a key that only other launchers, or other sweepers, have than the chosen one."""
    group = "/".join(key.split(".")[:2])
    if group not in PLUGINS:
        return None
    having = [option for option in options_of(group) if key in known_keys([f"{group}={option}"])]
    return f"{key}: is a key of {group}={' or '.join(having)}; add that, or leave it out" if having else None


def _unknown_setting(text: str) -> str | None:
    """Return the message for a key that a launcher, sweeper or callback doesn't take."""
    found = re.search(r"unexpected keyword argument '(\w+)'.* full_key: (hydra\.[\w.]+)", text)
    return _no_such_key(f"{found[2]}.{found[1]}") if found else None


def _key_without_a_name(text: str) -> str | None:
    """Return the message for a key that OmegaConf doesn't take, such as null, which it doesn't name."""
    if "Incompatible key type" not in text:
        return None
    for file in chosen_files():
        for key in _keys(file.content):
            if not isinstance(key, str | int | float):
                written = "null" if key is None else key
                return f"{file.name}: {written}: is no key; in quotes it is text: '{written}'"
    return None


def _keys(content: Any) -> Iterator[Any]:
    """Yield the keys of a file's content, at every depth."""
    for key, value in content.items() if isinstance(content, dict) else ():
        yield key
        yield from _keys(value)


def _choice_is_no_name() -> str:
    for override in parsed_overrides():
        key, value = override.get_key_element(), override.value()
        if not key:
            return f"{override.input_line}: lacks a key; write key=value"
        if key == "hydra":
            return f"{override.input_line}: must hold keys with values; set single ones, such as hydra.run.dir=…"
        options = options_of(key) if "." not in key else []
        written = str(override.input_line).partition("=")[2]
        for text, level in zip(written.split(","), getattr(value, "list", [value]), strict=False):
            if text in options and not isinstance(level, str):
                return f"{override.input_line}: {text} is no text; in quotes it is: '{key}=\"{text}\"'"
        if options and not isinstance(value, str | list):
            return f"{override.input_line}: must be the name of a choice{suggest_option('', options)}"
    return "the choice for a config group must be a name"


def _interpolating_overrides() -> str:
    """Return the typed overrides that contain an interpolation, as a prefix for a message."""
    return "".join(f"{override.input_line}: " for override in parsed_overrides() if "${" in str(override.input_line))


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _is_raised_by_hydra(error: BaseException) -> bool:
    """Return whether Hydra itself raised this built-in error, which it does for some invalid input."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    raised_in = last.tb_frame.f_globals.get("__name__", "") if last is not None else ""
    return isinstance(error, ValueError | AssertionError | RuntimeError) and raised_in.partition(".")[0] == "hydra"


def _no_such_variable(error: BaseException) -> str | None:
    """Return the message if Hydra looked something up in the environment when it raised the error."""
    for frame, called in pairwise(frame for frame, _ in walk_tb(error.__traceback__)):
        asked = called.f_globals.get("__name__"), called.f_code.co_name
        if frame.f_globals.get("__name__", "").startswith("hydra.") and asked == ("os", "__getitem__"):
            variable = frame.f_locals.get("key", error.args[0])
            if variable == "COMP_LINE":
                return "--shell-completion: query is for the shell, which sets COMP_LINE; write install=bash"
            return f"hydra.job.env_copy: {variable}: no such environment variable; export it, or leave it out"
    return None


def _while_building(error: BaseException) -> str | None:
    """Return the message for what a plugin raised; Hydra 1.4 notes which of them it was building."""
    building = [note for note in getattr(error, "__notes__", ()) if note.startswith("full_key: hydra.")]
    if not building:
        return None
    return _unknown_setting(f"{error} {building[0]}") or f"{building[0].removeprefix('full_key: ')}: {error}"
