"""Turns Hydra's and OmegaConf's errors into one line that says what was typed and what would be right."""

import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from traceback import walk_tb
from typing import Any

from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException, OverrideParseException
from hydra.types import RunMode
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException
from yaml import MarkedYAMLError
from yaml.reader import ReaderError

from mnist_resnet.config.config_files import CONF, ConfigFile, with_inherited
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
    unreadable_character,
    yaml_fault,
)
from mnist_resnet.config.hydra_versions import VERSION_BASE
from mnist_resnet.config.signature import flatten
from mnist_resnet.config.sweep_grammar import INNER_SWEEP
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

NOT_SWEPT = r"(?:hydra[/.]|sweep\.)"
"""With what the keys begin that act on a whole sweep."""

FREE_NODES = ("hydra.job.env_set", "hydra.callbacks")
"""Nodes with keys of the user's choice, to which Hydra adds one only after a `+`."""


def user_message(error: BaseException) -> str | None:
    """Return the one-line message for invalid user input, or None if `error` is a bug in the program."""
    if isinstance(error, UsageError | UnreadableFolder):
        return str(error)
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}"
    if isinstance(error, MarkedYAMLError | ReaderError | UnicodeDecodeError):
        return _unreadable_file(error)
    if isinstance(error, RecursionError):
        return circular_defaults(_chosen_files())
    if isinstance(error, OverrideParseException):
        return _parse_error(error.override or "")
    if isinstance(error, HydraException | OmegaConfBaseException | UserWarning) or _is_raised_by_hydra(error):
        text = " ".join(" ".join(str(part) for part in _chain(error)).split())
        try:
            return _explain(text, error)
        except UsageError as fault:
            return str(fault)
        except Exception:  # what is wrong with a config may trip what looks into it: then Hydra's own words are shown
            return text
    return _no_such_variable(error) or _while_building(error)


def _unreadable_file(error: MarkedYAMLError | ReaderError | UnicodeDecodeError) -> str | None:
    if isinstance(error, MarkedYAMLError):
        return yaml_fault(error)
    return unreadable_character(error) if isinstance(error, ReaderError) else encoding_fault(error, _config_folders())


def _explain(text: str, error: BaseException) -> str:
    fault = _fault_in_file(text) or _unknown_setting(text) or _key_without_a_name(text)
    if fault:
        return fault
    for pattern, message in _MESSAGES:
        found = re.search(pattern, text)
        if found:
            return message.format(*found.groups())
    found = re.search(r"Could not delete from config\. '([^']+)'", text)
    if found:
        key = found.group(1)
        return _null_key(key) if key in _known_keys() else _no_such_key(key, "~")
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
        typed = [str(one.input_line) for one in _typed_overrides() if one.key_or_group == error.full_key]
        return f"{typed[0] if typed and '${' in typed[0] else error.full_key}: {reason}"
    return _interpolating_overrides() + text.removeprefix("In 'config': ")


def _fault_in_file(text: str) -> str | None:
    groups = _groups()
    is_own_study = any(override.key_or_group == "task" for override in _typed_overrides())
    needed = [] if is_own_study else NEEDED
    for file in _chosen_files():
        refuse_faulty_defaults(file, groups, needed)
    refuse_no_choice(sys.argv[1:], [*needed, *NEEDED_BY_HYDRA])
    return defaults_fault(text, groups, _chosen_files())


def _no_such_choice(group: str, choice: str) -> str:
    if group == "hydra/launcher" and choice in EXTRAS:
        package, extra = EXTRAS[choice]
        return f"{group}={choice}: needs {package}, which is not installed: pip install -e '.[{extra}]'"
    misnamed = [folder / group / f"{choice.removesuffix('.yml')}.yml" for folder in _config_folders()]
    for path in misnamed:
        if path.is_file():
            return f"{group}={choice}: {path}: must end in .yaml; rename it"
    return f"{group}={choice}: no such choice{suggest_option(choice, _options(group))}"


_MESSAGES = [
    (
        r"Sweeping over Hydra's configuration is not supported : '(\+*hydra\.sweeper\.params\.([^=]+)=([^']*))'",
        "{0}: is itself a sweep; write {1}={2}",
    ),
    (
        r"Sweeping over Hydra's configuration is not supported : '([^=]+)=",
        "{0}: can't be swept, it is a setting of the whole sweep",
    ),
    (r"Only one of --run, --multirun, --cfg", "--run, -m, --cfg, --info and --shell-completion: give one of them"),
    (r"Running Hydra app with --multirun", "hydra.mode=RUN: contradicts -m; leave one of them out"),
    (
        rf"(?:Ambiguous value for argument|Sweep parameters) '({NOT_SWEPT}.+?)' (?:1\.|requires --multirun)",
        "{0}: takes one value, it can't be swept (a list is [a,b])",
    ),
    (
        r"Expecting one subcommand from \[.*\] to be set",
        "--shell-completion: must be followed by install=SHELL, uninstall=SHELL or query=SHELL, as in install=bash",
    ),
    (r"No completion plugin for '(.*)' found, available : (.*)", "--shell-completion: {0}: no such shell; one of {1}"),
    (r"Ambiguous value for argument '(.+?)' 1\.", "{0}: several values make a sweep; add -m (one list is [a,b])"),
    (r"Sweep parameters '(.+?)' requires --multirun", "{0}: several values make a sweep; add -m"),
    (r"Could not append to config\. An item is already at '([^']+)'", "+{0}: already exists; leave out the +"),
    (r"Could not override '(hydra/sweeper/[^']+)'", "{0}: belongs to a search; add hydra/sweeper=search"),
    (r"Multiple values for (\S+)\. To override", "+{0}: already has a default; leave out the +"),
    (
        rf"Cannot find primary config '[^']*'.*provider=main, path=file://(?!{re.escape(str(CONF))} )(\S+)",
        "--config-path {0}: holds no such config; to add a folder beside conf/, use --config-dir",
    ),
    (
        r"Cannot find primary config '([^']*)'",
        "--config-name {0}: no such config; leave it out to use config.yaml",
    ),
    (r"no viable alternative at input '(.+?)' full_key: (\S+)", "{1}: can't be read at {0}; close its brackets"),
    (
        r"Error merging override (\S+) (?:Cannot merge DictConfig with ListConfig|Cannot merge incompatible container)",
        "{0}: must be a list, as in [1,2]",
    ),
    (
        r"Error merging override (\S+) \w+ \(DictConfig\) does not support deletion",
        "{0}: Hydra's own keys can't be deleted; leave it out",
    ),
    (
        r"Error merging override (.+?) Unexpected type annotation: ",
        f"{{0}}: {INNER_SWEEP}",
    ),
    (r"Error merging override (\S+) Invalid type assigned: ", "{0}: must be a node with keys and values"),
    (r"Error merging override (\S+) (.*?) full_key", "{0}: {1}"),
    (
        r"Error locating target '([^']+)'.*? full_key: (hydra\.\S+) .*?Error loading '[^']+': \w+\((['\"])(.*?)\3\)",
        "{1}._target_={0}: can't be imported ({3})",
    ),
    (r"Error in call to target '.*? full_key: (hydra\.\S+) (.+)", "{0}: {1}"),
    (
        r"provider=(hydra\.searchpath) in .*?, path=(\S+) is not available",
        "{0}: {1}: no such folder; give an existing one, as in [file:///home/me/conf]",
    ),
    (r"Could not delete 'hydra'\. No match", "~hydra: Hydra's own keys can't be deleted; leave it out"),
    (r"Could not delete '([^']+)'\. No match", "~{0}: nothing is chosen there; leave it out"),
    (r"The value of '([^']+)' is (.*?) and not (.*?)\.(?: |$)", "~{0}={2}: the value is {1}; write ~{0}"),
    (r"Additional config directory '([^']+)' not found", "--config-dir {0}: no such folder; give an existing one"),
    (
        r"Primary config (?:directory|module).*'([^']+)'",
        "--config-path {0}: no such folder; to add one beside conf/, use --config-dir",
    ),
]
"""Regular expressions on Hydra's text, and the message shown instead, with the groups filled in."""


def _parse_error(override: str) -> str:
    key, equals, _ = override.partition("=")
    if not equals and _options(key):
        return f"{override}: not key=value; write {key}=CHOICE{suggest_option('', _options(key))}"
    if not equals:
        return f"{override}: not key=value{suggest_key(key, _known_keys()) if key.strip() else ''}"
    squeezed = f"{key.strip()}={override.partition('=')[2].strip()}"
    if squeezed != override:
        return f"{override}: can't be read; leave out the spaces around it and its =: {squeezed}"
    if ",," in override:
        return f"{override}: lacks a value between two commas; write several values as in {key}=a,b"
    if override.endswith(","):
        return f"{override}: ends in a comma; write several values without a space, as in {key}=a,b"
    close = "close brackets and quotes, and " if _is_open(override) else ""
    return f"{override}: can't be read; {close}quote a value that holds one of = , : [ ] {{ }}, as in '{key}=\"…\"'"


def _is_open(text: str) -> bool:
    """Return whether a bracket or a quote in `text` is not closed."""
    unquoted = re.sub(r"'[^']*'|\"[^\"]*\"", "", text)
    pairs = (("[", "]"), ("{", "}"), ("(", ")"))
    return "'" in unquoted or '"' in unquoted or any(unquoted.count(a) != unquoted.count(b) for a, b in pairs)


def _null_key(key: str) -> str:
    return f"~{key}: is null, which Hydra can't delete, or one of the swept choices lacks it; leave it as it is"


def _not_shown(key: str) -> str:
    known = _known_keys()
    if any(f"{other}.".startswith(f"{key}.") for other in known):
        return f"--package {key}: is null, or no part of what this --cfg shows; --cfg all shows all keys"
    return f"--package {key}: no such key{suggest_key(key, known)}"


def _no_such_key(key: str, sign: str = "") -> str:
    node, _, last = key.rpartition(".")
    if node in FREE_NODES and not sign:
        return f"{key}: is a new key; add it: ++{key}=…"
    if node in DICTIONARIES:
        return f"{sign}{key}: give the whole dictionary, as in '{node}={{{last}: …}}'"
    if _options(key):
        return f"{sign}{key}: has no default; add it: +{key}=…{suggest_option('', _options(key))}"
    partial = None if sign else _partial_key(key) or _key_of_other_plugin(key)
    if partial:
        return partial
    return f"{sign}{key}: no such key{suggest_key(key, _known_keys())}"


def _first_unknown(key: str) -> str:
    """Return the first unknown key inside the dictionary that was typed for `key`; `key` if it was none."""
    for override in _typed_overrides():
        value = override.value()
        if override.key_or_group == key and isinstance(value, dict):
            inner = flatten({str(name): inner for name, inner in value.items()}, f"{key}.")
            known = _known_keys()
            return next((name for name in inner if name not in known), key)
    return key


def _partial_key(key: str) -> str | None:
    """Return the message for a key that a typed sweep's choices have, but not all of them, or not the default one."""
    for override in _typed_overrides():
        levels = [str(level) for level in getattr(override.value(), "list", ())]
        if levels and set(levels) <= set(_options(override.key_or_group)):
            chosen = {f"{override.key_or_group}={level}": level for level in levels}
            having = [choice for choice in chosen if key in _known_keys([choice])]
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
    having = [option for option in _options(group) if key in _known_keys([f"{group}={option}"])]
    return f"{key}: is a key of {group}={' or '.join(having)}; add that, or leave it out" if having else None


def _unknown_setting(text: str) -> str | None:
    """Return the message for a key that a launcher, sweeper or callback doesn't take."""
    found = re.search(r"unexpected keyword argument '(\w+)'.* full_key: (hydra\.[\w.]+)", text)
    return _no_such_key(f"{found[2]}.{found[1]}") if found else None


def _key_without_a_name(text: str) -> str | None:
    """Return the message for a key that OmegaConf doesn't take, such as null, which it doesn't name."""
    if "Incompatible key type" not in text:
        return None
    for file in _chosen_files():
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
    for override in _typed_overrides():
        key, value = override.get_key_element(), override.value()
        if key == "hydra":
            return f"{override.input_line}: must hold keys with values; set single ones, such as hydra.run.dir=…"
        options = _options(key) if "." not in key else []
        if options and not isinstance(value, str | list):
            return f"{override.input_line}: must be the name of a choice{suggest_option('', options)}"
    return "the choice for a config group must be a name"


def _interpolating_overrides() -> str:
    """Return the typed overrides that contain an interpolation, as a prefix for a message."""
    return "".join(f"{override.input_line}: " for override in _typed_overrides() if "${" in str(override.input_line))


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


def _typed_overrides() -> list[Override]:
    """Return the command line's overrides, skipping those that can't be parsed."""
    parser = OverridesParser.create()
    overrides: list[Override] = []
    for argument in sys.argv[1:]:
        try:
            overrides += parser.parse_overrides([argument])
        except HydraException:
            continue
    return overrides


def _known_keys(chosen: list[str] | None = None) -> list[str]:
    """Return all keys and groups of the config with these options, if it can be composed; None: those typed."""
    loader = _loader()
    chosen = chosen or [
        f"{'+' * override.is_add()}{override.key_or_group}={override.value()}"
        for override in _typed_overrides()
        if isinstance(override.value(), str) and override.value() in loader.get_group_options(override.key_or_group)
    ]
    for choices in (chosen, []):
        # This handles an error already: a fault in a chosen file must not raise another one.
        with suppress(Exception):
            config = loader.load_configuration("config", choices, RunMode.MULTIRUN)
            container: Any = OmegaConf.to_container(config, resolve=False)
            return [*flatten(container), *loader.list_groups("")]
    return loader.list_groups("")


def _groups() -> list[str]:
    """Return all config groups, also those inside of others."""
    loader, found = _loader(), [""]
    for group in found:
        found += [f"{group}/{inner}".lstrip("/") for inner in loader.list_groups(group)]
    return found[1:]


def _chosen_files() -> Iterator[ConfigFile]:
    """Yield the config files that the command line chooses, if they can be read."""
    for override in _typed_overrides():
        value: Any = override.value()
        for choice in getattr(value, "list", [value]):
            with suppress(MarkedYAMLError, UnicodeDecodeError):
                yield from with_inherited(
                    _config_folders(), override.key_or_group, str(getattr(choice, "text", choice))
                )


def _options(group: str) -> list[str]:
    return _loader().get_group_options(group)


def _loader() -> ConfigLoader:
    """Return a config loader with the command line's search path; Hydra's own is gone once its error gets here."""
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(CONF), **VERSION_BASE):
        loader: Any = GlobalHydra.instance().config_loader()
    GlobalHydra.instance().hydra = before
    search_path = loader.get_search_path()
    for path in _added_config_dirs():
        search_path.prepend("command-line", path, SearchPathQuery(provider="schema"))
    extended: ConfigLoader = type(loader)(config_search_path=search_path)
    return extended


def _config_folders() -> list[Path]:
    return [CONF, *(Path(path.removeprefix("file://")) for path in _added_config_dirs())]


def _added_config_dirs() -> Iterator[str]:
    """Yield the config folders added by `--config-dir` or `hydra.searchpath`."""
    for argument, value in zip(sys.argv, [*sys.argv[1:], ""], strict=True):
        name, _, joined = argument.partition("=")
        if name in ("--config-dir", "-cd"):
            yield f"file://{Path(joined or value).absolute()}"
    for override in _typed_overrides():
        paths = override.value()
        if override.key_or_group == "hydra.searchpath" and isinstance(paths, list):
            yield from map(str, paths)
